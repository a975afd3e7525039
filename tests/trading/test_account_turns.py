"""The candle of a switch on a simulated account: what bots are told on it, and when a wait is over."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from tests.trading.test_accounts import BEGIN_AT, rotation
from trading.accounts.simulation import AccountSimulation


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
