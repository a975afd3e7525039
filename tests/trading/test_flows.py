"""Which flows of a history the books lack: those that the balances call for, each once, whoever told of the others."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading.flows import MARGIN, PastFlow, ToldFlow, may_be_one, missing, pair

D = Decimal
NOON = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def past(name: str, amount: str, began: int = 0, cleared: int | None = 0) -> PastFlow:
    """Make a flow that began and cleared so many seconds after noon."""
    at = NOON + began * SECOND
    return PastFlow(name, D(amount), at, None if cleared is None else NOON + cleared * SECOND)


def told(number: int, amount: str, seconds: int = 0) -> ToldFlow:
    """Make a flow that the stream told so many seconds after noon."""
    return ToldFlow(number, D(amount), NOON + seconds * SECOND)


def names(flows: list[PastFlow]) -> list[str]:
    """Return what they are called."""
    return [flow.name for flow in flows]


def test_what_the_balances_call_for_is_missing() -> None:
    assert names(missing([past("a", "100")], [], residual=D(100))) == ["a"]


def test_what_the_balances_do_not_call_for_is_in_the_books() -> None:
    """However they came to know of it: by the opening balances, by a person."""
    assert missing([past("a", "100")], [], residual=D(0)) == []
    assert missing([past("a", "100")], [], residual=D("99.99999999")) == []


def test_what_the_stream_has_told_is_not_missing() -> None:
    """The difference of 100 has another cause."""
    assert missing([past("a", "100")], [told(1, "100")], residual=D(100)) == []


def test_of_two_equal_ones_a_second_apart_the_stream_has_told_one() -> None:
    flows = [past("a", "100"), past("b", "100", 1, 1)]
    assert names(missing(flows, [told(1, "100")], residual=D(100))) == ["b"]
    assert names(missing(flows, [], residual=D(200))) == ["a", "b"]
    assert missing(flows, [told(1, "100"), told(2, "100", 1)], residual=D(100)) == []


def test_of_two_equal_ones_the_balances_may_call_for_one() -> None:
    """The other was in the opening balances: the newest is taken, and they are alike anyway."""
    flows = [past("a", "100"), past("b", "100", 60, 60)]
    assert names(missing(flows, [], residual=D(100))) == ["b"]


def test_deposits_and_withdrawals_come_together() -> None:
    flows = [past("a", "100"), past("b", "-30", 5, None), past("c", "0.00000001", 9, 9)]
    assert names(missing(flows, [], residual=D("70.00000001"))) == ["a", "c", "b"]
    assert names(missing(flows, [], residual=D("-30"))) == ["b"]


def test_as_few_are_taken_as_will_do() -> None:
    flows = [past("a", "60"), past("b", "40", 1, 1), past("c", "100", 2, 2), past("d", "7", 3, 3)]
    assert names(missing(flows, [], residual=D(100))) == ["c"]


def test_more_than_a_dozen_are_taken_together_or_not_at_all() -> None:
    flows = [past(f"{n:02}", "1", n, n) for n in range(40)]
    assert len(missing(flows, [], residual=D(40))) == 40
    assert missing(flows, [], residual=D(20)) == []
    assert names(missing(flows, [], residual=D(1))) == ["39"]


@pytest.mark.parametrize(("seconds", "is_one"), [(-61, False), (-60, True), (0, True), (3600, True), (3660, True), (3661, False)])
def test_a_flow_is_told_between_its_beginning_and_its_end(seconds: int, is_one: bool) -> None:
    """A deposit is seen, and an hour later it is credited."""
    assert timedelta(seconds=60) == MARGIN
    flow = past("a", "100", 0, 3600)
    assert may_be_one(amount=D(100), at=NOON + seconds * SECOND, flow=flow) is is_one
    assert not may_be_one(amount=D("100.1"), at=NOON, flow=flow)


def test_a_flow_that_says_no_end_may_be_told_at_any_time_after() -> None:
    flow = past("a", "-100", 0, None)
    assert may_be_one(amount=D(-100), at=NOON + timedelta(days=9), flow=flow)
    assert not may_be_one(amount=D(-100), at=NOON - timedelta(minutes=2), flow=flow)


def test_each_telling_goes_to_the_flow_that_must_have_been_told_first() -> None:
    """The long one was seen first and may be either; the short one can only be the first telling."""
    flows = [past("long", "100", 0, 7200), past("short", "100", 60, 120)]
    assert pair(flows, [told(1, "100", 90), told(2, "100", 7100)]) == {"short": 1, "long": 2}


@given(
    amounts=st.lists(st.sampled_from(["100", "100", "50", "-20", "0.1"]), max_size=8),
    heard=st.lists(st.booleans(), min_size=8, max_size=8),
)
def test_whatever_was_told_the_rest_is_missing(amounts: list[str], heard: list[bool]) -> None:
    """Each is booked once, whoever tells of it: the sum of the rest is what the exchange holds beyond the books."""
    flows = [past(f"f{n}", amount, 300 * n, 300 * n) for n, amount in enumerate(amounts)]
    tellings = [told(n, amount, 300 * n) for n, amount in enumerate(amounts) if heard[n]]
    rest = [flow for n, flow in enumerate(flows) if not heard[n]]
    residual = sum((flow.amount for flow in rest), D(0))
    found = missing(flows, tellings, residual=residual)
    assert sum((flow.amount for flow in found), D(0)) == residual
    assert names(found) == (names(rest) if residual else [])
