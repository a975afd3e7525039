"""Markets for tests: instruments, random walks on a coarse grid, and real candles."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import numpy as np

from backtests.candle_files import read_candles
from trading.bars import Candles
from trading.instruments import Instrument

FIVE_MINUTES = 300_000
# A Monday at midnight.
FIRST_OPEN = 1_704_067_200_000

BTC = Instrument("BTC/USDT", "BTC", "USDT", Decimal("0.01"), Decimal("0.00001"), Decimal("0.00001"), Decimal(9000), Decimal(5))
ETH = Instrument("ETH/USDT", "ETH", "USDT", Decimal("0.01"), Decimal("0.0001"), Decimal("0.0001"), Decimal(9000), Decimal(5))
# Few lots and wide ticks: roundings and ties that fine markets hide.
COARSE = Instrument("TOY/USDT", "TOY", "USDT", Decimal(1), Decimal("0.1"), Decimal("0.1"), Decimal(1000), Decimal(5))


def random_walk(
    *, seed: int, bars: int, interval_ms: int = FIVE_MINUTES, tick: float = 0.01, start: float = 3000.0, gap: float = 0.0002
) -> Candles:
    """Make candles with fat tails, calm and wild spells, and gaps between close and open."""
    random = np.random.default_rng(seed)
    calm = np.repeat(random.choice([0.0006, 0.0018, 0.004], size=bars // 50 + 1), 50)[:bars]
    moves = random.standard_t(4, size=bars) * calm
    closes = start * np.exp(np.cumsum(moves))
    opens = np.append(start, closes[:-1]) * (1.0 + random.normal(0.0, gap, bars))
    reach = np.abs(random.normal(0.0, 1.0, (2, bars))) * calm
    highs = np.maximum(opens, closes) * (1.0 + reach[0])
    lows = np.minimum(opens, closes) * (1.0 - reach[1])
    prices = np.maximum(1.0, np.rint(np.array([opens, highs, lows, closes]) / tick)) * tick
    volumes = np.round(random.lognormal(4.0, 1.0, bars), 3)
    times = FIRST_OPEN + np.arange(bars, dtype=np.int64) * interval_ms
    return Candles(interval_ms, times, np.vstack([prices, volumes]))


def real_candles(folder: Path, *, symbol: str = "BTC/USDT", bars: int = 4000) -> Candles:
    """Read real five-minute candles from the beginning of 2024."""
    end = FIRST_OPEN + bars * FIVE_MINUTES
    return read_candles(folder / "ohlcv", symbol=symbol, interval="5m", begin=FIRST_OPEN, end=end)


def without(candles: Candles, *missing: int) -> Candles:
    """Leave some candles out."""
    there = np.ones(len(candles), dtype=bool)
    there[list(missing)] = False
    return Candles(candles.interval_ms, candles.times[there], np.ascontiguousarray(candles.values[:, there]))
