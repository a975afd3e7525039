"""Frictions: what slippage models, fee tiers, thin candles, latency and details do to a backtest."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import replace
from decimal import Decimal
from functools import cache
from itertools import pairwise

import numpy as np
import pytest

from tests.strategies.cases import COSTS
from tests.strategies.panels import MARKETS, ROUGH, panel_market, panel_outcome, panel_simulation, rough_simulation
from tests.trading.markets import FIRST_OPEN, FIVE_MINUTES
from tests.trading.test_matching import new_world, rest
from trading.bars import Floats
from trading.frictions import FeeIn, FeeTier, Frictions, Rest, read_frictions
from trading.kernels.backtest import Fill, UnableToBacktest, prepare_backtest
from trading.kernels.matching import walk_candle
from trading.kernels.panel_backtest import PanelResult
from trading.kernels.roughness import WINDOW, moves_of
from trading.kernels.world import JOURNAL_DTYPE, learn_levels
from trading.ledger import UNIT

DAY_MS = 86_400_000
TIERS = (
    FeeTier(Decimal(30_000), Decimal("0.0008"), Decimal("0.0003")),
    FeeTier(Decimal(150_000), Decimal("0.0006"), Decimal("0.0001")),
)


def rough(frictions: Frictions, *, allocation: int = 2000, of: str = "momentum donchian") -> PanelResult:
    simulation = panel_simulation(of, costs=replace(COSTS, frictions=frictions), allocation=Decimal(allocation))
    simulation.run()
    return simulation.result()


@cache
def rough_case(case: str) -> PanelResult:
    simulation = rough_simulation(case)
    simulation.run()
    return simulation.result()


def test_frictions_that_nobody_meets_change_nothing() -> None:
    unmet = Frictions(fee_tiers=(FeeTier(Decimal(10) ** 9, Decimal(0), Decimal(0)),))
    for case in ("momentum donchian", "scalping fade"):
        simulation = panel_simulation(case, costs=replace(COSTS, frictions=unmet))
        simulation.run()

        result, plain = simulation.result(), panel_outcome(case)
        assert result.fills == plain.fills
        assert result.equity.tobytes() == plain.equity.tobytes()


@pytest.mark.parametrize("case", ROUGH)
def test_fills_explain_the_money_to_the_last_unit(case: str) -> None:
    simulation, result = rough_simulation(case), rough_case(case)
    cash, base = result.allocation, dict.fromkeys(result.symbols, Decimal(0))

    for fill in result.fills:
        amount, is_buy = fill.quantity * fill.price, fill.side == "buy"
        quote_fee = fill.fee if fill.fee_asset == "USDT" else Decimal(0)
        cash += (-amount if is_buy else amount) - quote_fee
        base[fill.symbol] += (fill.quantity if is_buy else -fill.quantity) - (fill.fee - quote_fee)
        assert cash >= 0
        assert base[fill.symbol] >= 0

    assert len(result.fills) > 30
    assert (cash, tuple(base.values())) == (result.cash, result.base)
    assert simulation.worlds[0].cash_locked == 0


@pytest.mark.parametrize("case", ["wait", "cancel", "late"])
def test_no_candle_gives_more_than_its_share_of_volume(case: str) -> None:
    given: dict[tuple[str, int], Decimal] = defaultdict(Decimal)
    for fill in rough_case(case).fills:
        given[fill.symbol, fill.time // FIVE_MINUTES * FIVE_MINUTES] += fill.quantity
    full = 0
    for market, candles in zip(MARKETS, panel_market(), strict=True):
        for at, volume in zip(candles.times, candles.values[4], strict=True):
            share = market.lots_floor(Decimal(str(volume))) // 10 * market.lot_size
            assert given[market.symbol, int(at)] <= share
            full += given[market.symbol, int(at)] == share > 0
    # Orders were larger than that, or nothing was tried here.
    assert full > 20


def test_what_waits_is_filled_in_the_next_candles_and_what_is_cancelled_never() -> None:
    moments: dict[Rest, dict[int, list[int]]] = {}
    for rule in (Rest.WAIT, Rest.CANCEL):
        orders: dict[int, list[int]] = defaultdict(list)
        for fill in rough(Frictions(rest=rule), allocation=400_000).fills:
            if fill.kind != "STOP":
                orders[fill.order_id].append(fill.time)
        moments[rule] = orders

    assert all(len(times) == 1 for times in moments[Rest.CANCEL].values())
    several = [times for times in moments[Rest.WAIT].values() if len(times) > 1]
    assert len(several) > 5
    assert all(later - sooner >= FIVE_MINUTES for times in several for sooner, later in pairwise(times))


def test_a_decision_arrives_after_its_way() -> None:
    plain, late, later = (
        rough(Frictions(latency_ms=latency, fee_tiers=TIERS)).fills[0].time for latency in (0, 200, FIVE_MINUTES)
    )

    # Two hundred milliseconds after an open the next price that is known is the next open.
    assert late == later == plain + FIVE_MINUTES


def test_fees_follow_the_volume_of_thirty_whole_days() -> None:
    result = rough(Frictions(fee_tiers=TIERS), allocation=30_000)
    traded: dict[int, Decimal] = defaultdict(Decimal)
    used = set()
    for fill in result.fills:
        day = fill.time // DAY_MS
        volume = sum((traded[past] for past in range(day - 30, day)), Decimal(0))
        taker, maker = COSTS.taker_fee, COSTS.maker_fee
        for tier in TIERS:
            if volume >= tier.volume:
                taker, maker = tier.taker_fee, tier.maker_fee
        received = fill.quantity if fill.side == "buy" else fill.quantity * fill.price
        rate = maker if fill.kind == "LIMIT" else taker
        assert fill.fee == received * rate // UNIT * UNIT
        traded[day] += fill.quantity * fill.price
        used.add(rate)
    assert used == {COSTS.taker_fee, *(tier.taker_fee for tier in TIERS)}


def test_slippage_follows_volatility_and_the_size_of_the_order() -> None:
    frictions = Frictions(slippage_volatility=Decimal("0.25"), slippage_impact=Decimal("0.5"))
    result = rough(frictions, allocation=100_000)
    checked = 0
    for market, candles in zip(MARKETS, panel_market(), strict=True):
        closes, volumes = candles.values[3], candles.values[4]
        entries: dict[int, list[Fill]] = defaultdict(list)
        for fill in result.fills:
            if fill.symbol == market.symbol and fill.kind == "ENTRY":
                entries[fill.order_id].append(fill)
        for fills in entries.values():
            bar = int(np.searchsorted(candles.times, fills[0].time))
            moved = volatility(closes[:bar])
            lots = volumes[max(0, bar - WINDOW) : bar] / float(market.lot_size)
            size = float(sum(fill.quantity for fill in fills)) / float(market.lot_size) / math.floor(lots.mean())
            slip = 0.25 * moved + 0.5 * moved * math.sqrt(size)
            expected = candles.values[0, bar] * (1.0 + float(COSTS.half_spread + COSTS.slippage) + slip)
            # Volatility is a whole number of millionths, a price a whole number of ticks.
            assert float(fills[0].price) == pytest.approx(expected, rel=4e-6, abs=float(market.tick_size) * 1.01)
            checked += 1
    assert checked > 20


def volatility(closes: Floats) -> float:
    moves = np.diff(np.log(closes))[-WINDOW:]
    return float(np.sqrt(np.mean(moves**2)))


def test_the_moves_of_a_candle_are_those_before_it() -> None:
    random = np.random.default_rng(5)
    closes, lots = 100.0 * np.exp(np.cumsum(random.normal(0, 0.01, 60))), random.integers(0, 1000, 60)
    sigma, mean = moves_of(closes, lots)

    assert (sigma[0], sigma[1], mean[0]) == (0, 0, 0)
    for bar in range(2, 60):
        assert sigma[bar] == pytest.approx(1e6 * volatility(closes[:bar]), abs=0.51)
        assert mean[bar] == int(lots[max(0, bar - WINDOW) : bar].mean())
    cut, _ = moves_of(closes[:30], lots[:30])
    assert cut.tolist() == sigma[:30].tolist()


def test_a_stop_comes_first_where_nobody_knows() -> None:
    journal = np.zeros(8, dtype=JOURNAL_DTYPE)
    told = []
    for has_details in (0, 1):
        world = new_world()
        world[0].has_details = has_details
        rest(world, "stop 95")
        rest(world, "sell 103")
        learn_levels(world[0])
        # The high is nearer to the open, so that the usual path meets the target first.
        walk_candle(world[0], journal, (100, 104, 94, 99))
        told.append([int(row["ticks"]) for row in journal[: world[0].fill_count]])
        assert world[0].ambiguous == 1

    assert told == [[103, 94], [94, 103]]


def test_details_say_when_ambiguous_candles_met_their_orders() -> None:
    result = rough_case("details")
    simulation = rough_simulation("details")
    simulation.worlds["has_details"] = 0
    simulation.run()
    untold = simulation.result()

    # What is missing, or tells another story than its candle, resolves nothing.
    assert 0 < result.resolved_bars < result.ambiguous_bars
    assert untold.resolved_bars == 0
    assert untold.ambiguous_bars > 0
    assert [fill.time for fill in untold.fills] != [fill.time for fill in result.fills]


def test_frictions_are_read_back_as_they_were_written() -> None:
    for _, frictions in ROUGH.values():
        assert read_frictions(frictions.as_plain()) == frictions
    assert Frictions(fee_in=FeeIn.QUOTE).as_plain() == {"fee_in": "quote"}


def test_the_lean_loop_refuses_frictions() -> None:
    simulation = rough_simulation("wait")
    with pytest.raises(UnableToBacktest, match="several markets"):
        prepare_backtest(
            definition=simulation.definition,
            params=simulation.params,
            candles=panel_market()[0],
            interval_ms=FIVE_MINUTES,
            instrument=MARKETS[0],
            costs=replace(COSTS, frictions=ROUGH["wait"][1]),
            allocation=Decimal(1000),
            anchor=FIRST_OPEN,
        )
