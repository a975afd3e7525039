"""Silence proves nothing; three reads, the balances and time prove an order absent."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading import resolution
from trading.resolution import Bounds, Doubt, Look, Verdict, judge

BOUNDS = Bounds(send_window=2, receive_window=5)
WHOLE = Look(
    age_seconds=0,
    misses_by_name=True,
    misses_in_list=True,
    misses_in_history=True,
    is_history_whole=True,
    is_stream_unbroken=True,
    is_agreed=True,
)
REQUIRED = ("misses_by_name", "misses_in_list", "misses_in_history", "is_history_whole", "is_agreed")


def looks_until(age: float, *, every: float = 10.0, **broken: bool) -> tuple[Doubt, Look]:
    """Look from the sending on until an age; `broken` says what the first look lacks."""
    doubt, look, at = Doubt(), WHOLE, every
    while at <= age:
        look = replace(WHOLE, age_seconds=at, **(broken if at == every else {}))
        doubt = doubt.after(look, BOUNDS)
        at += every
    return doubt, look


def test_the_settle_window_is_the_sum_of_what_may_still_be_late() -> None:
    assert BOUNDS.settle_seconds(is_continuous=False) == 2 + 5 + 1 + 10 + 600
    assert BOUNDS.settle_seconds(is_continuous=True) == 2 + 5 + 1 + 10 + 60


@pytest.mark.fault("E02", "E30")
def test_unbroken_evidence_needs_a_minute_of_invisibility() -> None:
    doubt, look = looks_until(70)
    assert judge(doubt, look, BOUNDS) == Verdict.KEEP_LOOKING
    doubt, look = looks_until(80)
    assert judge(doubt, look, BOUNDS) == Verdict.ABSENT


@pytest.mark.fault("E30")
@pytest.mark.parametrize("lacking", [*REQUIRED, "is_stream_unbroken"])
def test_one_hole_in_the_evidence_costs_ten_minutes(lacking: str) -> None:
    doubt, look = looks_until(600, **{lacking: False})
    assert judge(doubt, look, BOUNDS) == Verdict.KEEP_LOOKING
    doubt, look = looks_until(620, **{lacking: False})
    assert judge(doubt, look, BOUNDS) == Verdict.ABSENT


def test_looks_too_far_apart_are_a_hole() -> None:
    doubt, look = looks_until(400, every=20)
    assert judge(doubt, look, BOUNDS) == Verdict.KEEP_LOOKING
    before = Doubt(looked_at_age=10.0)
    later = [before.after(replace(WHOLE, age_seconds=age), BOUNDS).is_continuous for age in (25.0, 25.5)]
    assert later == [True, False]


def test_at_the_end_of_the_settle_window_nothing_is_absent_yet() -> None:
    doubt = Doubt(looked_at_age=70.0)
    ages = (78.0, 78.5)
    assert [judge(doubt, replace(WHOLE, age_seconds=age), BOUNDS) for age in ages] == [Verdict.KEEP_LOOKING, Verdict.ABSENT]
    assert [resolution.could_be_absent(age, doubt, BOUNDS) for age in ages] == [False, True]


def test_the_first_look_may_wait_for_the_answer_but_no_longer() -> None:
    in_time = Doubt().after(replace(WHOLE, age_seconds=26.0), BOUNDS)
    late = Doubt().after(replace(WHOLE, age_seconds=28.0), BOUNDS)
    assert (in_time.is_continuous, late.is_continuous) == (True, False)


@given(age=st.floats(0, 1e6), lacking=st.sampled_from(REQUIRED), doubt=st.builds(Doubt, st.floats(0, 1e6), st.booleans()))
def test_nothing_is_absent_while_one_proof_is_lacking(age: float, lacking: str, doubt: Doubt) -> None:
    look = replace(WHOLE, age_seconds=age, **{lacking: False})
    assert judge(doubt, look, BOUNDS) in (Verdict.KEEP_LOOKING, Verdict.ESCALATE)


@given(age=st.floats(0, 1e6), is_continuous=st.booleans())
def test_what_was_seen_is_recorded_whatever_else_was_not(age: float, is_continuous: bool) -> None:
    look = replace(WHOLE, age_seconds=age, is_seen=True)
    assert judge(Doubt(0.0, is_continuous), look, BOUNDS) == Verdict.RECORD


@given(age=st.floats(0, 77.9))
def test_nothing_is_absent_before_the_shortest_window_is_over(age: float) -> None:
    assert judge(Doubt(), replace(WHOLE, age_seconds=age), BOUNDS) == Verdict.KEEP_LOOKING


def test_a_person_is_asked_after_eleven_minutes() -> None:
    look = replace(WHOLE, is_agreed=False, age_seconds=660.0)
    assert judge(Doubt(), look, BOUNDS) == Verdict.KEEP_LOOKING
    assert judge(Doubt(), replace(look, age_seconds=660.1), BOUNDS) == Verdict.ESCALATE


def test_a_local_exchange_that_shows_at_once_needs_no_minute() -> None:
    local = Bounds(send_window=1, receive_window=2, clock_lead=0, answer=0.5, visibility=0)
    assert local.settle_seconds(is_continuous=False) == local.settle_seconds(is_continuous=True) == 3.5


def test_looks_become_rarer_only_when_many_share_the_weight() -> None:
    assert resolution.look_again_seconds(1) == resolution.look_again_seconds(25) == 2.0
    assert resolution.look_again_seconds(100) == 8.0


def test_an_absent_order_is_looked_for_through_a_day() -> None:
    pauses = [resolution.watch_again_seconds(age) for age in (0, 1799, 1800, 7199, 7200, 86_399, 86_400)]
    assert pauses == [30, 30, 120, 120, 900, 900, None]


def test_whether_a_whole_look_could_end_the_doubt_depends_on_its_continuity() -> None:
    assert resolution.could_be_absent(79, Doubt(), BOUNDS)
    assert not resolution.could_be_absent(79, Doubt(is_continuous=False), BOUNDS)
    assert resolution.could_be_absent(619, Doubt(is_continuous=False), BOUNDS)
