"""Indicators as folds: one call per bar, all memory in the caller's float64 array.

A fold is `fold(memory, value..., period...) -> output`; a zeroed memory is a fold that has seen
nothing, and NaN is the answer until it has seen enough. The memory needs `FOLD_CELLS` cells plus
the longest period where the name says `_RING`. A missing candle is not folded: across a gap an
indicator goes on as if the bars on both sides were neighbours.
"""

from trading.indicators.averages import (
    EMA_CELLS,
    SMA_RING,
    WILDER_CELLS,
    ema,
    sma,
    wilder,
)
from trading.indicators.momentum import MACD_CELLS, RSI_CELLS, macd, rsi
from trading.indicators.relations import correlation
from trading.indicators.trend import ADX_CELLS, adx
from trading.indicators.volatility import (
    ATR_CELLS,
    WINDOW_RING,
    atr,
    bollinger,
    deviation,
    donchian,
    half_life,
    highest,
    lowest,
    moments,
    percentile_rank,
)

__all__ = [
    "ADX_CELLS",
    "ATR_CELLS",
    "EMA_CELLS",
    "MACD_CELLS",
    "RSI_CELLS",
    "SMA_RING",
    "WILDER_CELLS",
    "WINDOW_RING",
    "adx",
    "atr",
    "bollinger",
    "correlation",
    "deviation",
    "donchian",
    "ema",
    "half_life",
    "highest",
    "lowest",
    "macd",
    "moments",
    "percentile_rank",
    "rsi",
    "sma",
    "wilder",
]
