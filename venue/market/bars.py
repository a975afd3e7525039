"""Candles in whole units, and columns of them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

MINUTE_MS: Final = 60_000
DAY_MS: Final = 1440 * MINUTE_MS
INTERVALS: Final = {
    "1m": MINUTE_MS,
    "3m": 3 * MINUTE_MS,
    "5m": 5 * MINUTE_MS,
    "15m": 15 * MINUTE_MS,
    "30m": 30 * MINUTE_MS,
    "1h": 60 * MINUTE_MS,
    "2h": 120 * MINUTE_MS,
    "4h": 240 * MINUTE_MS,
    "6h": 360 * MINUTE_MS,
    "8h": 480 * MINUTE_MS,
    "12h": 720 * MINUTE_MS,
    "1d": DAY_MS,
}
INTERVAL_NAMES: Final = {length: name for name, length in INTERVALS.items()}

Units = npt.NDArray[np.int64]


class Bar(NamedTuple):
    """One candle; prices and volumes in units of 1e-8."""

    open_time: int
    open: int
    high: int
    low: int
    close: int
    volume: int
    quote_volume: int
    trades: int


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """Candles of one symbol and interval in time order; missing ones are absent."""

    # int64, one row per field of a Bar.
    rows: Units

    def __len__(self) -> int:
        return int(self.rows.shape[1])

    @property
    def times(self) -> Units:
        """Return the open times."""
        times: Units = self.rows[0]
        return times

    def bar(self, index: int) -> Bar:
        """Return one candle."""
        return Bar(*self.rows[:, index].tolist())

    def bars(self) -> Iterator[Bar]:
        """Iterate over the candles."""
        return (Bar(*column) for column in self.rows.T.tolist())

    def cut(self, first: int, last: int) -> "Series":
        """Return the candles that open from `first` to `last`, both included."""
        start, end = np.searchsorted(self.times, [first, last + 1])
        return Series(self.rows[:, start:end])

    def newest(self, limit: int) -> "Series":
        """Return the last candles."""
        return Series(self.rows[:, max(0, len(self) - limit) :])

    def oldest(self, limit: int) -> "Series":
        """Return the first candles."""
        return Series(self.rows[:, :limit])


EMPTY: Final = Series(np.empty((len(Bar._fields), 0), dtype=np.int64))


def join(parts: list[Series]) -> Series:
    """Put candles of consecutive periods one after the other."""
    return Series(np.concatenate([part.rows for part in parts], axis=1)) if parts else EMPTY


def aggregate(series: Series, interval_ms: int) -> Series:
    """Make coarser candles; one with some of its parts missing is made of the parts there are."""
    if not len(series):
        return series
    buckets = series.times // interval_ms
    firsts = np.flatnonzero(np.append(True, np.diff(buckets) > 0))
    lasts = np.append(firsts[1:], len(buckets)) - 1
    _, opens, highs, lows, closes, volumes, quotes, trades = series.rows
    return Series(
        np.stack(
            [
                buckets[firsts] * interval_ms,
                opens[firsts],
                np.maximum.reduceat(highs, firsts),
                np.minimum.reduceat(lows, firsts),
                closes[lasts],
                np.add.reduceat(volumes, firsts),
                np.add.reduceat(quotes, firsts),
                np.add.reduceat(trades, firsts),
            ]
        )
    )
