"""Candles: their intervals, their truth, and coarser candles made of finer ones."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from trading.strategy import CLOSE, FIELDS, HIGH, LOW, OPEN, VOLUME

MINUTE_MS: Final = 60_000
UNITS_PER_ONE: Final = 1e8

INTERVALS: Final[Mapping[str, int]] = {
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
    "1d": 1440 * MINUTE_MS,
}

Floats = npt.NDArray[np.float64]
Times = npt.NDArray[np.int64]


class BadInterval(ValueError):
    """No candle interval is called this."""


class BadCandles(ValueError):
    """These candles cannot be true."""


class Bar(NamedTuple):
    """One candle; `open_time` in UTC milliseconds."""

    open_time: int
    open: float
    high: float
    low: float
    close: float
    volume: float


_CHECKED_AT_ONCE: Final = 16_384


@dataclass(frozen=True, slots=True, eq=False)
class Candles:
    """Closed candles of one market in time order; missing ones are absent."""

    interval_ms: int
    times: Times
    # float64, one row each for open, high, low, close, volume.
    values: Floats

    def __post_init__(self) -> None:
        validate_candles(self.times, self.values, self.interval_ms)

    def __len__(self) -> int:
        return len(self.times)


def interval_milliseconds(text: str) -> int:
    """Read an interval such as `5m` and answer its length."""
    name = text.strip()
    if name in INTERVALS:
        return INTERVALS[name]
    close = get_close_matches(name, INTERVALS, n=1, cutoff=0.5)
    hint = f" Did you mean {close[0]}?" if close else ""
    raise BadInterval(f"Unknown interval {text!r}.{hint} Known: {', '.join(INTERVALS)}.")


def interval_name(milliseconds: int) -> str:
    """Name the interval of this length."""
    for name, length in INTERVALS.items():
        if length == milliseconds:
            return name
    raise BadInterval(f"No interval is {milliseconds} ms long")


def validate_bar(bar: Bar) -> None:
    """Stop a candle that cannot be true at the door."""
    values = np.array([[value] for value in bar[1:]], dtype=np.float64)
    validate_candles(np.array([bar.open_time], dtype=np.int64), values, 1)


def validate_candles(times: Times, values: Floats, interval_ms: int) -> None:
    """Raise BadCandles naming the first candle that is wrong, and why."""
    if interval_ms <= 0:
        raise BadCandles(f"The interval must be above zero, not {interval_ms} ms")
    if values.shape != (FIELDS, len(times)):
        raise BadCandles(f"Expected values of shape {(FIELDS, len(times))}, got {values.shape}")
    if not len(times):
        raise BadCandles("No candles")
    # In parts that fit the processor's cache: years of minutes are checked four times as fast. Each begins with the last
    # candle of the one before.
    for begin in range(0, len(times), _CHECKED_AT_ONCE):
        part = slice(max(0, begin - 1), begin + _CHECKED_AT_ONCE)
        _validate_part(times[part], values[:, part], interval_ms)


def _validate_part(times: Times, values: Floats, interval_ms: int) -> None:
    steps = np.diff(times)
    low, high = values[LOW], values[HIGH]
    _refuse(~np.isfinite(values).all(axis=0), times, "has a value that is not a finite number")
    _refuse((values[:VOLUME] <= 0).any(axis=0), times, "has a price that is not above zero")
    _refuse(values[VOLUME] < 0, times, "has a negative volume")
    _refuse(high < low, times, "has its high below its low")
    body_low = np.minimum(values[OPEN], values[CLOSE])
    body_high = np.maximum(values[OPEN], values[CLOSE])
    _refuse((body_low < low) | (body_high > high), times, "opens or closes outside its range")
    _refuse(np.append(False, steps == 0), times, "comes twice")
    _refuse(np.append(False, steps < 0), times, "is older than the one before it")
    _refuse(times % interval_ms != 0, times, f"does not start on the grid of {interval_ms} ms")


def aggregate(candles: Candles, interval_ms: int) -> Candles:
    """Make coarser candles; one with some of its parts missing is made of the parts there are."""
    if interval_ms == candles.interval_ms:
        return candles
    if interval_ms < candles.interval_ms or interval_ms % candles.interval_ms:
        raise BadInterval(f"Candles of {candles.interval_ms} ms do not add up to {interval_ms} ms")
    buckets = candles.times // interval_ms
    firsts = np.flatnonzero(np.append(True, np.diff(buckets) > 0))
    lasts = np.append(firsts[1:], len(buckets)) - 1
    values = np.empty((FIELDS, len(firsts)))
    values[OPEN] = candles.values[OPEN][firsts]
    values[HIGH] = np.maximum.reduceat(candles.values[HIGH], firsts)
    values[LOW] = np.minimum.reduceat(candles.values[LOW], firsts)
    values[CLOSE] = candles.values[CLOSE][lasts]
    # Summed in whole units: a sum of floats depends on its order, an exchange's sum does not.
    volume_units = np.rint(candles.values[VOLUME] * UNITS_PER_ONE).astype(np.int64)
    values[VOLUME] = np.add.reduceat(volume_units, firsts) / UNITS_PER_ONE
    return Candles(interval_ms, buckets[firsts] * interval_ms, values)


def to_panel(candles: Candles) -> Floats:
    """Shape the candles of one market as a panel without gaps."""
    return np.ascontiguousarray(candles.values[:, np.newaxis, :])


def panel_with_gaps(candles: Candles) -> tuple[Times, Floats]:
    """Lay the candles on their full time grid: times, and a panel with NaN for missing ones."""
    first, last = int(candles.times[0]), int(candles.times[-1])
    times = np.arange(first, last + 1, candles.interval_ms, dtype=np.int64)
    panel = np.full((FIELDS, 1, len(times)), math.nan)
    panel[:, 0, (candles.times - first) // candles.interval_ms] = candles.values
    return times, panel


def candles_from_bars(bars: list[Bar], interval_ms: int) -> Candles:
    """Gather single bars into candles."""
    times = np.array([bar.open_time for bar in bars], dtype=np.int64)
    rows: Any = [bar[1:] for bar in bars] or np.empty((0, FIELDS))
    return Candles(interval_ms, times, np.ascontiguousarray(np.array(rows, dtype=np.float64).T))


def _refuse(wrong: npt.ArrayLike, times: Times, what: str) -> None:
    if np.any(wrong):
        at = int(np.argmax(wrong))
        raise BadCandles(f"Candle {at} at {int(times[at])} {what}")
