"""Whether the two legs of a pair can go out: what one account's answer means for the other."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from tests.trading.desk.world import World, build
from trading.desk import coordination, pairs
from trading.proposals import Proposal

D = Decimal


@pytest.fixture
def near() -> World:
    """One account with money."""
    return build()


@pytest.fixture
def far() -> World:
    """Another one."""
    return build()


def leg(world: World, book: int = 1) -> Proposal:
    """Propose to buy as a leg."""
    return world.propose("enter", book, lots=100, limit_price=D(50505), is_leg=True)


def codes(near: World, far: World, near_legs: list[Proposal], far_legs: list[Proposal]) -> dict[int, str]:
    """Decide on both accounts and answer, by account, why their legs cannot go out."""
    with near.at_desk() as first, far.at_desk() as second:
        outcomes = {1: coordination.coordinate(first, near_legs), 2: coordination.coordinate(second, far_legs)}
        return {key: refusal.code for key, refusal in pairs.refusals({1: first, 2: second}, outcomes).items()}


def test_two_legs_that_can_go_out_are_not_refused(near: World, far: World) -> None:
    assert codes(near, far, [leg(near)], [leg(far)]) == {}


def test_a_candle_without_a_leg_refuses_nothing(near: World, far: World) -> None:
    assert codes(near, far, [near.propose("hold")], [far.propose("hold")]) == {}


def test_one_leg_without_the_other_is_refused(near: World, far: World) -> None:
    assert set(codes(near, far, [leg(near)], []).values()) == {pairs.LEG_MISSING}
    assert set(codes(near, far, [near.propose("hold")], [leg(far)]).values()) == {pairs.LEG_MISSING}


def test_two_legs_on_one_account_are_refused(near: World, far: World) -> None:
    assert set(codes(near, far, [leg(near), leg(near, book=2)], [leg(far)]).values()) == {pairs.LEG_MISSING}


def test_the_refused_leg_says_why_and_the_other_one_nothing(near: World, far: World) -> None:
    assert codes(near, far, [leg(near)], [replace(leg(far), denial="RISK_DAY_LOSS")]) == {2: "RISK_DAY_LOSS"}
