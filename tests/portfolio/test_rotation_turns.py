"""Bots in turns: the slot decides who may enter, and market time alone ends it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from portfolio import selectors
from portfolio.jobs import modes as jobs
from portfolio.models import ModeVersion
from portfolio.writers.modes import Choice
from tests.portfolio.switching import act, assert_whole, at, newest, switch, traded
from tests.portfolio.test_coordinate import enter
from tests.portfolio.world import World
from trading.handover import Mode
from trading.rotation import Rotation
from trading.rotation_text import parse_rotation

TOTAL = Decimal("9882.31")


def rotation(world: World, *lines: str, zone: str = "UTC", gaps: bool = False) -> Rotation:
    """Read slots whose bots are written as places of books."""
    words = [line.split() for line in lines]
    named = [" ".join([*row[:2], str(world.books[int(row[2])].pk) if row[2].isdigit() else row[2], *row[3:]]) for row in words]
    return parse_rotation("\n".join([f"zone {zone}", *(["gaps idle"] if gaps else []), *named]))


def take_turns(world: World, *lines: str, **more: Any) -> ModeVersion:
    return switch(world, Choice(mode=Mode.ROTATION, rotation=rotation(world, *lines, **more), traded=traded(world)))


SIX_HOURS = ("daily 00:00-06:00 0 flatten", "daily 06:00-12:00 1 carry", "daily 12:00-18:00 2", "daily 18:00-24:00 3")


def test_in_a_rotation_the_slot_decides_and_market_time_alone_ends_it(world: World) -> None:
    """The coordinator refuses from the end of the slot on, also while the trader has not switched yet."""
    take_turns(world, *SIX_HOURS)
    assert [enter(world, book) for book in range(3)] == ["accepted", "MODE_SLOT_CLOSED", "MODE_SLOT_CLOSED"]
    world.send(world.order(kind="enter", book=0))
    world.end(world.order(kind="enter", book=0))

    world.market_at = datetime(2024, 3, 1, 5, 55, tzinfo=UTC)
    assert [enter(world, book) for book in range(2)] == ["MODE_SLOT_CLOSED", "MODE_SLOT_CLOSED"]
    at(world, world.market_at)
    row = act(world)
    assert row is not None
    assert (row.phase, row.incoming, row.turn_until) == (
        "settled",
        [world.books[1].pk],
        datetime(2024, 3, 1, 12, tzinfo=UTC),
    )
    assert [enter(world, book) for book in range(2)] == ["MODE_SLOT_CLOSED", "accepted"]
    assert_whole(world)


def test_the_candle_of_the_switch_is_nobodys(world: World) -> None:
    """Worker and trader race for it; whoever wins, the answer is the same."""
    take_turns(world, *SIX_HOURS)
    world.market_at = datetime(2024, 3, 1, 6, tzinfo=UTC)
    at(world, world.market_at)
    act(world)
    world.market_at -= timedelta(minutes=5)

    assert [enter(world, 1), enter(world, 1)] == ["MODE_SLOT_CLOSED", "accepted"]


def test_a_restart_inside_a_slot_changes_nothing(world: World) -> None:
    take_turns(world, *SIX_HOURS)
    before = newest(world).epoch
    for _ in range(3):
        assert not jobs.look(world.account_id).wants_action
        act(world)

    assert newest(world).epoch == before


def test_turns_that_nobody_saw_are_one_switch_to_whose_turn_it_is_now(world: World) -> None:
    take_turns(world, *SIX_HOURS)
    at(world, datetime(2024, 3, 2, 13, tzinfo=UTC))
    act(world)

    assert (newest(world).epoch, newest(world).incoming) == (1, [world.books[2].pk])


def test_neighbouring_slots_of_one_bot_are_one_turn(world: World) -> None:
    """Monday's slot and Tuesday's are two rows, and nothing is handed over between them."""
    take_turns(world, "daily 00:00-12:00 0 flatten", "daily 12:00-24:00 0 carry")
    at(world, datetime(2024, 3, 3, 13, tzinfo=UTC))

    assert not jobs.look(world.account_id).wants_action
    assert newest(world).turn_until is None


def test_in_an_idle_gap_nobody_enters_and_nobody_keeps_capital(world: World) -> None:
    take_turns(world, "daily 00:00-06:00 0 flatten", gaps=True)
    at(world, datetime(2024, 3, 1, 6, tzinfo=UTC))
    act(world)

    assert newest(world).incoming == []
    assert selectors.account_overview(world.account_id).unallocated == TOTAL
    assert enter(world, 0) == "MODE_SLOT_CLOSED"


@pytest.mark.fault("K07")
def test_an_order_belongs_to_the_turn_in_which_it_was_made(world: World) -> None:
    """What was on its way at the end of a slot fills for the bot that asked for it, and is handed over like the rest."""
    take_turns(world, *SIX_HOURS)
    world.market_at = datetime(2024, 3, 1, 5, 50, tzinfo=UTC)
    assert enter(world, 0) == "accepted"
    order = world.send(world.order(kind="enter", book=0))
    at(world, datetime(2024, 3, 1, 6, tzinfo=UTC))
    act(world)
    assert newest(world).phase == "closing", "nobody trades while it may still fill"

    world.fill(order, "0.0038", "50000")
    assert world.position(0).quantity == Decimal("0.0038")
    act(world)
    assert newest(world).phase == "releasing"
    world.fill(world.send(world.order(kind="flatten", book=0)), "0.0038", "50000")
    act(world)
    assert newest(world).phase == "settled"
    assert_whole(world)
