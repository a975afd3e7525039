"""Bots of several markets on one account: each trades as in its backtest, and shares the account by the same rules."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from tests.strategies.cases import COSTS
from tests.trading.markets import BTC, ETH, FIVE_MINUTES
from tests.trading.test_accounts import BEGIN_AT, CAPITAL, TIGHT, bot, check_books, market, plan, shares, story
from trading.accounts.plan import AccountBot, Shares, Turns
from trading.accounts.simulation import AccountSimulation, simulate
from trading.handover import Mode
from trading.kernels.panel_backtest import run_panel_backtest
from trading.risk import Limits
from trading.rotation_text import parse_rotation


def several(case: str) -> AccountBot:
    """Make a bot of a case that trades two coins."""
    coins = (ETH, BTC)
    return replace(bot(case), instruments=coins, candles=tuple(market(coin.symbol) for coin in coins))


@pytest.mark.parametrize("case", ["momentum", "momentum squeeze", "hedge", "scalping"])
def test_a_bot_of_several_markets_alone_trades_as_in_its_backtest(case: str) -> None:
    alone = several(case)

    result = simulate(plan([alone], shares({case: Decimal(100)})))

    expected = run_panel_backtest(
        definition=alone.definition,
        params=alone.params,
        candles=alone.candles,
        interval_ms=FIVE_MINUTES,
        instruments=alone.instruments,
        costs=COSTS,
        allocation=CAPITAL,
        start=int(BEGIN_AT.timestamp()) * 1000,
    )
    assert len({fill.symbol for fill in expected.fills}) >= 2
    assert result.bots[0].fills == expected.fills
    assert (result.final_equity, result.bots[0].reasons) == (expected.final_equity, expected.reasons)
    check_books(result)


@pytest.mark.parametrize("limits", [None, TIGHT])
@pytest.mark.parametrize("sharing", ["percentage", "transfer"])
def test_bots_of_one_market_and_of_several_share_an_account(sharing: str, limits: Limits | None) -> None:
    made = (bot("grid"), several("hedge"), several("momentum squeeze"), bot("triple_ema", instrument=BTC))
    bots = tuple(replace(one, key=one.key.replace(" ", "_")) for one in made)
    week = "zone UTC\n" + "\n".join(
        f"daily {hours} {one.key} {sharing}"
        for hours, one in zip(("00:00-06:00", "06:00-12:00", "12:00-18:00", "18:00-24:00"), bots, strict=True)
    )
    way: Shares | Turns = shares({one.key: Decimal(24) for one in bots}, rebase_hours=24)
    if sharing != "percentage":
        way = Turns(mode=Mode.ROTATION, rotation=parse_rotation(week))
    asked = plan(bots, way, limits=limits, end_at=BEGIN_AT + timedelta(days=4))
    simulation, strict = AccountSimulation(asked), AccountSimulation(asked)
    strict.court.is_trusting = False
    for hours in range(7, 24 * 5, 19):
        simulation.run(BEGIN_AT + timedelta(hours=hours))
        check_books(simulation.result())
    strict.run()

    assert story(simulation.result()) == story(strict.result())
    assert all(one.fills for one in simulation.result().bots)
    assert bool(simulation.result().hard_stops) == (limits is not None)
