"""Results in R, the system quality number, and how much of what was ordered was filled."""

from __future__ import annotations

import math
import statistics
from dataclasses import replace
from decimal import Decimal
from functools import cache

import numpy as np
import pytest
from scipy import stats

from tests.strategies.cases import CASES, outcome
from tests.strategies.panels import PANELS, panel_outcome, rough_simulation
from tests.trading.markets import COARSE
from tests.trading.test_matching import new_world, rest, sized, walk
from tests.trading.test_metrics import Fill, fill, trip
from trading.fill_ratios import OrderTally, fill_ratio
from trading.kernels.backtest import BacktestResult
from trading.kernels.matching import execute
from trading.kernels.panel_backtest import PanelResult
from trading.kernels.tallies import read_tallies
from trading.kernels.world import JOURNAL_DTYPE
from trading.metrics import wilson_interval
from trading.round_trips import RoundTrip, closed_trips, round_trips
from trading.strategy import BUY, DecisionKind, OrderKind, Reason
from trading.trade_figures import risk_figures, system_quality

LOT = Decimal("0.01")


def entry(time: int, quantity: str, price: str, stop: str | None) -> Fill:
    return replace(fill(time, "buy", quantity, price), stop_price=None if stop is None else Decimal(stop))


def in_r(*multiples: str) -> list[RoundTrip]:
    """Make trades that risked 20 each."""
    return [trip(str(20 * Decimal(one)))._replace(risk=Decimal(20)) for one in multiples]


def test_a_trade_is_measured_by_what_its_entries_risked() -> None:
    fills = [entry(1, "2", "100", "95"), entry(2, "1", "110", "104"), fill(3, "sell", "2.997", "120")]

    (one,) = round_trips(fills, LOT)

    assert one.risk == 2 * 5 + 1 * 6
    assert one.multiple == float(one.profit / 16)


@pytest.mark.parametrize(
    "fills",
    [
        [entry(1, "2", "100", None), fill(2, "sell", "1.998", "120")],
        [entry(1, "2", "100", "95"), entry(2, "1", "110", None), fill(3, "sell", "2.997", "120")],
        [entry(1, "2", "100", "100"), fill(2, "sell", "1.998", "120")],
    ],
    ids=["no stop", "one of two without", "filled at its stop"],
)
def test_no_stop_no_r(fills: list[Fill]) -> None:
    (one,) = round_trips(fills, LOT)

    assert (one.risk, one.multiple) == (None, None)
    found = risk_figures([one])
    assert (found.r_trades, found.r_less, found.r_expectancy, found.sqn) == (0, 1, None, None)


def test_the_risk_of_one_trade_is_not_the_next_ones() -> None:
    first = [entry(1, "1", "100", None), fill(2, "sell", "0.999", "90")]
    second = [entry(3, "1", "100", "90"), fill(4, "sell", "0.999", "110")]

    assert [one.risk for one in round_trips([*first, *second], LOT)] == [None, 10]


def test_expectancy_and_quality_are_those_of_the_book() -> None:
    multiples = [2.0, -1.0, 0.5, -1.0, 3.0, -0.25]
    found = risk_figures([*in_r(*map(str, multiples)), trip("50")])

    low, high = stats.t.interval(0.95, 5, loc=np.mean(multiples), scale=stats.sem(multiples))
    assert (found.r_trades, found.r_less, found.r_best, found.r_worst) == (6, 1, 3.0, -1.0)
    assert found.r_expectancy == pytest.approx(statistics.fmean(multiples), rel=1e-12)
    assert [found.r_expectancy_low, found.r_expectancy_high] == pytest.approx([low, high], rel=1e-9)
    assert found.sqn == pytest.approx(math.sqrt(6) * statistics.fmean(multiples) / statistics.stdev(multiples), rel=1e-12)


def test_quality_counts_a_hundred_trades_at_most() -> None:
    some = np.random.default_rng(3).normal(0.2, 1.0, 400).tolist()

    assert system_quality(some) == pytest.approx(10 * statistics.fmean(some) / statistics.stdev(some), rel=1e-12)
    assert system_quality(some[:99]) == pytest.approx(
        math.sqrt(99) * statistics.fmean(some[:99]) / statistics.stdev(some[:99]), rel=1e-12
    )


def test_too_few_trades_or_equal_ones_have_no_quality() -> None:
    assert system_quality([1.0, -1.0, 2.0, 0.5]) is None
    assert system_quality([0.1] * 30) is None
    assert risk_figures(in_r("1", "-1")).r_expectancy == 0.0
    assert risk_figures(in_r("1", "-1")).r_expectancy_low is None


def test_orders_are_counted_whole_and_by_quantity() -> None:
    tallies = [
        OrderTally("A/USDT", "LIMIT", 8, 4, Decimal(80), Decimal(50)),
        OrderTally("B/USDT", "ENTRY", 2, 2, Decimal(1), Decimal(1)),
        OrderTally("B/USDT", "STOP", 9, 1, Decimal(9), Decimal(1)),
    ]

    found = fill_ratio(tallies, {"A/USDT": Decimal(1), "B/USDT": Decimal(20)})

    assert (found.orders, found.filled, found.by_count) == (10, 6, 0.6)
    assert (found.by_count_low, found.by_count_high) == wilson_interval(6, 10)
    # A coin of the one market is worth twenty of the other.
    assert found.by_quantity == 0.7


def test_without_orders_there_is_no_ratio() -> None:
    found = fill_ratio([OrderTally("A/USDT", "STOP", 9, 1, Decimal(9), Decimal(1))], {"A/USDT": Decimal(1)})

    assert (found.orders, found.by_count, found.by_count_low, found.by_quantity) == (0, None, None, None)


def test_the_journal_keeps_the_stop_that_an_entry_came_with() -> None:
    world, journal = new_world(volume_lots=100), np.zeros(64, dtype=JOURNAL_DTYPE)
    # A row that was written in a walk that was taken back must tell nothing of it.
    journal["stop_ticks"] = 77
    world[0].base_owned = 0
    world[0].tick_now = 1000
    execute(world[0], journal, sized(DecisionKind.ENTER, lots=25, limit=1100, stop=900))
    execute(world[0], journal, sized(DecisionKind.MOVE_STOP, stop=950))
    execute(world[0], journal, sized(DecisionKind.EXIT, lots=25))

    told = [(int(row.kind), int(row.lots), int(row.stop_ticks)) for row in journal[: world[0].fill_count]]
    entered = [(OrderKind.ENTRY, lots, 900) for lots in (10, 10, 5)]
    assert told == entered + [(OrderKind.EXIT, lots, 0) for lots in (10, 10, 5)]


def test_each_order_that_the_exchange_took_is_counted_once() -> None:
    world, journal = new_world(volume_lots=1000), np.zeros(64, dtype=JOURNAL_DTYPE)
    w = world[0]
    w.tick_now, w.base_owned = 100, 20 * w.units_per_lot
    assert execute(w, journal, sized(DecisionKind.ENTER, lots=5, limit=105, stop=90)) == Reason.NONE
    # Beyond its collar, too dear, and one that would take: the last two never became orders.
    assert execute(w, journal, sized(DecisionKind.ENTER, lots=5, limit=100, stop=90)) == Reason.ORDER_EXPIRED
    assert execute(w, journal, sized(DecisionKind.ENTER, lots=10**6, limit=105)) == Reason.CAPITAL_INSUFFICIENT
    assert execute(w, journal, sized(DecisionKind.PLACE, lots=2, limit=101, side=BUY)) == Reason.ORDER_WOULD_TAKE
    assert execute(w, journal, sized(DecisionKind.PLACE, lots=4, limit=95)) == Reason.NONE
    execute(w, journal, sized(DecisionKind.CANCEL))
    rest(world, "buy 97", lots=3)
    rest(world, "buy 93", lots=6)
    w.budget_lots = 5

    walk(world, (100, 101, 91, 92))

    # Of the last buy two lots were filled, and it lives, as the stop does: they are in no tally.
    assert {one.kind: (one.orders, one.filled, one.quantity, one.quantity_filled) for one in read_tallies(world, [COARSE])} == {
        "ENTRY": (2, 1, Decimal("1.0"), Decimal("0.5")),
        "LIMIT": (2, 1, Decimal("0.7"), Decimal("0.3")),
    }


@cache
def rough_outcome(case: str) -> PanelResult:
    simulation = rough_simulation(case)
    simulation.run()
    return simulation.result()


def check_tallies(result: BacktestResult | PanelResult) -> None:
    """Compare what worlds counted with what the journal tells, fill by fill."""
    for tally in result.tallies:
        fills = [one for one in result.fills if one.kind == tally.kind and (one.symbol == tally.symbol)]
        live = sum(one.quantity for one in fills) - tally.quantity_filled
        assert 0 <= tally.filled <= tally.orders
        assert tally.filled <= len({one.order_id for one in fills})
        assert 0 <= live <= tally.quantity + live
        assert tally.quantity_filled <= tally.quantity
        if tally.kind in ("ENTRY", "EXIT"):
            assert live == 0


@pytest.mark.parametrize("case", CASES)
def test_what_is_counted_is_what_the_journal_tells(case: str) -> None:
    check_tallies(outcome(case))


@pytest.mark.parametrize("case", PANELS)
def test_so_it_is_on_several_markets(case: str) -> None:
    check_tallies(panel_outcome(case))


def test_thin_candles_leave_orders_unfilled() -> None:
    called_off, waited = rough_outcome("cancel"), rough_outcome("wait")
    prices = dict(zip(called_off.symbols, called_off.last_prices, strict=True))
    check_tallies(called_off)
    check_tallies(waited)

    found = fill_ratio(called_off.tallies, prices)

    assert found.by_count is not None
    assert found.by_quantity is not None
    assert 0 < found.by_count < found.by_quantity < 1
    # What comes with a later candle came with the same stop.
    later = [one for one in waited.fills if one.kind == "ENTRY"]
    stops: dict[int, set[Decimal | None]] = {}
    for one in later:
        stops.setdefault(one.order_id, set()).add(one.stop_price)
    assert any(len({one.time for one in later if one.order_id == order}) > 1 for order in stops)
    assert all(len(told) == 1 and None not in told for told in stops.values())


def test_only_entries_tell_a_stop_and_each_lies_below_its_price() -> None:
    told = [one for case in CASES for one in outcome(case).fills if one.stop_price is not None]

    assert {one.kind for one in told} == {"ENTRY"}
    # A stop above its fill sells at once.
    assert sum(one.stop_price < one.price for one in told if one.stop_price is not None) > 0.99 * len(told) > 100


def test_a_market_without_a_price_leaves_quantities_apart() -> None:
    tallies = [
        OrderTally("A/USDT", "ENTRY", 2, 1, Decimal(8), Decimal(5)),
        OrderTally("B/USDT", "ENTRY", 1, 1, Decimal(1), Decimal(1)),
    ]

    found = fill_ratio(tallies, {"A/USDT": Decimal(1)})

    assert (found.by_count, found.by_quantity) == (2 / 3, None)


def test_dust_that_was_there_before_is_held_with_what_is_bought() -> None:
    """Half a lot of it and half a lot that a fee left behind are one that can be sold: the trade ends with that."""
    fills = [entry(1, "1.005", "100", "90"), fill(2, "sell", "1", "110"), fill(3, "sell", "0.01", "110")]

    (short,), (whole,) = round_trips(fills, LOT), round_trips(fills, LOT, Decimal("0.009"))

    assert (short.closed, whole.closed) == (2, 3)
    assert closed_trips(fills, {"ETH/USDT": LOT}, is_grid=False, held={"ETH/USDT": Decimal("0.009")}) == [
        whole._replace(symbol="ETH/USDT")
    ]
