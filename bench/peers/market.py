"""The market that all are timed on: a random walk with fat tails on a grid of ticks."""

from __future__ import annotations

import numpy as np

from trading.bars import MINUTE_MS, Candles

# The first of January 2024, midnight.
BEGIN = 1_704_067_200_000


def random_walk(
    *, bars: int, seed: int = 1, tick: float = 0.01, start: float = 30_000.0, interval_ms: int = MINUTE_MS
) -> Candles:
    """Make candles that open where the last one closed."""
    random = np.random.default_rng(seed)
    closes = start * np.exp(np.cumsum(random.standard_t(4, bars) * 0.0006))
    opens = np.append(start, closes[:-1])
    reach = np.abs(random.normal(0.0, 0.0002, (2, bars)))
    highs, lows = np.maximum(opens, closes) * (1 + reach[0]), np.minimum(opens, closes) * (1 - reach[1])
    prices = np.maximum(1.0, np.rint(np.array([opens, highs, lows, closes]) / tick)) * tick
    times = BEGIN + np.arange(bars, dtype=np.int64) * interval_ms
    return Candles(interval_ms, times, np.vstack([prices, np.full(bars, 50.0)]))
