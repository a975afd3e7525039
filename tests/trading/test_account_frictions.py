"""Whole accounts with frictions: a bot alone trades as in its backtest, and what bots of one account share is shared."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from tests.strategies.cases import COSTS
from tests.trading.markets import FIVE_MINUTES
from tests.trading.test_accounts import (
    BEGIN_AT,
    FIVE,
    PERCENTS,
    TIGHT,
    WIDE,
    bot,
    check_books,
    five,
    plan,
    rotation,
    shares,
    story,
)
from tests.trading.test_accounts_of_several_markets import several
from trading.accounts.plan import AccountBot, AccountPlan, single
from trading.accounts.result import AccountResult
from trading.accounts.simulation import AccountSimulation, simulate
from trading.frictions import BadFrictions, FeeIn, FeeTier, Frictions, Rest
from trading.kernels.panel_backtest import PanelResult, run_panel_backtest
from trading.ledger import UNIT, ZERO

DAY_MS = 86_400_000
TIERS = (
    FeeTier(Decimal(30_000), Decimal("0.0008"), Decimal("0.0003")),
    FeeTier(Decimal(300_000), Decimal("0.0005"), Decimal("0.0001")),
)
SLIPS: dict[str, Any] = {"slippage_volatility": Decimal("0.2"), "slippage_impact": Decimal("0.4")}
FRICTIONS = {
    "slippage": Frictions(**SLIPS),
    "tiers": Frictions(fee_tiers=TIERS),
    "fees in quote": Frictions(fee_in=FeeIn.QUOTE),
    "wait": Frictions(rest=Rest.WAIT),
    "cancel": Frictions(rest=Rest.CANCEL, fee_in=FeeIn.QUOTE),
    "late": Frictions(latency_ms=400),
    "all": Frictions(**SLIPS, fee_tiers=TIERS, rest=Rest.WAIT, latency_ms=FIVE_MINUTES, fee_in=FeeIn.QUOTE),
}
# More than candles carry.
LARGE = Decimal(600_000)


def rough(asked: AccountPlan, frictions: Frictions, **changes: Any) -> AccountPlan:
    return replace(asked, costs=replace(COSTS, frictions=frictions), **changes)


def backtest_of(alone: AccountBot, frictions: Frictions, capital: Decimal) -> PanelResult:
    return run_panel_backtest(
        definition=alone.definition,
        params=alone.params,
        candles=alone.candles,
        interval_ms=FIVE_MINUTES,
        instruments=alone.instruments,
        costs=replace(COSTS, frictions=frictions),
        allocation=capital,
        start=int(BEGIN_AT.timestamp()) * 1000,
    )


def check_alone(alone: AccountBot, name: str) -> None:
    """Trade a bot that has all of an account in single mode, and compare with its backtest, fill by fill."""
    frictions = FRICTIONS[name]
    result = simulate(rough(plan([alone], single(alone.key)), frictions, capital=LARGE))

    expected = backtest_of(alone, frictions, LARGE)
    assert len(expected.fills) >= 4
    assert result.bots[0].fills == expected.fills
    assert result.bots[0].tallies == expected.tallies
    assert result.final_equity == expected.final_equity
    assert result.worths[-1] == pytest.approx(float(expected.final_equity), rel=1e-12)
    # They bit, or nothing was tried here.
    assert backtest_of(alone, Frictions(), LARGE).fills != expected.fills


@pytest.mark.parametrize(
    ("case", "name"),
    [
        *((case, name) for case in ("triple_ema", "grid") for name in FRICTIONS),
        *((case, "all") for case in FIVE if case != "grid"),
    ],
)
def test_a_bot_alone_trades_as_in_its_backtest_with_the_same_frictions(case: str, name: str) -> None:
    check_alone(bot(case), name)


@pytest.mark.parametrize("name", ["late", "all", "cancel"])
@pytest.mark.parametrize("case", ["momentum", "scalping"])
def test_so_does_a_bot_of_several_markets(case: str, name: str) -> None:
    check_alone(several(case), name)


def fees_follow(result: AccountResult) -> set[Decimal]:
    """Check each fee against what the whole account had traded on the thirty days before; answer the rates that were met."""
    traded: dict[int, Decimal] = defaultdict(Decimal)
    fills = sorted((fill for one in result.bots for fill in one.fills), key=lambda fill: fill.time)
    for fill in fills:
        traded[fill.time // DAY_MS] += fill.quantity * fill.price
    used = set()
    for fill in fills:
        day = fill.time // DAY_MS
        volume = sum((traded[past] for past in range(day - 30, day)), ZERO)
        taker, maker = COSTS.taker_fee, COSTS.maker_fee
        for tier in TIERS:
            if volume >= tier.volume:
                taker, maker = tier.taker_fee, tier.maker_fee
        rate = maker if fill.kind == "LIMIT" else taker
        received = fill.quantity if fill.side == "buy" else fill.quantity * fill.price
        assert fill.fee == received * rate // UNIT * UNIT
        used.add(rate)
    return used


def test_a_fee_tier_is_the_accounts_and_not_a_bots() -> None:
    result = simulate(rough(plan(five(), shares(PERCENTS)), FRICTIONS["tiers"], capital=Decimal(60_000)))

    used = fees_follow(result)

    assert {COSTS.taker_fee, *(tier.taker_fee for tier in TIERS)} <= used
    # Nobody would have reached the highest alone.
    whole = sum((fill.quantity * fill.price for one in result.bots for fill in one.fills), ZERO)
    assert whole > TIERS[1].volume
    check_books(result)


@pytest.mark.parametrize("name", ["wait", "cancel", "late", "all"])
@pytest.mark.parametrize("limits", [None, TIGHT])
def test_where_a_simulation_stops_and_goes_on_changes_nothing(name: str, limits: Any) -> None:
    asked = rough(plan(five(), shares(PERCENTS, rebase_hours=24), limits=limits), FRICTIONS[name], capital=LARGE)
    if limits is not None:
        asked = replace(asked, limits=replace(limits, order_value_max=LARGE))
    asked = replace(asked, end_at=BEGIN_AT + timedelta(days=5))
    straight, halting = simulate(asked), AccountSimulation(asked)
    for minutes in range(35, 60 * 24 * 5, 1385):
        halting.run(BEGIN_AT + timedelta(minutes=minutes))
        count_anew(halting.result())
    halting.run()

    assert story(halting.result()) == story(straight)
    assert sum(len(one.fills) for one in straight.bots) > 50


def count_anew(result: AccountResult) -> None:
    """Count the account anew from its fills, whatever their fees were taken in."""
    cash, coins = result.capital, defaultdict[str, Decimal](Decimal)
    for fill in (fill for one in result.bots for fill in one.fills):
        amount, bought = fill.quantity * fill.price, fill.side == "buy"
        in_quote = fill.fee if fill.fee_asset == "USDT" else ZERO
        cash += (-amount if bought else amount) - in_quote
        coins[fill.symbol] += (fill.quantity if bought else -fill.quantity) - (fill.fee - in_quote)
    assert cash == result.unallocated + sum((one.cash for one in result.bots), ZERO)
    held: dict[str, Decimal] = defaultdict(Decimal)
    for one in result.bots:
        for holding in one.holdings:
            held[holding.symbol] += holding.quantity
            assert holding.quantity >= ZERO
        assert one.cash >= ZERO
    assert {symbol: held[symbol] for symbol in coins} == coins


@pytest.mark.parametrize("name", ["wait", "cancel", "late", "all"])
@pytest.mark.parametrize("policy", ["flatten", "transfer", "carry", "wait 30m"])
def test_thin_candles_and_long_ways_hold_up_a_hand_over_and_break_nothing(policy: str, name: str) -> None:
    asked = rotation(policy)
    turns: Any = asked.sharing
    result = simulate(rough(asked, FRICTIONS[name], capital=LARGE, sharing=replace(turns, budget=LARGE)))

    count_anew(result)
    # Whoever leaves has sold before the next is funded: what is sold over several candles is sold for the same reason.
    sales: dict[tuple[str, int], set[str]] = defaultdict(set)
    for one in result.bots:
        for fill in one.fills:
            sales[one.key, fill.order_id].add(fill.reason)
    assert all(len(reasons) == 1 for reasons in sales.values())
    if policy == "flatten":
        orders = [fill.order_id for one in result.bots for fill in one.fills if fill.reason == "MODE_HANDED_OVER"]
        assert orders
        if name in ("wait", "cancel"):
            assert len(orders) > len(set(orders))
    entries = [
        (one.key, fill.time)
        for one in result.bots
        for fill in one.fills
        if fill.side == "buy" and fill.kind == "ENTRY" and FRICTIONS[name].latency_ms == 0
    ]
    switches = [(int(at.timestamp() * 1000), key) for at, key in result.switches]
    for key, at in entries:
        assert [whose for since, whose in switches if since <= at][-1] == key


def test_a_hard_stop_calls_off_what_is_on_its_way() -> None:
    limits = replace(WIDE, hard_loss_percent=Decimal("0.3"), soft_loss_percent=Decimal("0.3"), fall_percent=Decimal("0.01"))
    asked = plan([bot("triple_ema")], single("triple_ema"), limits=replace(limits, order_value_max=LARGE))
    result = simulate(rough(asked, Frictions(latency_ms=FIVE_MINUTES, rest=Rest.WAIT), capital=LARGE))

    assert result.hard_stops
    for at, _ in result.hard_stops:
        midnight = at.replace(hour=0, minute=0) + timedelta(days=1)
        bought = [fill for fill in result.bots[0].fills if fill.side == "buy"]
        assert not [fill for fill in bought if at <= datetime.fromtimestamp(fill.time / 1000, tz=at.tzinfo) < midnight]
    count_anew(result)


def test_others_see_an_order_that_is_on_its_way() -> None:
    """What is on its way reserves its money and stands before the rules, as it does live."""
    simulation = AccountSimulation(rough(plan([bot("triple_ema")], single("triple_ema")), FRICTIONS["all"], capital=LARGE))
    (member,) = simulation.members
    seen = 0
    for minutes in range(5, 60 * 24 * 4, 5):
        simulation.run(BEGIN_AT + timedelta(minutes=minutes))
        waiting = member.waiting(0)
        buys = waiting[waiting["side"] == 1]
        if len(buys) and simulation.members[0].worlds[0]["sent"]:
            needed = sum(int(one["lots"]) * int(one["ticks"]) for one in buys) * int(member.worlds[0]["quote_units_per_tick_lot"])
            assert member.cash_reserved >= Decimal(needed) * UNIT
            assert member.is_buying
            seen += 1
        assert (
            member.cash + member.cash_reserved == Decimal(int(member.worlds[0]["cash"] + member.worlds[0]["cash_locked"])) * UNIT
        )
    assert seen > 3


def test_impossible_frictions_are_refused_before_anything_is_simulated() -> None:
    with pytest.raises(BadFrictions, match="latency is from 0 to one candle"):
        rough(plan([bot("grid")], single("grid")), Frictions(latency_ms=FIVE_MINUTES + 1))


def test_samples_are_worth_what_the_fills_say() -> None:
    """Fees on top in quote are in the samples too, at every base candle."""
    simulation = AccountSimulation(rough(plan(five(), shares(PERCENTS)), FRICTIONS["all"], capital=LARGE))
    for hours in range(9, 100, 13):
        simulation.run(BEGIN_AT + timedelta(hours=hours))
        result = simulation.result()
        assert float(result.final_equity) == pytest.approx(result.worths[-1], rel=1e-12)
    assert np.isfinite(simulation.result().worths).all()
