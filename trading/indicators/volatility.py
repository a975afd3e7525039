"""How far the price moves: ranges, deviations, bands and ranks over a window."""

import math
from typing import Final

from trading.bars import Floats
from trading.compilation import compiled
from trading.indicators.averages import WILDER_CELLS, wilder

ATR_CELLS: Final = 2 + WILDER_CELLS
WINDOW_RING: Final = 1


@compiled
def atr(memory: Floats, high: float, low: float, close: float, period: int) -> float:
    """Average the true range after Wilder."""
    seen = memory[0] > 0.0
    previous = memory[1]
    memory[0] = 1.0
    memory[1] = close
    # The first bar has no true range: nothing says where it came from.
    if not seen:
        return math.nan
    span = max(high - low, abs(high - previous), abs(low - previous))
    return wilder(memory[2 : 2 + WILDER_CELLS], span, period)


@compiled
def moments(memory: Floats, value: float, period: int) -> tuple[float, float]:
    """Answer mean and population deviation of the last `period` values, in two passes."""
    if not _remember(memory, value, period):
        return math.nan, math.nan
    total = 0.0
    for k in range(period):
        total += memory[WINDOW_RING + k]
    mean = total / period
    squares = 0.0
    for k in range(period):
        squares += (memory[WINDOW_RING + k] - mean) ** 2
    return mean, math.sqrt(squares / period)


@compiled
def deviation(memory: Floats, value: float, period: int) -> float:
    """Answer the population deviation of the last `period` values."""
    return moments(memory, value, period)[1]


@compiled
def bollinger(memory: Floats, close: float, period: int, width: float) -> tuple[float, float, float, float]:
    """Answer lower band, middle, upper band and the deviation between them."""
    mean, sigma = moments(memory, close, period)
    return mean - width * sigma, mean, mean + width * sigma, sigma


@compiled
def percentile_rank(memory: Floats, value: float, period: int) -> float:
    """Answer the share of the last `period` values that are not above this one."""
    if not _remember(memory, value, period):
        return math.nan
    at_most = 0
    for k in range(period):
        if memory[WINDOW_RING + k] <= value:
            at_most += 1
    return at_most / period


@compiled
def highest(memory: Floats, value: float, period: int) -> float:
    """Answer the highest of the last `period` values."""
    if not _remember(memory, value, period):
        return math.nan
    top = memory[WINDOW_RING]
    for k in range(1, period):
        top = max(top, memory[WINDOW_RING + k])
    return float(top)


@compiled
def lowest(memory: Floats, value: float, period: int) -> float:
    """Answer the lowest of the last `period` values."""
    if not _remember(memory, value, period):
        return math.nan
    bottom = memory[WINDOW_RING]
    for k in range(1, period):
        bottom = min(bottom, memory[WINDOW_RING + k])
    return float(bottom)


@compiled
def donchian(highs: Floats, lows: Floats, high: float, low: float, period: int) -> tuple[float, float]:
    """Answer the lowest low and the highest high of the last `period` bars."""
    return lowest(lows, low, period), highest(highs, high, period)


@compiled
def half_life(memory: Floats, value: float, period: int, wanted: bool) -> float:
    """Answer the bars in which half of a move away from the mean is undone; infinite if never."""
    # The regression costs a pass over the window, so it is only made where it is `wanted`.
    if not _remember(memory, value, period) or not wanted:
        return math.nan
    first = int(memory[0]) % period
    sum_level = sum_change = 0.0
    for k in range(period - 1):
        level = memory[WINDOW_RING + (first + k) % period]
        sum_level += level
        sum_change += memory[WINDOW_RING + (first + k + 1) % period] - level
    mean_level = sum_level / (period - 1)
    mean_change = sum_change / (period - 1)
    together = spread = 0.0
    for k in range(period - 1):
        level = memory[WINDOW_RING + (first + k) % period]
        change = memory[WINDOW_RING + (first + k + 1) % period] - level
        together += (level - mean_level) * (change - mean_change)
        spread += (level - mean_level) ** 2
    slope = together / spread if spread > 0.0 else 0.0
    if not -1.0 < slope < 0.0:
        return math.inf
    return -math.log(2.0) / math.log(1.0 + slope)


@compiled
def _remember(memory: Floats, value: float, period: int) -> bool:
    count = int(memory[0])
    memory[WINDOW_RING + count % period] = value
    memory[0] = count + 1
    return count + 1 >= period
