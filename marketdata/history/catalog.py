"""What the history root holds: every series with its gaps, read from the manifest."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from trading.bars import INTERVALS

DAY_MS: Final = 86_400_000
DAYS_MAX: Final = 4_000
# Formats that people's tools write a pair in.
_SEPARATORS: Final = str.maketrans("", "", "/-_:")


class NoHistory(LookupError):
    """The root holds nothing like it."""


@dataclass(frozen=True, slots=True)
class Series:
    """Candles of one symbol and interval in the root."""

    exchange: str
    symbol: str
    interval: str
    rows: int
    # Open times, UTC milliseconds.
    first: int
    last: int
    # First missing open, next open there is, candles missing.
    gaps: tuple[tuple[int, int, int], ...]
    missing: int
    restated: int
    refused: int
    # Changes with every change of its candles.
    fingerprint: str
    files: tuple[Path, ...]

    @property
    def name(self) -> str:
        """Answer its name in the manifest."""
        return f"{self.exchange}/{self.symbol}/{self.interval}"


@dataclass(frozen=True, slots=True)
class Day:
    """How much of a day is there."""

    date: str
    expected: int
    missing: int


def series(root: Path) -> list[Series]:
    """List the candles of a root, by name; an absent root holds none."""
    content = _manifest(root)
    refused = _refused(content)
    return [
        _series(root, name, facts, refused)
        for name, facts in sorted(content.get("series", {}).items())
        if facts["rows"] and name.rsplit("/", 1)[-1] in INTERVALS
    ]


def find(root: Path, *, exchange: str, symbol: str, interval: str) -> Series:
    """Find one series, or say what there is."""
    wanted = f"{exchange}/{symbol_name(symbol)}/{interval}"
    known = series(root)
    for one in known:
        if one.name == wanted:
            return one
    names = ", ".join(one.name for one in known[:20]) or "nothing"
    raise NoHistory(f"{root} has no {wanted}. It holds {names}. Fetch it with `history fetch`.")


def symbol_name(text: str) -> str:
    """Write a pair as the root does: BTC/USDT, BTC-USDT and BTC_USDT are BTCUSDT."""
    return text.strip().upper().translate(_SEPARATORS)


def calendar(one: Series) -> list[Day]:
    """Count what is missing of each day between the first and the last candle."""
    length = INTERVALS[one.interval]
    missing: dict[int, int] = {}
    for begin, end, _count in one.gaps:
        for day in range(begin // DAY_MS, (end - 1) // DAY_MS + 1):
            opens_from, opens_to = max(begin, day * DAY_MS), min(end, (day + 1) * DAY_MS)
            missing[day] = missing.get(day, 0) + -(-(opens_to - opens_from) // length)
    days = range(one.first // DAY_MS, one.last // DAY_MS + 1)
    return [_day(one, day, missing.get(day, 0), length) for day in days[-DAYS_MAX:]]


def _day(one: Series, day: int, missing: int, length: int) -> Day:
    begin, end = max(day * DAY_MS, one.first), min((day + 1) * DAY_MS, one.last + length)
    date = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=day)).date().isoformat()
    return Day(date, max(1, (end - begin) // length), missing)


def _manifest(root: Path) -> dict[str, Any]:
    try:
        content = json.loads((root / "manifest.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise NoHistory(f"{root / 'manifest.json'} cannot be read: {error}") from error
    return content if isinstance(content, dict) else {}


def _series(root: Path, name: str, facts: dict[str, Any], refused: dict[str, int]) -> Series:
    exchange, symbol, interval = name.split("/")
    parts = sorted(facts["partitions"].items())
    fingerprint = "-".join(part["sha256"][:12] for _month, part in parts)
    return Series(
        exchange=exchange,
        symbol=symbol,
        interval=interval,
        rows=facts["rows"],
        first=facts["first"],
        last=facts["last"],
        gaps=tuple((gap[0], gap[1], gap[2]) for gap in facts["gaps"]),
        missing=facts["missing"],
        restated=sum(part["restated"] for _month, part in parts),
        refused=refused.get(f"{symbol}-{interval}", 0),
        fingerprint=fingerprint,
        files=tuple(root / file for _month, part in parts for file in part["files"]),
    )


def _refused(content: dict[str, Any]) -> dict[str, int]:
    """Count the refused rows of each SYMBOL-INTERVAL."""
    found: dict[str, int] = {}
    for stem, count in _refusals(content):
        found[stem] = found.get(stem, 0) + count
    return found


def _refusals(content: dict[str, Any]) -> Iterator[tuple[str, int]]:
    for key, entry in content.get("archives", {}).items():
        if entry["refused"]:
            symbol, interval, _label = key.rsplit("/", 1)[-1].split("-", 2)
            yield f"{symbol}-{interval}", sum(entry["refused"].values())
