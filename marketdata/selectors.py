"""What can be read about markets: instruments, candles, marks and gaps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final, NamedTuple

import numpy as np
from django.db import connection
from django.db.models import Q, QuerySet
from django.db.models.functions import Concat

from marketdata.candles import milliseconds, moment
from marketdata.models import Candle, HistoryJob, Instrument, InstrumentFilters, Mark, Market, Subscription
from marketdata.sql import rows
from trading.bars import INTERVALS, Floats, Times, interval_milliseconds
from trading.instruments import Instrument as Filters
from trading.strategy import FIELDS

# Beyond, gaps are the history root's business.
COVERAGE_SPAN: Final = timedelta(days=400)
# A feed writes every two seconds; after this it is taken for dead.
FEED_LOOKS_WITHIN: Final = timedelta(seconds=30)
UNWATCHED: Final = "UNWATCHED"
# PostgreSQL counts microseconds from the year 2000.
_POSTGRES_EPOCH_US: Final = 946_684_800_000_000
_COPY_HEADER_BYTES: Final = 19
_COPY_TRAILER_BYTES: Final = 2
_CELL: Final = [("length", ">i4"), ("value", ">i8")]
_NUMBER: Final = [("length", ">i4"), ("value", ">f8")]
# A row of binary COPY without NULLs has a fixed width, so numpy reads all of them at once.
_COPY_ROW: Final = np.dtype(
    [
        ("columns", ">i2"),
        ("instrument", _CELL),
        ("open_at", _CELL),
        ("open", _NUMBER),
        ("high", _NUMBER),
        ("low", _NUMBER),
        ("close", _NUMBER),
        ("volume", _NUMBER),
    ]
)
_COPY: Final = """
    COPY (SELECT instrument_id, open_at, open, high, low, close, volume FROM marketdata_candle
          WHERE instrument_id = ANY(%s) AND interval = %s AND open_at >= %s AND open_at < %s)
    TO STDOUT (FORMAT binary)
"""
_PRICES: Final = """
    SELECT i.id, i.base, i.quote, m.price, m.market_at, h.doubt, h.detail, h.looked_at FROM marketdata_instrument AS i
    LEFT JOIN marketdata_mark AS m ON m.instrument_id = i.id LEFT JOIN marketdata_pricehealth AS h ON h.instrument_id = i.id
    WHERE i.market_id = %s AND (m.price IS NOT NULL OR h.looked_at IS NOT NULL)
"""
# Of each interval that is kept the last candle that ended in time; of those the one that ended last.
_NEWEST_CLOSES: Final = """
    SELECT DISTINCT ON (s.instrument_id) s.instrument_id, c.close, c.open_at + k.length FROM marketdata_subscription AS s
    JOIN marketdata_instrument AS i ON i.id = s.instrument_id
    JOIN unnest(%s::text[], %s::interval[]) AS k (interval, length) ON k.interval = s.interval
    CROSS JOIN LATERAL (
        SELECT open_at, close FROM marketdata_candle
        WHERE instrument_id = s.instrument_id AND interval = s.interval
          AND open_at > %s - k.length AND open_at <= %s - k.length
        ORDER BY open_at DESC LIMIT 1
    ) AS c
    WHERE i.market_id = %s
    ORDER BY s.instrument_id, c.open_at + k.length DESC, k.length
"""
_LENGTHS: Final = {name: timedelta(milliseconds=length) for name, length in INTERVALS.items()}
_GAPS: Final = """
    SELECT open_at + %(length)s, next_at FROM (
        SELECT open_at, lead(open_at) OVER (ORDER BY open_at) AS next_at FROM marketdata_candle
        WHERE instrument_id = %(instrument)s AND interval = %(interval)s AND open_at >= %(since)s AND open_at < %(until)s
    ) AS neighbours
    WHERE next_at > open_at + %(length)s ORDER BY open_at
"""


@dataclass(frozen=True, slots=True, eq=False)
class CandlePanel:
    """Candles of several instruments on one time grid, NaN where one is missing."""

    # Open times, int64 UTC milliseconds.
    times: Times
    # float64 [OPEN..VOLUME][instrument][bar], in the order the instruments were asked for.
    values: Floats


class Gap(NamedTuple):
    """Candles that are missing: the first one's open, and the open of the next one there is."""

    begin_at: datetime
    end_at: datetime


@dataclass(frozen=True, slots=True)
class FiltersVersion:
    """Filters of an instrument as they held from a moment on."""

    version: int
    from_at: datetime
    # Steps and bounds as decimal text.
    in_force: dict[str, str]
    # What is other than before: from and to; empty texts where only the exchange's own words changed.
    changed: dict[str, tuple[str, str]]


def markets_traded() -> list[int]:
    """List the markets that an enabled account trades on."""
    found = Market.objects.filter(accounts__is_enabled=True).order_by("id").distinct()
    return list(found.values_list("id", flat=True))


def markets_to_feed() -> list[int]:
    """List the markets whose prices are kept: those traded on, and those that somebody wants to see beside them."""
    found = Market.objects.filter(Q(accounts__is_enabled=True) | Q(is_watched=True)).order_by("id").distinct()
    return list(found.values_list("id", flat=True))


def instruments(market_id: int) -> QuerySet[Instrument]:
    """Answer the instruments of a market, by symbol."""
    return Instrument.objects.filter(market_id=market_id).order_by("symbol")


def subscriptions(market_id: int) -> QuerySet[Subscription]:
    """Answer what the feed of a market keeps."""
    return Subscription.objects.filter(instrument__market_id=market_id).select_related("instrument").order_by("id")


def filters_of(instrument: Instrument) -> Filters:
    """Turn a stored instrument into the value that sizing and the coordinator reckon with."""
    return Filters(
        symbol=instrument.symbol,
        base=instrument.base,
        quote=instrument.quote,
        tick_size=instrument.tick_size,
        lot_size=instrument.lot_size,
        min_quantity=instrument.quantity_min,
        max_quantity=instrument.quantity_max,
        min_notional=instrument.notional_min,
    )


def filters_at(instrument: Instrument, at: datetime) -> Filters:
    """Answer the filters that held at a moment; before the first ones that were seen, those."""
    versions = InstrumentFilters.objects.filter(instrument=instrument)
    row = versions.filter(from_at__lte=at).order_by("-version").first() or versions.order_by("version").first()
    if row is None:
        return filters_of(instrument)
    said = row.in_force
    return Filters(
        symbol=instrument.symbol,
        base=said["base"],
        quote=said["quote"],
        tick_size=Decimal(said["tick_size"]),
        lot_size=Decimal(said["lot_size"]),
        min_quantity=Decimal(said["quantity_min"]),
        max_quantity=Decimal(said["quantity_max"]),
        min_notional=Decimal(said["notional_min"]),
    )


def filters_history(instrument_id: int) -> list[FiltersVersion]:
    """List the filters of an instrument, the newest first, each with what it changed."""
    rows = list(InstrumentFilters.objects.filter(instrument=instrument_id).order_by("version"))
    found = [_version(row, before) for before, row in zip([None, *rows], rows, strict=False)]
    return found[::-1]


def _version(row: InstrumentFilters, before: InstrumentFilters | None) -> FiltersVersion:
    old = before.in_force if before else {}
    changed = {name: (old.get(name, ""), value) for name, value in row.in_force.items() if before and old.get(name) != value}
    if before and not changed:
        # Nothing that orders are sized by; a rule of the exchange's beside it.
        names = {name for name in {*row.filters, *before.filters} if row.filters.get(name) != before.filters.get(name)}
        changed = dict.fromkeys(sorted(names), ("", ""))
    return FiltersVersion(row.version, row.from_at, row.in_force, changed)


def candle_panel(*, instrument_ids: Sequence[int], interval: str, begin_at: datetime, end_at: datetime) -> CandlePanel:
    """Load the candles that open from `begin_at` up to, but without, `end_at`."""
    length = interval_milliseconds(interval)
    first, end = milliseconds(begin_at), milliseconds(end_at)
    if first % length or end % length:
        raise ValueError(f"{begin_at} and {end_at} must lie on the grid of {interval}")
    times = np.arange(first, end, length, dtype=np.int64)
    values = np.full((FIELDS, len(instrument_ids), len(times)), np.nan)
    rows = _copy_rows(list(instrument_ids), interval, begin_at, end_at)
    opens = (rows["open_at"]["value"].astype(np.int64) + _POSTGRES_EPOCH_US) // 1000
    places = (opens - first) // length
    for position, instrument_id in enumerate(instrument_ids):
        mine = rows["instrument"]["value"] == instrument_id
        for field, name in enumerate(("open", "high", "low", "close", "volume")):
            values[field, position, places[mine]] = rows[name]["value"][mine]
    return CandlePanel(times, values)


def candles(*, instrument_id: int, interval: str, end_at: datetime | None = None, bars: int = 500) -> list[Candle]:
    """Answer the newest candles of an instrument, oldest first."""
    found = Candle.objects.filter(instrument_id=instrument_id, interval=interval)
    if end_at is not None:
        found = found.filter(open_at__lt=end_at)
    return list(found.order_by("-open_at")[:bars])[::-1]


def first_candle_at(*, instrument_id: int, interval: str) -> datetime | None:
    """Answer when the oldest stored candle of an instrument opened."""
    return _opens(instrument_id, interval).first()


def gaps(*, instrument_id: int, interval: str, since: datetime, until: datetime) -> list[Gap]:
    """Find the missing candles between the first and the last one there is."""
    length = moment(interval_milliseconds(interval)) - moment(0)
    known: dict[str, Any] = {"instrument": instrument_id, "interval": interval, "since": since, "until": until, "length": length}
    with connection.cursor() as cursor:
        cursor.execute(_GAPS, known)
        return [Gap(*row) for row in cursor.fetchall()]


@dataclass(frozen=True, slots=True)
class Coverage:
    """What is stored of one interval of one instrument."""

    symbol: str
    interval: str
    candles: int
    first_at: datetime | None
    last_at: datetime | None
    synced_through_at: datetime | None
    gaps: list[Gap]


def pair_of(name: str) -> str:
    """Write BTCUSDT as BTC/USDT where a market lists it; a name alone does not say where its quote begins."""
    listed = Instrument.objects.annotate(name=Concat("base", "quote")).filter(name=name)
    return listed.values_list("symbol", flat=True).first() or name


def coverage() -> list[Coverage]:
    """Answer what is stored of every interval that the feeds of enabled accounts keep, of the last year at most."""
    followed = Subscription.objects.filter(instrument__market__in=markets_to_feed()).select_related("instrument")
    return [_coverage(subscription) for subscription in followed]


def _coverage(subscription: Subscription) -> Coverage:
    stream: dict[str, Any] = {"instrument_id": subscription.instrument_id, "interval": subscription.interval}
    opens = _opens(**stream)
    # Both ends are one look into the index each.
    first, last = opens.first(), opens.last()
    until = subscription.synced_through_at
    missing: list[Gap] = []
    candles = 0
    if first is not None and last is not None:
        first = max(first, last - COVERAGE_SPAN)
        length = timedelta(milliseconds=interval_milliseconds(subscription.interval))
        missing = gaps(**stream, since=first, until=max(last, until or last) + length)
        # What is not missing is there: nothing has to be counted.
        candles = (last - first) // length + 1 - sum((gap.end_at - gap.begin_at) // length for gap in missing)
    return Coverage(
        symbol=subscription.instrument.symbol,
        interval=subscription.interval,
        candles=candles,
        first_at=first,
        last_at=last,
        synced_through_at=until,
        gaps=missing,
    )


def _opens(instrument_id: int, interval: str) -> QuerySet[Candle, datetime]:
    """Answer when the stored candles opened, oldest first."""
    return (
        Candle.objects.filter(instrument_id=instrument_id, interval=interval)
        .order_by("open_at")
        .values_list("open_at", flat=True)
    )


def history_job(job_id: int) -> HistoryJob | None:
    """Find a history job."""
    return HistoryJob.objects.filter(id=job_id).first()


def history_jobs(*, limit: int) -> list[HistoryJob]:
    """List the newest history jobs, newest first."""
    return list(HistoryJob.objects.select_related("requested_by").order_by("-id")[:limit])


def waiting_history_jobs(*, abandoned_before: datetime) -> list[int]:
    """List the history jobs that nobody works on."""
    queued = HistoryJob.objects.filter(state=HistoryJob.State.QUEUED)
    abandoned = HistoryJob.objects.filter(state=HistoryJob.State.RUNNING, beat_at__lt=abandoned_before)
    return list((queued | abandoned).order_by("requested_at").values_list("id", flat=True))


def last_closes(pairs: Sequence[tuple[int, str]]) -> dict[tuple[int, str], float]:
    """Answer the newest stored close of each (instrument, interval)."""
    closes: dict[tuple[int, str], float] = {}
    for instrument_id, interval in pairs:
        newest = Candle.objects.filter(instrument_id=instrument_id, interval=interval).order_by("-open_at")
        close = newest.values_list("close", flat=True).first()
        if close is not None:
            closes[instrument_id, interval] = close
    return closes


def close_before(instrument_id: int, interval: str, at: datetime) -> float:
    """Answer the close of the last candle that opened before a moment, NaN for none."""
    earlier = Candle.objects.filter(instrument_id=instrument_id, interval=interval, open_at__lt=at).order_by("-open_at")
    close = earlier.values_list("close", flat=True).first()
    return float("nan") if close is None else close


class Close(NamedTuple):
    """At what price a candle closed, and when that was in market time."""

    price: Decimal
    ended_at: datetime


def newest_closes(market_id: int, *, after: datetime, until: datetime) -> dict[int, Close]:
    """Answer at what price each instrument's newest candle closed that ended after a moment and by another, however long it was.

    Only what the feed keeps is looked at. Of candles that ended together the shortest one tells.
    """
    newest = rows(_NEWEST_CLOSES, list(_LENGTHS), list(_LENGTHS.values()), after, until, market_id)
    # A candle is a float; its shortest text is the price that was traded.
    return {instrument_id: Close(Decimal(repr(close)), ended_at) for instrument_id, close, ended_at in newest}


def marks(instrument_ids: Sequence[int]) -> dict[int, Decimal]:
    """Answer the newest price of each instrument that has one."""
    return dict(Mark.objects.filter(instrument_id__in=instrument_ids).values_list("instrument_id", "price"))


class Price(NamedTuple):
    """The newest price of an instrument, and why no new money may go by it."""

    mark: Decimal | None
    # Market time of the mark.
    marked_at: datetime | None
    # Empty when nothing is wrong.
    trouble: str
    base: str
    quote: str


def prices(market_id: int, *, now: datetime) -> dict[int, Price]:
    """Answer marks and doubts of a market in one statement; a feed that has stopped looking is a doubt.

    An instrument that no feed has ever looked at is not judged: other rules want a price of it anyway.
    """
    return {
        number: Price(mark, marked_at, _trouble(doubt, detail, looked_at, now), base, quote)
        for number, base, quote, mark, marked_at, doubt, detail, looked_at in rows(_PRICES, market_id)
    }


def _trouble(doubt: str | None, detail: str | None, looked_at: datetime | None, now: datetime) -> str:
    if looked_at is None:
        return ""
    if now - looked_at > FEED_LOOKS_WITHIN:
        return f"{UNWATCHED}: the feed last looked at {looked_at.isoformat()}"
    return f"{doubt}: {detail}" if doubt else ""


def _copy_rows(instrument_ids: list[int], interval: str, begin_at: datetime, end_at: datetime) -> Any:
    # The driver's own cursor: Django's wrapper for query logs copies without parameters only.
    words = (instrument_ids, interval, begin_at, end_at)
    with connection.cursor() as wrapper, wrapper.cursor.copy(_COPY, words) as copy:
        content = b"".join(bytes(block) for block in copy)
    body = memoryview(content)[_COPY_HEADER_BYTES : len(content) - _COPY_TRAILER_BYTES]
    return np.frombuffer(body, dtype=_COPY_ROW)
