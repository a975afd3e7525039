"""Moving averages, seeded the way TA-Lib seeds them."""

import math
from typing import Final

from trading.bars import Floats
from trading.compilation import compiled

SMA_RING: Final = 2
EMA_CELLS: Final = 3
WILDER_CELLS: Final = 3


@compiled
def sma(memory: Floats, value: float, period: int) -> float:
    """Average the last `period` values: the difference of two running sums."""
    # Cells: count, running sum, then a ring of the running sums before each bar. The difference
    # of two plain sums is what a vectorised mean computes, so that both agree to the last bit.
    count = int(memory[0])
    slot = count % period
    memory[SMA_RING + slot] = memory[1]
    total = memory[1] + value
    memory[1] = total
    memory[0] = count + 1
    if count + 1 < period:
        return math.nan
    oldest = slot + 1 if slot + 1 < period else 0
    return float((total - memory[SMA_RING + oldest]) / period)


@compiled
def ema(memory: Floats, value: float, period: int) -> float:
    """Average exponentially with 2/(period+1), seeded with the mean of the first values."""
    return _seeded(memory, value, period, 2.0 / (period + 1.0))


@compiled
def wilder(memory: Floats, value: float, period: int) -> float:
    """Average the way Wilder does: each bar moves 1/period of the way."""
    # Written as Wilder does, not as a weight, to agree with TA-Lib in the last digits.
    count = int(memory[0]) + 1
    memory[0] = count
    if count <= period:
        memory[1] += value
        if count < period:
            return math.nan
        memory[2] = memory[1] / period
        return float(memory[2])
    memory[2] = (memory[2] * (period - 1) + value) / period
    return float(memory[2])


@compiled
def _seeded(memory: Floats, value: float, period: int, weight: float) -> float:
    count = int(memory[0]) + 1
    memory[0] = count
    if count <= period:
        memory[1] += value
        if count < period:
            return math.nan
        memory[2] = memory[1] / period
        return float(memory[2])
    memory[2] += (value - memory[2]) * weight
    return float(memory[2])
