"""Candles as the site writes them."""

from __future__ import annotations

from history_fetcher.archives import span_of
from history_fetcher.intervals import LENGTHS

HOUR = LENGTHS["1h"]


def row(open_time: int, *, close: float = 100.0, length: int = HOUR, volume: float = 2.0, is_archived: bool = True) -> str:
    """Write one candle; from 2025 on archives have microseconds, REST never."""
    times = open_time, open_time + length - 1
    if is_archived and open_time >= span_of("2025-01")[0]:
        times = times[0] * 1000, times[1] * 1000 + 999
    low, high = min(100.0, close) - 1, max(100.0, close) + 1
    return f"{times[0]},100.0,{high},{low},{close},{volume},{times[1]},{volume * 100},7,1.0,100.0,0"


def rows_of(label: str, *, without: frozenset[int] = frozenset(), length: int = HOUR) -> list[str]:
    """Write every candle of a month or day, each with a close of its own; `without` are places left out."""
    begin, end = span_of(label)
    opens = range(begin, end, length)
    return [row(at, close=90 + place % 20, length=length) for place, at in enumerate(opens) if place not in without]
