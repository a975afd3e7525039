"""Sweep a reversal with a stop and a target: buy below the lower band, sell at the mean.

Where a position could be opened and where it would be closed is known before any is held: two
sets of bits. From an entry on, the next set bit of the exits is looked up, and the stop and the
target are looked for up to there in the lowest lows and highest highs of 64 bars at a time.
"""

from concurrent.futures import ThreadPoolExecutor
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from trading.bars import Floats, Times
from trading.compilation import inlined, kernel
from trading.sweeps.figures import Figures, Terms, figures_of
from trading.sweeps.ledger import Prices, enter, finish, leave, new_states
from trading.sweeps.market import BAR_HIGH, BAR_LOW, BAR_OPEN, BLOCK, FILL, HIGHS, LOWS, MARK, SweepMarket, UnableToSweep
from trading.sweeps.masks import ALL, WORD, first_bit, rows_at_least, rows_below, value_at_least, value_at_most

Words = npt.NDArray[np.uint64]

# Columns of a combination.
PERIOD: Final = 0
WIDTH: Final = 1
STOP: Final = 2
TARGET: Final = 3

# Bars whose bands are worked out together, so that the sums stay in the first-level cache.
TILE_BARS: Final = 512


class Touches(NamedTuple):
    """What stops and targets are looked up in."""

    bars: Floats
    blocks: Floats
    far_blocks: Floats


class Bands(NamedTuple):
    """What one thread works with while it sweeps."""

    mean: Floats
    sigma: Floats
    lower: Floats
    entries: Words
    exits: Words


def sweep_reversals(market: SweepMarket, combinations: Floats, *, terms: Terms, threads: int = 1) -> Figures:
    """Try every (period, width, stop, target) and answer what each comes to, in the same order.

    Stop and target are shares of the entry's price, 0 for none.
    """
    if combinations.ndim != 2 or combinations.shape[1] != 4 or not len(combinations):
        raise UnableToSweep("A sweep of reversals needs at least one combination")
    if not np.isfinite(combinations).all() or (combinations < 0).any() or (combinations[:, PERIOD] < 1).any():
        raise UnableToSweep("A period is at least 1 bar; width, stop and target are not below zero")
    if (combinations[:, STOP] >= 1).any():
        raise UnableToSweep("A stop lies less than the whole price away")
    if not market.touches.size:
        raise UnableToSweep("This market was laid out without stops")
    order = np.lexsort((combinations[:, WIDTH], combinations[:, PERIOD]))
    sorted_ones = np.ascontiguousarray(combinations[order], dtype=np.float64)
    states = new_states(len(order))
    prices = Prices.of(market)
    touches = Touches(market.touches, market.touch_blocks, market.far_touch_blocks)

    def run(part: Times) -> None:
        begin, end = int(part[0]), int(part[-1]) + 1
        bands = _new_bands(market.bars)
        _sweep(prices, touches, bands, sorted_ones[begin:end], states[begin:end], terms.keep_in, terms.keep_out)

    parts = np.array_split(np.arange(len(order)), min(threads, len(order)))
    with ThreadPoolExecutor(len(parts)) as pool:
        list(pool.map(run, parts))
    answer = np.empty_like(states)
    answer[order] = states
    return figures_of(answer, market)


def _new_bands(bars: int) -> Bands:
    words = -(-bars // WORD)
    mean, sigma, lower = np.full((3, words * WORD), np.nan)
    entries, exits = np.zeros((2, words), dtype=np.uint64)
    return Bands(mean, sigma, lower, entries, exits)


@kernel
def _sweep(
    prices: Prices, touches: Touches, bands: Bands, combinations: Floats, states: Floats, keep_in: float, keep_out: float
) -> None:
    period, width = 0, -1.0
    for c in range(len(combinations)):
        if int(combinations[c, PERIOD]) != period:
            period, width = int(combinations[c, PERIOD]), -1.0
            fill_bands(prices.closes[MARK], period, bands.mean, bands.sigma, bands.lower)
            _mark_exits(prices, bands)
        if combinations[c, WIDTH] != width:
            width = combinations[c, WIDTH]
            _mark_entries(prices, bands, width)
        _trade(prices, touches, bands, states, c, combinations[c, STOP], combinations[c, TARGET], keep_in, keep_out)
        finish(prices, states, c)


@kernel
def _trade(
    prices: Prices,
    touches: Touches,
    bands: Bands,
    states: Floats,
    c: int,
    stop: float,
    target: float,
    keep_in: float,
    keep_out: float,
) -> None:
    """Go from entry to exit to entry."""
    last_bar = prices.closes.shape[1] - 1
    bar = _next(bands.entries, 0)
    while bar < last_bar:
        enter(prices, states, c, bar, keep_in)
        price = prices.closes[FILL, bar]
        exit_bar = min(_next(bands.exits, bar + 1), last_bar)
        met, sold = _meet(touches, bar + 1, exit_bar, price, stop, target)
        if sold > 0.0:
            leave(prices, states, c, met - 1, sold, keep_out)
            bar = _next(bands.entries, met)
        elif exit_bar < last_bar:
            leave(prices, states, c, exit_bar, prices.closes[FILL, exit_bar], keep_out)
            bar = _next(bands.entries, exit_bar + 1)
        else:
            return


@inlined
def _meet(touches: Touches, first: int, last: int, price: float, stop: float, target: float) -> tuple[int, float]:
    """Find the first bar that meets the stop or the target, and the price there; the stop of both."""
    met, sold = last + 1, 0.0
    if stop > 0.0:
        level = price * (1.0 - stop)
        met = _first_low(touches, first, last, level)
        if met <= last:
            sold = min(touches.bars[BAR_OPEN, met], level)
    if target > 0.0:
        level = price * (1.0 + target)
        reached = _first_high(touches, first, met - 1, level)
        if reached < met:
            met, sold = reached, max(touches.bars[BAR_OPEN, reached], level)
    return met, sold


@inlined
def _first_low(touches: Touches, first: int, last: int, level: float) -> int:
    """Find the first bar whose low is at the level or below; `last + 1` if there is none."""
    block, end = first // BLOCK, last // BLOCK
    later = ALL << np.uint64(first % BLOCK)
    while block <= end:
        if block % BLOCK == 0 and block + BLOCK <= end and touches.far_blocks[LOWS, block // BLOCK] > level:
            block += BLOCK
            continue
        if touches.blocks[LOWS, block] <= level:
            row = touches.bars[BAR_LOW]
            met = value_at_least(level, row, np.uint64(block * BLOCK)) & later
            if met != np.uint64(0):
                return min(block * BLOCK + int(first_bit(met)), last + 1)
        later = ALL
        block += 1
    return last + 1


@inlined
def _first_high(touches: Touches, first: int, last: int, level: float) -> int:
    """Find the first bar whose high is at the level or above; `last + 1` if there is none."""
    block, end = first // BLOCK, last // BLOCK
    later = ALL << np.uint64(first % BLOCK)
    while block <= end:
        if block % BLOCK == 0 and block + BLOCK <= end and touches.far_blocks[HIGHS, block // BLOCK] < level:
            block += BLOCK
            continue
        if touches.blocks[HIGHS, block] >= level:
            row = touches.bars[BAR_HIGH]
            met = value_at_most(level, row, np.uint64(block * BLOCK)) & later
            if met != np.uint64(0):
                return min(block * BLOCK + int(first_bit(met)), last + 1)
        later = ALL
        block += 1
    return last + 1


@inlined
def _next(words: Words, bar: int) -> int:
    """Find the first set bit from the bar on; past the last bar if there is none."""
    w = bar // WORD
    if w >= len(words):
        return len(words) * WORD
    word = words[w] & (ALL << np.uint64(bar % WORD))
    while word == np.uint64(0):
        w += 1
        if w == len(words):
            return w * WORD
        word = words[w]
    return w * WORD + int(first_bit(word))


@kernel
def _mark_exits(prices: Prices, bands: Bands) -> None:
    marks = prices.closes[MARK]
    for w in range(len(bands.exits)):
        at = np.uint64(w * WORD)
        bands.exits[w] = rows_at_least(marks, at, bands.mean, at)


@kernel
def _mark_entries(prices: Prices, bands: Bands, width: float) -> None:
    marks = prices.closes[MARK]
    mean, sigma, lower = bands.mean, bands.sigma, bands.lower
    for t in range(len(lower)):
        lower[t] = mean[t] - width * sigma[t]
    for w in range(len(bands.entries)):
        at = np.uint64(w * WORD)
        bands.entries[w] = rows_below(marks, at, lower, at)


@kernel
def fill_bands(marks: Floats, period: int, mean: Floats, sigma: Floats, scratch: Floats) -> None:
    """Work out mean and population deviation of the last closes, each summed oldest first.

    The last bar gets none: what is decided there is never filled.
    """
    mean[:] = np.nan
    sigma[:] = np.nan
    end = len(marks) - 1
    for first in range(period - 1, end, TILE_BARS):
        count = min(TILE_BARS, end - first)
        average, squares = mean[first : first + count], scratch[:count]
        average[:] = 0.0
        squares[:] = 0.0
        # All bars of a tile take their k-th close together: a vector wide, in the order of a plain sum.
        for k in range(period):
            begin = first - period + 1 + k
            some = marks[begin : begin + count]
            for t in range(count):
                average[t] += some[t]
        for t in range(count):
            average[t] /= period
        for k in range(period):
            begin = first - period + 1 + k
            some = marks[begin : begin + count]
            for t in range(count):
                squares[t] += (some[t] - average[t]) * (some[t] - average[t])
        deviation = sigma[first : first + count]
        for t in range(count):
            deviation[t] = np.sqrt(squares[t] / period)
