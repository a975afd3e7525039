"""A market laid out for sweeps: prices, their extremes per 64 bars, and the bars whose equity is sampled."""

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np

from trading.bars import Candles, Floats, Times
from trading.compilation import allocating
from trading.metrics import midnight_bars
from trading.strategy import CLOSE, HIGH, LOW, OPEN

BLOCK: Final = 64

# Rows of `SweepMarket.closes`: the close, and the price at which a decision of the bar is filled.
MARK: Final = 0
FILL: Final = 1

# Rows of `SweepMarket.reaches`: the extremes of the closes from the start of the bar's block to it, and from it to the end.
HEAD_LOW: Final = 0
HEAD_HIGH: Final = 1
TAIL_LOW: Final = 2
TAIL_HIGH: Final = 3

# Rows of `SweepMarket.touches`.
BAR_OPEN: Final = 0
BAR_LOW: Final = 1
BAR_HIGH: Final = 2

# Rows of the tables of extremes per block.
LOWS: Final = 0
HIGHS: Final = 1


class UnableToSweep(ValueError):
    """These inputs make no sweep."""


@dataclass(frozen=True, eq=False)
class SweepMarket:
    """One market's candles as the kernels read them; bars without a candle are left out.

    What follows from the closes alone is worked out when it is first asked for: until then the
    candles may have been let go, which for years of minutes are as large.
    """

    bars: int
    closes: Floats
    # Lowest and highest close per block, and per block of blocks.
    blocks: Floats
    far_blocks: Floats
    # Open, low and high per bar, lowest low and highest high per block and per block of blocks.
    touches: Floats
    touch_blocks: Floats
    far_touch_blocks: Floats
    # The bars at whose close the daily equity is taken, and their closes.
    samples: Times
    sample_closes: Floats

    @cached_property
    def reaches(self) -> Floats:
        """Lowest and highest close of each bar's block, up to it and from it on."""
        reaches = np.empty((4, self.bars))
        _reach_within_blocks(self.closes[MARK], reaches)
        return reaches

    @cached_property
    def sums(self) -> Floats:
        """Running sums of the closes; one more than there are bars."""
        return _running_sums(self.closes[MARK])


def lay_market(candles: Candles, *, has_stops: bool = True) -> SweepMarket:
    """Lay out candles for sweeps; a decision at a close is filled at the next open.

    Without stops, opens, lows and highs are left out: a third of the memory.
    """
    values, bars = candles.values, len(candles)
    # Whole words are read, beyond the end of a row: after the last one there is room for that.
    closes = np.empty(2 * bars + BLOCK)[:-BLOCK].reshape(2, bars)
    closes[MARK] = values[CLOSE]
    closes[FILL, :-1] = values[OPEN, 1:]
    closes[FILL, -1] = np.nan
    blocks = _extremes(values[CLOSE], values[CLOSE])
    # Whole words are compared: what follows the last bar is NaN and never met.
    touches = np.full((3, -(-bars // BLOCK) * BLOCK if has_stops else 0), np.nan)
    for row, field in ((BAR_OPEN, OPEN), (BAR_LOW, LOW), (BAR_HIGH, HIGH)) if has_stops else ():
        touches[row, :bars] = values[field]
    touch_blocks = _extremes(values[LOW], values[HIGH])
    samples = midnight_bars(candles.times)
    return SweepMarket(
        bars=bars,
        closes=closes,
        blocks=blocks,
        far_blocks=_extremes(blocks[LOWS], blocks[HIGHS]),
        touches=touches,
        touch_blocks=touch_blocks,
        far_touch_blocks=_extremes(touch_blocks[LOWS], touch_blocks[HIGHS]),
        samples=samples,
        sample_closes=np.ascontiguousarray(values[CLOSE][samples]),
    )


def _extremes(lows: Floats, highs: Floats) -> Floats:
    starts = np.arange(0, len(lows), BLOCK)
    return np.array([np.minimum.reduceat(lows, starts), np.maximum.reduceat(highs, starts)])


@allocating
def _reach_within_blocks(marks: Floats, reaches: Floats) -> None:
    bars = len(marks)
    for t in range(bars):
        low = high = marks[t]
        if t % BLOCK:
            low, high = min(reaches[HEAD_LOW, t - 1], low), max(reaches[HEAD_HIGH, t - 1], high)
        reaches[HEAD_LOW, t], reaches[HEAD_HIGH, t] = low, high
    for t in range(bars - 1, -1, -1):
        low = high = marks[t]
        if t + 1 < bars and (t + 1) % BLOCK:
            low, high = min(reaches[TAIL_LOW, t + 1], low), max(reaches[TAIL_HIGH, t + 1], high)
        reaches[TAIL_LOW, t], reaches[TAIL_HIGH, t] = low, high


@allocating
def _running_sums(marks: Floats) -> Floats:
    # A plain sum from the first bar on: a rolling mean made of two of these agrees to the last
    # bit with the fold in trading/indicators.
    sums = np.empty(len(marks) + 1)
    total = 0.0
    sums[0] = total
    for t in range(len(marks)):
        total += marks[t]
        sums[t + 1] = total
    return sums
