"""Deposits and withdrawals of a simulated account: booked as live, neither profit nor loss, and exact to the last unit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.trading.markets import FIRST_OPEN, FIVE_MINUTES
from tests.trading.test_accounts import (
    BEGIN_AT,
    CAPITAL,
    END_AT,
    PERCENTS,
    TIGHT,
    WIDE,
    backtest_of,
    bot,
    changing,
    five,
    plan,
    rotation,
    shares,
    story,
)
from trading.accounts.flows import INSUFFICIENT, Every, Flow, repeated
from trading.accounts.plan import AccountPlan, PlanImpossible, single
from trading.accounts.result import AccountResult
from trading.accounts.simulation import AccountSimulation, simulate
from trading.bars import Candles
from trading.ledger import UNIT, ZERO

D = Decimal
DAY = timedelta(days=1)
CANDLE = timedelta(minutes=5)


def flow(hours: float, amount: str | int) -> Flow:
    """Make a flow so many hours after the beginning."""
    return Flow(at=BEGIN_AT + timedelta(hours=hours), amount=D(amount))


def with_flows(asked: AccountPlan, *flows: Flow, **changes: Any) -> AccountPlan:
    return replace(asked, flows=flows, **changes)


# In and out, on the grid and off it, twice at once, more than nobody has, and to the last unit.
MANY = (
    flow(7.01, 1000), flow(30, "-250.00000001"), flow(31, "-4000"), flow(31, 12), flow(55.5, "-1500"), flow(100, "0.00000001"),
    flow(120, "3333.33333333"), flow(121, "-99999"), flow(150, -3000), flow(190, "-1"),
)  # fmt: skip


def check_flows(result: AccountResult) -> None:
    """Count the account anew from its fills and its flows alone, and compare to the last unit."""
    cash, coins = result.capital + sum((one.done for one in result.flows), ZERO), dict[str, Decimal]()
    for one in result.bots:
        for fill in one.fills:
            worth, bought = fill.quantity * fill.price, fill.side == "buy"
            cash += -worth if bought else worth - fill.fee
            moved = fill.quantity - fill.fee if bought else -fill.quantity
            coins[fill.symbol] = coins.get(fill.symbol, ZERO) + moved
    assert cash == result.unallocated + sum((one.cash for one in result.bots), ZERO)
    holdings = [held for one in result.bots for held in one.holdings]
    for symbol, quantity in coins.items():
        assert quantity == sum((held.quantity for held in holdings if held.symbol == symbol), ZERO)
    assert min([result.unallocated, *(one.cash for one in result.bots), *(held.quantity for held in holdings)]) >= ZERO
    # Final equity = start + flows + what bots won and lost.
    assert result.net_flows == sum((one.done for one in result.flows), ZERO)
    assert result.final_equity == result.capital + result.net_flows + sum((one.profit for one in result.bots), ZERO)
    assert result.profit == sum((one.profit for one in result.bots), ZERO)
    assert float(result.final_equity) == pytest.approx(result.worths[-1], rel=1e-12, abs=1e-6)
    for one in result.flows:
        assert one.waits >= ZERO
        assert abs(one.done) <= abs(one.amount)
        assert not (one.code and one.done)
    # As long as a withdrawal waits nothing is left that nobody has.
    assert not (result.unallocated and any(one.waits for one in result.flows))


PLANS: dict[str, Any] = {
    "percentage": changing,
    "after flows": lambda: replace(changing(), sharing=shares(PERCENTS, rebases_after_flows=True, reserve_percent=D(5))),
    "caps": lambda: replace(changing(), limits=TIGHT),
    "flatten": lambda: rotation("flatten"),
    "transfer": lambda: replace(rotation("transfer"), limits=TIGHT),
    "carry": lambda: rotation("carry"),
    "wait": lambda: rotation("wait 30m"),
    "single": lambda: plan(five(), single("grid")),
}


@pytest.mark.parametrize("name", PLANS)
def test_the_books_add_up_with_flows_at_every_moment(name: str) -> None:
    simulation = AccountSimulation(with_flows(PLANS[name](), *MANY))
    for hours in range(5, 24 * 9, 31):
        simulation.run(BEGIN_AT + timedelta(hours=hours))
        check_flows(simulation.result())
    simulation.run()

    result = simulation.result()
    check_flows(result)
    assert [one.code for one in result.flows if one.code] == [INSUFFICIENT]
    assert len(result.flows) == len(MANY)
    assert result.net_flows < ZERO
