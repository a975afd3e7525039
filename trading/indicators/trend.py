"""How directed the price moves: ADX."""

import math
from typing import Final

from trading.bars import Floats
from trading.compilation import compiled

ADX_CELLS: Final = 9


@compiled
def adx(memory: Floats, high: float, low: float, close: float, period: int) -> float:
    """Measure the strength of a trend after Wilder, from 0 to 100, whatever its direction."""
    # Cells: bars seen; previous high, low, close; sums of +DM, -DM and true range; sum of DX; ADX.
    seen = int(memory[0])
    memory[0] = seen + 1
    rise = high - memory[1]
    fall = memory[2] - low
    span = max(high - low, abs(high - memory[3]), abs(low - memory[3]))
    memory[1] = high
    memory[2] = low
    memory[3] = close
    if seen == 0:
        return math.nan
    decay = 0.0 if seen < period else 1.0 / period
    plus = rise if rise > 0.0 and rise > fall else 0.0
    minus = fall if fall > 0.0 and fall > rise else 0.0
    memory[4] += plus - memory[4] * decay
    memory[5] += minus - memory[5] * decay
    memory[6] += span - memory[6] * decay
    if seen < period:
        return math.nan
    return _smoothed(memory, seen - period + 1, period)


@compiled
def _smoothed(memory: Floats, count: int, period: int) -> float:
    directed = memory[4] + memory[5]
    # A bar without any range or direction leaves the average where it is.
    known = memory[6] > 0.0 and directed > 0.0
    index = 100.0 * abs(memory[4] - memory[5]) / directed if known else 0.0
    if count <= period:
        memory[7] += index
        if count < period:
            return math.nan
        memory[8] = memory[7] / period
    elif known:
        memory[8] = (memory[8] * (period - 1) + index) / period
    return float(memory[8])
