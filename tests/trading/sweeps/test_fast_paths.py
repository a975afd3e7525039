"""The fast paths of sweeps against a plain loop over the bars: bit for bit, on the markets that trip kernels up."""

from __future__ import annotations

import math
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from tests.trading.markets import FIRST_OPEN, random_walk
from trading import metrics
from trading.bars import Candles, Floats
from trading.compilation import interpreted
from trading.sweeps import loops, rows
from trading.sweeps.crosses import sweep_crosses
from trading.sweeps.figures import Figures, Terms
from trading.sweeps.market import UnableToSweep, lay_market
from trading.sweeps.reversals import sweep_reversals

HOUR = 3_600_000
TERMS = Terms.of(fee=Decimal("0.001"), half_spread=Decimal("0.00005"), slippage=Decimal("0.0002"))
AVERAGES = {rows.SIMPLE: loops.simple_average, rows.EXPONENTIAL: loops.exponential_average}
# Borders of words, blocks and tiles, one bar, and days that end early.
LENGTHS = (1, 2, 63, 64, 65, 127, 128, 129, 1000, 4095, 4096, 4097, 6001, 8193)
TICKS = (0.01, 1.0, 10.0, 100.0)


def market_of(seed: int, bars: int, tick: float, interval_ms: int = HOUR) -> Candles:
    """Make candles that begin in the middle of a day."""
    candles = random_walk(seed=seed, bars=bars, interval_ms=interval_ms, tick=tick)
    return Candles(interval_ms, candles.times + 7 * interval_ms, candles.values)


def assert_agrees(figures: Figures, at: int, candles: Candles, walked: tuple[Floats, Floats, Floats]) -> None:
    """Compare one combination with what the loop says; only the Sharpe ratio sums in another order."""
    equity, position, profits = walked
    assert figures.final_equity[at] == equity[-1]
    assert figures.max_drawdown[at] == metrics.max_drawdown(np.append(1.0, equity))
    assert figures.trades[at] == len(profits)
    assert figures.wins[at] == np.count_nonzero(profits > 0)
    assert figures.won[at] == pytest.approx(profits[profits > 0].sum(), rel=1e-9, abs=1e-15)
    assert figures.lost[at] == pytest.approx(-profits[profits <= 0].sum(), rel=1e-9, abs=1e-15)
    assert figures.exposure[at] == pytest.approx(np.mean(position > 0), rel=1e-12)
    expected = metrics.sharpe(metrics.daily_returns(candles.times, equity))
    if expected is None:
        assert math.isnan(figures.sharpe[at])
    else:
        assert figures.sharpe[at] == pytest.approx(expected, rel=1e-9)


def check_crosses(candles: Candles, pairs: list[tuple[int, int]], kind: int, threads: int) -> int:
    figures = sweep_crosses(lay_market(candles), np.array(pairs), kind=kind, terms=TERMS, threads=threads)
    closes = candles.values[3]
    for at, (fast, slow) in enumerate(pairs):
        signals = loops.cross_signals(AVERAGES[kind](closes, fast), AVERAGES[kind](closes, slow))
        walked = loops.walk(candles.values, signals, TERMS.keep_in, TERMS.keep_out, 0.0, 0.0)
        assert_agrees(figures, at, candles, walked)
    return int(figures.trades.sum())


def check_reversals(candles: Candles, combinations: list[tuple[float, ...]], threads: int) -> int:
    figures = sweep_reversals(lay_market(candles), np.array(combinations, dtype=np.float64), terms=TERMS, threads=threads)
    closes = candles.values[3]
    for at, (period, width, stop, target) in enumerate(combinations):
        mean, sigma = loops.mean_and_deviation(closes, int(period))
        signals = loops.reversal_signals(closes, mean, sigma, width)
        walked = loops.walk(candles.values, signals, TERMS.keep_in, TERMS.keep_out, stop, target)
        assert_agrees(figures, at, candles, walked)
    return int(figures.trades.sum())


@pytest.mark.parity("P6")
@settings(max_examples=40, deadline=None)
@given(
    seed=some.integers(0, 10_000),
    bars=some.sampled_from(LENGTHS),
    tick=some.sampled_from(TICKS),
    kind=some.sampled_from(sorted(AVERAGES)),
    pairs=some.lists(some.tuples(some.integers(1, 40), some.integers(1, 200)), min_size=1, max_size=40),
    threads=some.integers(1, 3),
)
def test_crosses_agree_with_the_loop(
    seed: int, bars: int, tick: float, kind: int, pairs: list[tuple[int, int]], threads: int
) -> None:
    check_crosses(market_of(seed, bars, tick), pairs, kind, threads)


@pytest.mark.parity("P6")
@settings(max_examples=40, deadline=None)
@given(
    seed=some.integers(0, 10_000),
    bars=some.sampled_from(LENGTHS),
    tick=some.sampled_from(TICKS),
    combinations=some.lists(
        some.tuples(
            some.integers(1, 70),
            some.sampled_from((0.0, 0.5, 1.0, 2.0)),
            some.sampled_from((0.0, 0.002, 0.01, 0.3)),
            some.sampled_from((0.0, 0.004, 0.03)),
        ),
        min_size=1,
        max_size=40,
    ),
    threads=some.integers(1, 3),
)
def test_reversals_agree_with_the_loop(
    seed: int, bars: int, tick: float, combinations: list[tuple[float, ...]], threads: int
) -> None:
    check_reversals(market_of(seed, bars, tick), combinations, threads)


def test_a_long_market_has_trades_that_span_blocks_of_blocks() -> None:
    candles = market_of(5, 20_000, 0.01)

    assert check_crosses(candles, [(20, 50), (300, 2000), (1000, 5000), (1, 9000)], rows.SIMPLE, 2) > 100
    assert check_reversals(candles, [(20, 2.0, 0.02, 0.0), (2000, 1.0, 0.0, 0.9), (4000, 0.5, 0.5, 0.0)], 2) > 100


@pytest.mark.parametrize("interval_ms", [60_000, 4 * HOUR, 24 * HOUR])
def test_other_intervals_sample_their_days(interval_ms: int) -> None:
    candles = market_of(6, 3000, 1.0, interval_ms)

    assert check_crosses(candles, [(3, 10), (20, 50)], rows.SIMPLE, 1) > 10
    assert check_reversals(candles, [(10, 1.0, 0.01, 0.02)], 1) > 10


def test_a_market_with_missing_days_agrees() -> None:
    candles = market_of(7, 3000, 1.0)
    there = np.ones(len(candles), dtype=np.bool_)
    there[500:700] = there[1000] = there[2000:2100] = False
    gapped = Candles(HOUR, candles.times[there], np.ascontiguousarray(candles.values[:, there]))

    assert check_crosses(gapped, [(3, 10), (20, 50)], rows.SIMPLE, 1) > 10


def test_a_dead_market_never_trades_and_has_no_sharpe() -> None:
    values = np.full((5, 2000), 100.0)
    dead = Candles(HOUR, FIRST_OPEN + np.arange(2000, dtype=np.int64) * HOUR, values)

    assert check_crosses(dead, [(5, 20), (1, 2)], rows.SIMPLE, 1) == 0
    figures = sweep_crosses(lay_market(dead), np.array([(5, 20)]), kind=rows.SIMPLE, terms=TERMS)

    assert figures.final_equity.tolist() == [1.0]
    assert figures.max_drawdown.tolist() == [0.0]
    assert np.isnan(figures.sharpe).all()
    assert np.isnan(figures.win_rate).all()


def test_equal_averages_hold_the_state() -> None:
    # The fast average is the close: below, equal, above, equal, equal, below.
    closes = [10, 9, 8, 8, 8, 9, 9, 9, 9, 8, 8, 8]
    values = np.array([closes] * 4 + [[1.0] * 12], dtype=np.float64)
    candles = Candles(HOUR, FIRST_OPEN + np.arange(12, dtype=np.int64) * HOUR, values)

    signals = loops.cross_signals(loops.simple_average(values[3], 1), loops.simple_average(values[3], 3))

    assert signals.tolist() == [0, 0, 2, 0, 0, 1, 0, 0, 0, 2, 0, 0]
    assert check_crosses(candles, [(1, 3)], rows.SIMPLE, 1) == 1


def test_the_loop_itself_agrees_with_plain_python() -> None:
    candles = market_of(8, 400, 10.0)
    closes = candles.values[3]
    mean, sigma = interpreted(loops.mean_and_deviation)(closes, 20)
    signals = interpreted(loops.reversal_signals)(closes, mean, sigma, 1.0)

    for stop, target in ((0.0, 0.0), (0.01, 0.02)):
        plain = interpreted(loops.walk)(candles.values, signals, 0.999, 0.998, stop, target)
        quick = loops.walk(candles.values, signals, 0.999, 0.998, stop, target)
        assert len(plain[2]) > 3
        for one, other in zip(plain, quick, strict=True):
            assert np.array_equal(one, other)


def test_a_market_without_stops_is_enough_for_crosses_only() -> None:
    candles = market_of(11, 3000, 1.0)
    whole, light = lay_market(candles), lay_market(candles, has_stops=False)
    pairs = np.array([(5, 20), (10, 40)])

    one, other = (sweep_crosses(market, pairs, kind=rows.SIMPLE, terms=TERMS) for market in (whole, light))

    assert np.array_equal(one.final_equity, other.final_equity)
    with pytest.raises(UnableToSweep, match="without stops"):
        sweep_reversals(light, np.array([(20.0, 1.0, 0.01, 0.0)]), terms=TERMS)


def test_the_order_of_combinations_and_threads_changes_nothing() -> None:
    market = lay_market(market_of(9, 4000, 1.0))
    pairs = np.array([(fast, slow) for fast in range(2, 12) for slow in range(20, 30)])

    one = sweep_crosses(market, pairs, kind=rows.SIMPLE, terms=TERMS, threads=1)
    turned = sweep_crosses(market, pairs[::-1], kind=rows.SIMPLE, terms=TERMS, threads=3)

    assert np.array_equal(one.final_equity, turned.final_equity[::-1])
    assert np.array_equal(one.sharpe, turned.sharpe[::-1], equal_nan=True)


def test_break_even_is_the_win_rate_that_earns_nothing() -> None:
    figures = sweep_crosses(lay_market(market_of(10, 6000, 0.01)), np.array([(5, 20)]), kind=rows.SIMPLE, terms=TERMS)
    losses = figures.trades - figures.wins
    win, loss = figures.won / figures.wins, figures.lost / losses

    rate = figures.break_even_win_rate[0]

    assert 0 < rate < 1
    assert rate * win[0] == pytest.approx((1 - rate) * loss[0])


@pytest.mark.parametrize("pairs", [np.empty((0, 2), dtype=np.int64), np.array([1, 2]), np.array([(0, 5)])])
def test_a_sweep_of_nothing_is_refused(pairs: np.ndarray) -> None:
    with pytest.raises(UnableToSweep):
        sweep_crosses(lay_market(market_of(1, 100, 1.0)), pairs, kind=rows.SIMPLE, terms=TERMS)


@pytest.mark.parametrize(
    "combination", [(0, 1, 0, 0), (5, -1, 0, 0), (5, 1, 1, 0), (5, 1, 0, -1), (5, math.nan, 0, 0), (5, 1, math.inf, 0)]
)
def test_a_reversal_that_makes_no_sense_is_refused(combination: tuple[float, ...]) -> None:
    with pytest.raises(UnableToSweep):
        sweep_reversals(lay_market(market_of(1, 100, 1.0)), np.array([combination], dtype=np.float64), terms=TERMS)
