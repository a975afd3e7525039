"""Sweep a signal that does not depend on the position: one average crosses another.

Buy when the fast average comes to stand above the slow one after it stood below; sell when it
comes to stand below. Averages that are equal change nothing. Whether a whole word of 64 bars can
hold a cross is decided for 64 slow averages at once from the ranges of the values in it; bars are
looked at only where a cross is possible, and money moves only where there is one.
"""

from concurrent.futures import ThreadPoolExecutor
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from trading.bars import Floats, Times
from trading.compilation import inlined, kernel
from trading.sweeps import rows
from trading.sweeps.figures import Figures, Terms, figures_of
from trading.sweeps.ledger import UNITS, Prices, enter, finish, leave, new_states
from trading.sweeps.market import FILL, MARK, SweepMarket, UnableToSweep
from trading.sweeps.masks import ALL, ONE, WORD, first_bit, rows_above, rows_below, value_above, value_below

# What the rows of a tile may take of the second-level cache.
TILE_BYTES: Final = 512 * 1024
TILE_BARS_MAX: Final = 1024


class Scratch(NamedTuple):
    """What one thread works with while it sweeps."""

    slow_rows: Floats
    fast_row: Floats
    # The ranges of the rows, word by word; slow ones beside each other.
    lows: Floats
    highs: Floats
    low: Floats
    high: Floats
    slow_carry: Floats
    fast_carry: Floats
    # One bit per combination: on which side its fast average was last.
    above: npt.NDArray[np.uint64]


def sweep_crosses(market: SweepMarket, pairs: Times, *, kind: int, terms: Terms, threads: int = 1) -> Figures:
    """Try every pair of periods (fast, slow) and answer what each comes to, in the same order."""
    if pairs.ndim != 2 or pairs.shape[1] != 2 or not len(pairs):
        raise UnableToSweep("A sweep of crosses needs at least one pair of periods")
    if (pairs < 1).any():
        raise UnableToSweep("A period is at least 1 bar")
    fast, slow = rows.periods_of(pairs, 0), rows.periods_of(pairs, 1)
    width = -(-len(slow) // WORD) * WORD
    at_fast, at_slow = np.searchsorted(fast, pairs[:, 0]), np.searchsorted(slow, pairs[:, 1])
    wanted = np.zeros((len(fast), width), dtype=np.bool_)
    wanted[at_fast, at_slow] = True
    states = new_states(len(fast) * width)
    parts = np.array_split(np.arange(len(fast)), min(threads, len(fast)))
    # Before threads need them: worked out once.
    prices, sums = Prices.of(market), market.sums
    tile = _tile_bars(len(slow))

    def run(part: Times) -> None:
        begin, end = int(part[0]), int(part[-1]) + 1
        _sweep(
            prices,
            sums,
            kind,
            fast[begin:end],
            slow,
            _as_words(wanted[begin:end]),
            states[begin * width : end * width],
            _new_scratch(end - begin, len(slow), width, tile),
            tile,
            terms.keep_in,
            terms.keep_out,
        )

    with ThreadPoolExecutor(len(parts)) as pool:
        list(pool.map(run, parts))
    return figures_of(states[at_fast * width + at_slow], market)


def _new_scratch(fast: int, slow: int, width: int, tile: int) -> Scratch:
    words = tile // WORD
    return Scratch(
        slow_rows=np.empty(slow * tile),
        fast_row=np.empty(tile),
        lows=np.full(words * width, np.nan),
        highs=np.full(words * width, np.nan),
        low=np.empty(words),
        high=np.empty(words),
        slow_carry=np.zeros(slow),
        fast_carry=np.zeros(fast),
        # A combination that was never below counts as above: it waits to come below first.
        above=np.full((fast, width // WORD), ALL),
    )


def _tile_bars(slow_rows: int) -> int:
    fitting = TILE_BYTES // (8 * max(1, slow_rows)) // WORD * WORD
    return int(min(TILE_BARS_MAX, max(WORD, fitting)))


def _as_words(wanted: np.ndarray) -> np.ndarray:
    return np.packbits(wanted, axis=1, bitorder="little").view(np.uint64)


@kernel
def _sweep(
    prices: Prices,
    sums: Floats,
    kind: int,
    fast: Times,
    slow: Times,
    wanted: Times,
    states: Floats,
    scratch: Scratch,
    tile: int,
    keep_in: float,
    keep_out: float,
) -> None:
    marks = prices.closes[MARK]
    bars, words, width = len(marks), tile // WORD, wanted.shape[1] * WORD
    slow_rows, fast_row, lows, highs, low, high, slow_carry, fast_carry, above = scratch
    for first in range(0, bars - 1, tile):
        for j in range(len(slow)):
            row = slow_rows[j * tile : (j + 1) * tile]
            rows.fill_tile(kind, marks, sums, slow[j], first, row, slow_carry, j)
            rows.fill_ranges(row, slow[j], first, bars - 1, lows, highs, width, j)
        for i in range(len(fast)):
            rows.fill_tile(kind, marks, sums, fast[i], first, fast_row, fast_carry, i)
            rows.fill_ranges(fast_row, fast[i], first, bars - 1, low, high, 1, 0)
            for w in range(words):
                if first + w * WORD >= bars - 1:
                    break
                for g in range(wanted.shape[1]):
                    at = np.uint64(w * width + g * WORD)
                    is_above = value_above(low[w], highs, at)
                    is_below = value_below(high[w], lows, at)
                    open_ones = wanted[i, g] & ~((is_above & above[i, g]) | (is_below & ~above[i, g]))
                    while open_ones != np.uint64(0):
                        bit = first_bit(open_ones)
                        open_ones &= open_ones - ONE
                        j = g * WORD + bit
                        was = (above[i, g] >> np.uint64(bit)) & ONE
                        now = _follow(
                            prices, states, i * width + j, fast_row, slow_rows, w, j * tile, first, was, keep_in, keep_out
                        )
                        above[i, g] ^= (was ^ now) << np.uint64(bit)
    for i in range(len(fast)):
        for j in range(len(slow)):
            if (wanted[i, j // WORD] >> np.uint64(j % WORD)) & ONE:
                finish(prices, states, i * width + j)


@inlined
def _follow(
    prices: Prices,
    states: Floats,
    c: int,
    fast: Floats,
    slow: Floats,
    w: int,
    row: int,
    first: int,
    above: np.uint64,
    keep_in: float,
    keep_out: float,
) -> np.uint64:
    """Act on the crosses of one word, in their order; answer on which side it ends."""
    at, there = np.uint64(w * WORD), np.uint64(row + w * WORD)
    later = ALL
    while True:
        crossed = rows_below(fast, at, slow, there) if above else rows_above(fast, at, slow, there)
        crossed &= later
        if crossed == np.uint64(0):
            return above
        bit = first_bit(crossed)
        later = (ALL << np.uint64(bit)) << ONE
        bar = first + w * WORD + bit
        if not above:
            enter(prices, states, c, bar, keep_in)
        elif states[c, UNITS] > 0.0:
            leave(prices, states, c, bar, prices.closes[FILL, bar], keep_out)
        above ^= ONE
