"""A market laid out for sweeps: prices, their extremes per 64 bars, and the bars whose equity is sampled."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from trading.bars import Candles, Floats, Times
from trading.compilation import allocating
from trading.metrics import midnight_bars
from trading.strategy import CLOSE, HIGH, LOW, OPEN

BLOCK: Final = 64

# Rows of `SweepMarket.closes`: the close; the price at which a decision of the bar is filled; and
# the extremes of the closes from the start of the bar's block to it, and from it to the end.
MARK: Final = 0
FILL: Final = 1
HEAD_LOW: Final = 2
HEAD_HIGH: Final = 3
TAIL_LOW: Final = 4
TAIL_HIGH: Final = 5
CLOSE_ROWS: Final = 6

# Rows of `SweepMarket.touches`.
BAR_OPEN: Final = 0
BAR_LOW: Final = 1
BAR_HIGH: Final = 2

# Rows of the tables of extremes per block.
LOWS: Final = 0
HIGHS: Final = 1


class UnableToSweep(ValueError):
    """These inputs make no sweep."""


@dataclass(frozen=True, slots=True, eq=False)
class SweepMarket:
    """One market's candles as the kernels read them; bars without a candle are left out."""

    bars: int
    closes: Floats
    # Running sums of the closes; one more than there are bars.
    sums: Floats
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


def lay_market(candles: Candles, *, has_stops: bool = True) -> SweepMarket:
    """Lay out candles for sweeps; a decision at a close is filled at the next open.

    Without stops, opens, lows and highs are left out: a third of the memory.
    """
    values, bars = candles.values, len(candles)
    closes = np.empty((CLOSE_ROWS, bars))
    closes[MARK] = values[CLOSE]
    closes[FILL, :-1] = values[OPEN, 1:]
    closes[FILL, -1] = np.nan
    _reach_within_blocks(closes)
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
        sums=_running_sums(closes[MARK]),
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
def _reach_within_blocks(closes: Floats) -> None:
    bars = closes.shape[1]
    for t in range(bars):
        mark = closes[MARK, t]
        low = high = mark
        if t % BLOCK:
            low, high = min(closes[HEAD_LOW, t - 1], mark), max(closes[HEAD_HIGH, t - 1], mark)
        closes[HEAD_LOW, t], closes[HEAD_HIGH, t] = low, high
    for t in range(bars - 1, -1, -1):
        mark = closes[MARK, t]
        low = high = mark
        if t + 1 < bars and (t + 1) % BLOCK:
            low, high = min(closes[TAIL_LOW, t + 1], mark), max(closes[TAIL_HIGH, t + 1], mark)
        closes[TAIL_LOW, t], closes[TAIL_HIGH, t] = low, high


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
