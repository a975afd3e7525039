"""How fast the price moves: RSI and MACD."""

import math
from typing import Final

from trading.bars import Floats
from trading.compilation import compiled
from trading.indicators.averages import EMA_CELLS, WILDER_CELLS, ema, wilder

RSI_CELLS: Final = 2 + 2 * WILDER_CELLS
MACD_CELLS: Final = 1 + 3 * EMA_CELLS


@compiled
def rsi(memory: Floats, close: float, period: int) -> float:
    """Measure the share of gains in Wilder's averages of gains and losses, from 0 to 100."""
    seen = memory[0] > 0.0
    change = close - memory[1]
    memory[0] = 1.0
    memory[1] = close
    if not seen:
        return math.nan
    gains = memory[2 : 2 + WILDER_CELLS]
    losses = memory[2 + WILDER_CELLS : 2 + 2 * WILDER_CELLS]
    gain = wilder(gains, max(change, 0.0), period)
    loss = wilder(losses, max(-change, 0.0), period)
    if math.isnan(gain):
        return math.nan
    total = gain + loss
    # A dead market has neither gained nor lost; TA-Lib calls that zero too.
    return 100.0 * gain / total if total > 0.0 else 0.0


@compiled
def macd(memory: Floats, close: float, fast: int, slow: int, signal: int) -> tuple[float, float, float]:
    """Answer MACD line, signal line and their difference."""
    count = int(memory[0]) + 1
    memory[0] = count
    fast_memory = memory[1 : 1 + EMA_CELLS]
    slow_memory = memory[1 + EMA_CELLS : 1 + 2 * EMA_CELLS]
    signal_memory = memory[1 + 2 * EMA_CELLS : 1 + 3 * EMA_CELLS]
    slow_average = ema(slow_memory, close, slow)
    # TA-Lib starts the fast average late, so that both seeds end on the same bar.
    if count <= slow - fast:
        return math.nan, math.nan, math.nan
    fast_average = ema(fast_memory, close, fast)
    if math.isnan(slow_average):
        return math.nan, math.nan, math.nan
    line = fast_average - slow_average
    smooth = ema(signal_memory, line, signal)
    return line, smooth, line - smooth
