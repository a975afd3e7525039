"""Sweep a reversal with a stop and a target: buy below the lower band, sell at the mean.

Where a position could be opened and where it would be closed is known before any is held: two
sets of bits. From an entry on, the next set bit of the exits is looked up, and the stop and the
target are looked for up to there in the lowest lows and highest highs of 64 bars at a time.

All combinations go through one tile of bars before any goes on to the next: what they read of it
stays in the cache.
"""

from concurrent.futures import ThreadPoolExecutor
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from trading.bars import Floats, Times
from trading.compilation import inlined, kernel
from trading.sweeps.figures import Figures, Terms, figures_of
from trading.sweeps.ledger import ENTRY, UNITS, Prices, enter, finish, leave, leave_between, new_states
from trading.sweeps.market import BAR_HIGH, BAR_LOW, BAR_OPEN, BLOCK, FILL, HIGHS, LOWS, MARK, SweepMarket, UnableToSweep
from trading.sweeps.masks import ALL, WORD, first_bit, row_below_band, rows_at_least, value_at_least, value_at_most

Words = npt.NDArray[np.uint64]

# Columns of a combination.
PERIOD: Final = 0
WIDTH: Final = 1
STOP: Final = 2
TARGET: Final = 3

# What is read of so many bars, nine prices each and the bands, stays in the second-level cache.
TILE_BARS: Final = 64 * WORD
# Bars whose bands are worked out together, so that the sums stay in the first-level cache.
STRETCH_BARS: Final = 512
# Closes of one window that are added to its sum at once.
AT_ONCE: Final = 4


class Touches(NamedTuple):
    """What stops and targets are looked up in."""

    bars: Floats
    blocks: Floats
    far_blocks: Floats


class Bands(NamedTuple):
    """What one thread works with while it sweeps: the bands of a tile, and one bit per bar of it."""

    mean: Floats
    sigma: Floats
    entries: Words
    exits: Words
    # From each bar on, and from the one after the last: the next exit's place in the tile, its length if there is none.
    next_exit: Times
    # Extremes of the bars up to that exit, or to the end of the tile: of what could trade, and of the closes.
    low: Floats
    high: Floats
    low_close: Floats
    high_close: Floats


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
        _sweep(prices, touches, _new_bands(), sorted_ones[begin:end], states[begin:end], terms.keep_in, terms.keep_out)

    parts = np.array_split(np.arange(len(order)), min(threads, len(order)))
    with ThreadPoolExecutor(len(parts)) as pool:
        list(pool.map(run, parts))
    answer = np.empty_like(states)
    answer[order] = states
    return figures_of(answer, market)


def _new_bands() -> Bands:
    mean, sigma = np.full((2, TILE_BARS), np.nan)
    entries, exits = np.zeros((2, TILE_BARS // WORD), dtype=np.uint64)
    return Bands(mean, sigma, entries, exits, np.full(TILE_BARS + 1, TILE_BARS), *np.zeros((4, TILE_BARS + 1)))


@kernel
def _sweep(
    prices: Prices, touches: Touches, bands: Bands, combinations: Floats, states: Floats, keep_in: float, keep_out: float
) -> None:
    marks = prices.closes[MARK]
    for first in range(0, len(marks), TILE_BARS):
        period, width = 0, -1.0
        for c in range(len(combinations)):
            if int(combinations[c, PERIOD]) != period:
                period, width = int(combinations[c, PERIOD]), -1.0
                _fill_bands(marks, first, period, bands)
                _mark_exits(marks, first, bands)
                _look_ahead(prices, touches, first, bands)
            if combinations[c, WIDTH] != width:
                if width < 0.0:
                    bands.entries[:] = ALL
                width = combinations[c, WIDTH]
                _mark_entries(marks, first, bands, width)
            _trade(prices, touches, bands, states, c, first, combinations[c, STOP], combinations[c, TARGET], keep_in, keep_out)
    for c in range(len(combinations)):
        finish(prices, states, c)


@kernel
def _trade(
    prices: Prices,
    touches: Touches,
    bands: Bands,
    states: Floats,
    c: int,
    first: int,
    stop: float,
    target: float,
    keep_in: float,
    keep_out: float,
) -> None:
    """Go from entry to exit to entry, through the tile that begins with the bar `first`."""
    last = min(first + TILE_BARS, prices.closes.shape[1]) - 1
    bar, holds = first, states[c, UNITS] > 0.0
    while True:
        if not holds:
            bar = first + _next(bands.entries, bar - first)
            if bar > last:
                return
            enter(prices, states, c, bar, keep_in)
            bar += 1
        entry, at = int(states[c, ENTRY]), bar - first
        price, exit_bar = prices.closes[FILL, entry], first + bands.next_exit[at]
        is_stopped = stop > 0.0 and bands.low[at] <= price * (1.0 - stop)
        if is_stopped or (target > 0.0 and bands.high[at] >= price * (1.0 + target)):
            met, sold = _meet(touches, bar, min(exit_bar, last), price, stop, target)
            leave(prices, states, c, met - 1, sold, keep_out)
            bar = met
        elif exit_bar > last:
            return
        else:
            sold = prices.closes[FILL, exit_bar]
            if bar == entry + 1:
                leave_between(prices, states, c, exit_bar, sold, keep_out, bands.low_close[at], bands.high_close[at])
            else:
                # It was held before this tile.
                leave(prices, states, c, exit_bar, sold, keep_out)
            bar = exit_bar + 1
        holds = False


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
        if block % BLOCK == 0 and touches.far_blocks[LOWS, block // BLOCK] > level:
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
        if block % BLOCK == 0 and touches.far_blocks[HIGHS, block // BLOCK] < level:
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


@inlined
def _words(marks: Floats, first: int) -> int:
    """Count the words of 64 bars that a tile has: the last tile of all is shorter."""
    return min(TILE_BARS // WORD, (len(marks) - first + WORD - 1) // WORD)


@kernel
def _mark_exits(marks: Floats, first: int, bands: Bands) -> None:
    bands.exits[:] = 0
    for w in range(_words(marks, first)):
        at = np.uint64(w * WORD)
        bands.exits[w] = rows_at_least(marks, np.uint64(first) + at, bands.mean, at)


@kernel
def _look_ahead(prices: Prices, touches: Touches, first: int, bands: Bands) -> None:
    """Work out what lies between each bar of a tile and its next exit: the same for all widths, stops and targets."""
    marks, count = prices.closes[MARK], min(TILE_BARS, prices.closes.shape[1] - first)
    next_exit, low, high, low_close, high_close = TILE_BARS, np.inf, -np.inf, np.inf, -np.inf
    for at in range(TILE_BARS, -1, -1):
        if at < count:
            bar = first + at
            if (bands.exits[at // WORD] >> np.uint64(at % WORD)) & np.uint64(1):
                next_exit, low, high, low_close, high_close = at, np.inf, -np.inf, np.inf, -np.inf
            low, high = min(low, touches.bars[BAR_LOW, bar]), max(high, touches.bars[BAR_HIGH, bar])
            low_close, high_close = min(low_close, marks[bar]), max(high_close, marks[bar])
        bands.next_exit[at], bands.low[at], bands.high[at] = next_exit, low, high
        bands.low_close[at], bands.high_close[at] = low_close, high_close


@kernel
def _mark_entries(marks: Floats, first: int, bands: Bands, width: float) -> None:
    """Keep the bars that are below a band that is no narrower than the last one: those that were not before are not now.

    However products and differences are rounded, more width never makes a lower band higher.
    """
    words = _words(marks, first)
    bands.entries[words:] = 0
    for w in range(words):
        if bands.entries[w] != np.uint64(0):
            at = np.uint64(w * WORD)
            bands.entries[w] = row_below_band(marks, np.uint64(first) + at, bands.mean, bands.sigma, at, width)


@kernel
def _fill_bands(marks: Floats, first: int, period: int, bands: Bands) -> None:
    """Work out mean and population deviation of the last closes at each bar of a tile, each summed oldest first.

    The last bar of all gets none: what is decided there is never filled.
    """
    bands.mean[:] = np.nan
    bands.sigma[:] = np.nan
    end = min(first + TILE_BARS, len(marks) - 1)
    for begin in range(max(first, period - 1), end, STRETCH_BARS):
        at, count = begin - first, min(STRETCH_BARS, end - begin)
        mean, squares = bands.mean[at : at + count], bands.sigma[at : at + count]
        # All bars of a stretch take their k-th close together, a vector wide and some closes at once, in the order of a
        # plain sum.
        oldest = marks[begin - period + 1 : begin + count]
        mean[:] = 0.0
        squares[:] = 0.0
        k = 0
        while k + AT_ONCE <= period:
            one, two, three, four = _four(oldest, k, count)
            for t in range(count):
                mean[t] = mean[t] + one[t] + two[t] + three[t] + four[t]
            k += AT_ONCE
        for rest in range(k, period):
            some = oldest[rest : rest + count]
            for t in range(count):
                mean[t] += some[t]
        for t in range(count):
            mean[t] /= period
        k = 0
        while k + AT_ONCE <= period:
            one, two, three, four = _four(oldest, k, count)
            for t in range(count):
                a, b, c, d = one[t] - mean[t], two[t] - mean[t], three[t] - mean[t], four[t] - mean[t]
                squares[t] = squares[t] + a * a + b * b + c * c + d * d
            k += AT_ONCE
        for rest in range(k, period):
            some = oldest[rest : rest + count]
            for t in range(count):
                squares[t] += (some[t] - mean[t]) * (some[t] - mean[t])
        for t in range(count):
            squares[t] = np.sqrt(squares[t] / period)


@inlined
def _four(values: Floats, k: int, count: int) -> tuple[Floats, Floats, Floats, Floats]:
    """Answer the values from the k-th on, and from each of the next three on."""
    return values[k : k + count], values[k + 1 : k + 1 + count], values[k + 2 : k + 2 + count], values[k + 3 : k + 3 + count]
