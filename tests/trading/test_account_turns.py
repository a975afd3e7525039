"""Turns on a simulated account: the candle of a switch, when a wait is over, and how those are refused who have none."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.trading.test_accounts import BEGIN_AT, rotation, story
from trading.accounts.member import Member
from trading.accounts.referee import milliseconds
from trading.accounts.simulation import AccountSimulation, simulate
from trading.desk.turns import turn_refusal
from trading.handover import Mode, Phase, Stance
from trading.ledger import ZERO
from trading.strategy import BUY, DecisionKind


def told(simulation: AccountSimulation, key: str) -> tuple[float, ...]:
    """Return the money of which a bot was told at the newest bar it stepped."""
    (book,) = next(member.simulation.tape.book for member in simulation.members if member.bot.key == key)
    return book.cash, book.equity, book.allocation


def test_on_the_candle_of_a_switch_nobody_sees_money() -> None:
    simulation = AccountSimulation(rotation("flatten"))
    switch_at = BEGIN_AT + timedelta(hours=5)

    simulation.run(switch_at)
    assert told(simulation, "grid")[2] == 5000.0
    simulation.run(switch_at + timedelta(minutes=5))
    funded = {member.bot.key: int(member.allocation) for member in simulation.members}
    assert funded == {"grid": 0, "triple_ema": 5000, "ema_ribbon": 0}
    assert told(simulation, "grid") == told(simulation, "triple_ema") == (0.0, 0.0, 0.0)
    simulation.run(switch_at + timedelta(minutes=10))
    assert told(simulation, "triple_ema") == (5000.0, 5000.0, 5000.0)


@pytest.mark.parametrize(
    ("until", "filled_at", "ends_at"),
    [
        # A stop inside a candle is known at its close.
        (timedelta(hours=11, minutes=30), "2024-01-04T11:21:26.240", "2024-01-04T11:25"),
        # What a bot decides at a close is sold at once, and live the account has passed on before the next candle.
        (timedelta(days=4, hours=17, minutes=50), "2024-01-08T17:40", "2024-01-08T17:40"),
    ],
)
def test_a_wait_ends_at_the_candle_at_which_the_bot_is_flat(until: timedelta, filled_at: str, ends_at: str) -> None:
    simulation = AccountSimulation(rotation("wait 120m"))

    simulation.run(BEGIN_AT + until)

    assert str(max(np.datetime64(member.filled_at, "ms") for member in simulation.members)).startswith(filled_at)
    stance = simulation._scheme.stance
    assert stance is not None
    assert stance.since == datetime.fromisoformat(ends_at).replace(tzinfo=UTC)


MOMENT = st.none() | st.integers(-2, 2).map(lambda minutes: BEGIN_AT + timedelta(minutes=minutes))
STANCE = st.builds(
    Stance,
    mode=st.sampled_from(Mode),
    epoch=st.integers(0, 3),
    phase=st.sampled_from((Phase.SETTLED, Phase.RELEASING)),
    active=st.frozensets(st.integers(1, 3)),
    since=MOMENT,
    until=MOMENT,
)
REFEREE = AccountSimulation(rotation("carry")).court.referee


@given(st.none() | STANCE)
def test_one_answer_serves_all_moments_that_lie_alike(stance: Stance | None) -> None:
    for seconds in range(-150, 180, 30):
        at = milliseconds(BEGIN_AT + timedelta(seconds=seconds))

        found = REFEREE.turn_codes(at=at, stance=stance)

        desk = REFEREE.desk(at, unallocated=ZERO, room=None, stance=stance)
        refusals = [turn_refusal(desk, number) for number in (1, 2, 3)]
        assert found == tuple("" if refusal is None else refusal.code for refusal in refusals)


@pytest.mark.parametrize("policy", ["flatten", "transfer", "wait 30m"])
def test_who_is_turned_away_unasked_is_whom_the_rules_would_refuse(policy: str) -> None:
    swift, strict = simulate(rotation(policy)), AccountSimulation(rotation(policy))
    strict.court.is_trusting = False
    strict.run()

    assert story(swift) == story(strict.result())
    assert swift.decisions == strict.court.decisions


def test_entries_out_of_turn_come_before_nobody() -> None:
    """A bot that does nothing but enter is turned away where it stands, on the candle of a switch as well."""
    simulation = AccountSimulation(rotation("flatten"))
    court, met = simulation.court, []
    arbitrate = court.arbitrate

    def look(asking: Sequence[Member], at: int) -> None:
        stance = simulation._scheme.stance
        assert stance is not None
        for member in asking:
            asked = member.simulation.tape.decisions[: member.asked]
            is_entry = (asked["kind"] == DecisionKind.ENTER) | ((asked["kind"] == DecisionKind.PLACE) & (asked["side"] == BUY))
            is_away = member.number not in stance.active or (stance.since is not None and at <= milliseconds(stance.since))
            met.append(is_away and bool((is_entry | (asked["kind"] == DecisionKind.HOLD)).all()))
        arbitrate(asking, at)

    court.arbitrate = look  # type: ignore[method-assign]
    simulation.run()

    assert len(met) > 10
    assert not any(met)
    assert sum(member.denials().get("MODE_SLOT_CLOSED", 0) for member in simulation.members) > 100
