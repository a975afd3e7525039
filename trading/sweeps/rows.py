"""Rows of an indicator, one per period, worked out a tile at a time so that they stay in the cache."""

from typing import Final

import numpy as np

from trading.bars import Floats, Times
from trading.compilation import kernel
from trading.sweeps.masks import WORD, highest_of_word, lowest_of_word

SIMPLE: Final = 0
EXPONENTIAL: Final = 1


@kernel
def fill_tile(kind: int, marks: Floats, sums: Floats, period: int, first: int, row: Floats, carry: Floats, k: int) -> None:
    """Fill a row's tile with the averages of the bars from `first` on; NaN where there are none.

    The last bar gets none: what is decided there is never filled.
    """
    bars = len(marks) - 1
    warm = min(max(period - 1 - first, 0), len(row))
    end = min(max(bars - first, warm), len(row))
    row[:warm] = np.nan
    row[end:] = np.nan
    if end <= warm:
        return
    if kind == SIMPLE:
        begin = first + warm
        count = end - warm
        later, earlier = sums[begin + 1 : begin + 1 + count], sums[begin + 1 - period : begin + 1 - period + count]
        answer = row[warm:end]
        for t in range(count):
            answer[t] = (later[t] - earlier[t]) / period
        return
    weight = 2.0 / (period + 1.0)
    level = carry[k]
    for t in range(warm, end):
        if first + t == period - 1:
            level = sums[period] / period
        else:
            level += (marks[first + t] - level) * weight
        row[t] = level
    carry[k] = level


@kernel
def fill_ranges(row: Floats, period: int, first: int, last: int, lows: Floats, highs: Floats, stride: int, k: int) -> None:
    """Note the lowest and highest value per word; a word with a NaN may be anywhere."""
    for w in range(len(row) // WORD):
        begin = first + w * WORD
        if begin < period - 1 or begin + WORD > last:
            lows[w * stride + k], highs[w * stride + k] = -np.inf, np.inf
        else:
            at = np.uint64(w * WORD)
            lows[w * stride + k], highs[w * stride + k] = lowest_of_word(row, at), highest_of_word(row, at)


def periods_of(pairs: Times, column: int) -> Times:
    """List the periods that occur, each once."""
    return np.unique(pairs[:, column])
