"""What a person asks for, checked before anything is touched."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from .archives import KINDS, KLINES, MARKETS, Series, span_of
from .intervals import known_interval
from .trouble import BadRequest

JOBS_MAX: Final = 16
SITE: Final = "https://data.binance.vision"
LISTING: Final = "https://s3-ap-northeast-1.amazonaws.com/data.binance.vision"
REST: Final = "https://api.binance.com"
# No candle of this exchange is older.
FIRST_MOMENT: Final = 1_483_228_800_000

_SYMBOL = re.compile(r"[A-Z0-9]{2,30}(_[A-Z0-9]{1,12})?")
_LABEL = re.compile(r"\d{4}-\d{2}(-\d{2})?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request that makes sense."""

    series: tuple[Series, ...]
    # UTC milliseconds; the end is not part of it.
    begin: int
    end: int
    root: Path
    fill_daily: bool = False
    force: bool = False
    dry_run: bool = False
    jobs: int = 4
    base_url: str = SITE
    listing_url: str = LISTING
    # Empty for no tail.
    rest_url: str = ""


def known_series(*, market: str, kind: str, symbols: Sequence[str], intervals: Sequence[str]) -> tuple[Series, ...]:
    """Name every series that is asked for, once."""
    if market not in MARKETS or kind not in KINDS:
        raise BadRequest(f"Markets are {', '.join(MARKETS)}; kinds are {', '.join(KINDS)}.")
    if not symbols:
        raise BadRequest("Name at least one --symbol, for example BTCUSDT.")
    if kind == KLINES and not intervals:
        raise BadRequest("Name at least one --interval, for example 1m.")
    if kind != KLINES and intervals:
        raise BadRequest(f"{kind} have no --interval.")
    names = [known_symbol(text) for text in symbols]
    streams = [known_interval(text) for text in intervals] or [""]
    return tuple(dict.fromkeys(Series(market, kind, name, stream) for name in names for stream in streams))


def known_symbol(text: str) -> str:
    """Answer a symbol as the site writes it; BTC/USDT and BTC-USDT are understood."""
    name = text.strip().upper().replace("/", "").replace("-", "")
    if not _SYMBOL.fullmatch(name):
        raise BadRequest(f"{text!r} is no symbol. Write it like BTCUSDT.")
    return name


def stretch(*, begin: str, end: str, now: int) -> tuple[int, int]:
    """Read --from and --to: a month or a day means all of it, a moment means that moment; the future is refused."""
    first = _edges("--from", begin)[0] if begin else FIRST_MOMENT
    after, last = _edges("--to", end) if end else (now, now)
    if first >= now or after > now:
        raise BadRequest(f"{begin if first >= now else end} lies in the future; no history is there yet.")
    last = min(last, now)
    if first >= last:
        raise BadRequest(f"--from {begin} must lie before --to {end or 'now'}.")
    return max(first, FIRST_MOMENT), last


def checked_url(name: str, text: str) -> str:
    """Answer an address without its last slash, if it is one of HTTP."""
    try:
        parts = urlsplit(text)
        is_good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_good = False
    if not is_good:
        raise BadRequest(f"{name} must be an address like {SITE}, not {text!r}.")
    return text.rstrip("/")


def _edges(name: str, text: str) -> tuple[int, int]:
    try:
        if _LABEL.fullmatch(text):
            return span_of(text)
        at = datetime.fromisoformat(text)
    except ValueError:
        raise BadRequest(f"{name} {text!r} is no date. Write 2024-03, 2024-03-01 or 2024-03-01T12:00 (UTC).") from None
    aware = at.replace(tzinfo=UTC) if at.tzinfo is None else at
    moment = (aware - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    return moment, moment
