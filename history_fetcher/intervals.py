"""Candle intervals: their names, their grids, and what is missing on them."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Final

import numpy as np
import numpy.typing as npt

from .trouble import BadRequest

Times = npt.NDArray[np.int64]

SECOND_MS: Final = 1_000
MINUTE_MS: Final = 60 * SECOND_MS
HOUR_MS: Final = 60 * MINUTE_MS
DAY_MS: Final = 24 * HOUR_MS
MONTH: Final = "1mo"

LENGTHS: Final[Mapping[str, int]] = {
    "1s": SECOND_MS,
    "1m": MINUTE_MS,
    "3m": 3 * MINUTE_MS,
    "5m": 5 * MINUTE_MS,
    "15m": 15 * MINUTE_MS,
    "30m": 30 * MINUTE_MS,
    "1h": HOUR_MS,
    "2h": 2 * HOUR_MS,
    "4h": 4 * HOUR_MS,
    "6h": 6 * HOUR_MS,
    "8h": 8 * HOUR_MS,
    "12h": 12 * HOUR_MS,
    "1d": DAY_MS,
    "3d": 3 * DAY_MS,
    "1w": 7 * DAY_MS,
}
NAMES: Final = (*LENGTHS, MONTH)
# 1970-01-05 was a Monday, on which weeks begin.
_OFFSETS: Final[Mapping[str, int]] = {"1w": 4 * DAY_MS}


def known_interval(text: str) -> str:
    """Answer the interval that a person means."""
    name = text.strip()
    if name == "1M":
        return MONTH
    if name in NAMES:
        return name
    close = get_close_matches(name, NAMES, n=1, cutoff=0.5)
    hint = f" Did you mean {close[0]}?" if close else ""
    raise BadRequest(f"Unknown interval {text!r}.{hint} Known: {', '.join(NAMES)}.")


def places(times: Times, interval: str) -> Times:
    """Answer the place of each open time on the interval's grid; neighbours differ by one."""
    if interval == MONTH:
        return times.astype("datetime64[ms]").astype("datetime64[M]").astype(np.int64)
    return (times - _OFFSETS.get(interval, 0)) // LENGTHS[interval]


def opens(grid_places: Times, interval: str) -> Times:
    """Answer the open time of each place on the grid."""
    if interval == MONTH:
        return grid_places.astype("datetime64[M]").astype("datetime64[ms]").astype(np.int64)
    return grid_places * LENGTHS[interval] + _OFFSETS.get(interval, 0)


def next_open(time: int, interval: str) -> int:
    """Answer when the candle after the one that opens at this time opens."""
    place = places(np.array([time], dtype=np.int64), interval) + 1
    return int(opens(place, interval)[0])


def is_on_grid(times: Times, interval: str) -> npt.NDArray[np.bool_]:
    """Say of each open time whether a candle of the interval opens there."""
    return np.asarray(opens(places(times, interval), interval) == times)


def gaps(times: Times, interval: str) -> list[tuple[int, int, int]]:
    """List what is missing between the first and the last candle: first missing open, next open there is, and how many."""
    steps = np.diff(places(times, interval))
    at = np.flatnonzero(steps > 1)
    begins = opens(places(times[at], interval) + 1, interval)
    return [(int(begin), int(end), int(count)) for begin, end, count in zip(begins, times[at + 1], steps[at] - 1, strict=True)]
