"""The single place that changes the tables of market data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from django.contrib.auth.models import User
from django.db import connection
from django.db.models import F, Q
from django.db.models.functions import Greatest

from marketdata.candles import ClosedCandle, moment
from marketdata.models import HistoryJob, Instrument, InstrumentFilters, Mark, Market, PriceHealth, Subscription
from trading.instruments import Instrument as Filters

MESSAGE_LENGTH_MAX: Final = 4000

_UPSERT: Final = """
    INSERT INTO marketdata_candle (instrument_id, interval, open_at, open, high, low, close, volume, revision)
    SELECT *, 0 FROM unnest(%s::bigint[], %s::text[], %s::timestamptz[],
                            %s::float8[], %s::float8[], %s::float8[], %s::float8[], %s::float8[])
    ON CONFLICT (instrument_id, interval, open_at) DO UPDATE
    SET open = excluded.open, high = excluded.high, low = excluded.low, close = excluded.close, volume = excluded.volume,
        revision = marketdata_candle.revision + 1
    WHERE (marketdata_candle.open, marketdata_candle.high, marketdata_candle.low, marketdata_candle.close,
           marketdata_candle.volume)
        IS DISTINCT FROM (excluded.open, excluded.high, excluded.low, excluded.close, excluded.volume)
    RETURNING instrument_id, interval, open_at, revision
"""
# Of two moments, one of which may be unknown, GREATEST and LEAST answer the one that is known.
_MARK_SYNCED: Final = """
    UPDATE marketdata_subscription AS known
    SET synced_from_at = LEAST(known.synced_from_at, mark.from_at),
        synced_through_at = GREATEST(known.synced_through_at, mark.through_at)
    FROM unnest(%s::bigint[], %s::timestamptz[], %s::timestamptz[]) AS mark (id, from_at, through_at)
    WHERE known.id = mark.id
"""


def upsert_market(*, exchange: str, epoch: str, facts: Mapping[str, Any], now: datetime) -> Market:
    """Store a market, or bring its label and addresses up to date."""
    market, _ = Market.objects.update_or_create(
        exchange=exchange, epoch=epoch, defaults=dict(facts), create_defaults={**facts, "created_at": now}
    )
    return market


def upsert_instrument(
    *, market_id: int, venue_symbol: str, filters: Filters, raw: Mapping[str, Any], order_count_max: int, now: datetime
) -> Instrument:
    """Store an instrument; changed filters raise their version."""
    in_force = {
        "venue_symbol": venue_symbol,
        "base": filters.base,
        "quote": filters.quote,
        "tick_size": filters.tick_size,
        "lot_size": filters.lot_size,
        "quantity_min": filters.min_quantity,
        "quantity_max": filters.max_quantity,
        "notional_min": filters.min_notional,
        "order_count_max": order_count_max,
    }
    described = {**in_force, "filters": dict(raw), "filters_read_at": now}
    instrument, is_new = Instrument.objects.get_or_create(market_id=market_id, symbol=filters.symbol, defaults=described)
    is_other = any(getattr(instrument, name) != value for name, value in in_force.items()) or instrument.filters != dict(raw)
    raised = int(not is_new and is_other)
    if not is_new:
        Instrument.objects.filter(id=instrument.id).update(**described, filters_version=F("filters_version") + raised)
        instrument.refresh_from_db()
    if is_new or raised:
        _keep_filters(instrument, in_force, raw, now=now)
    return instrument


def _keep_filters(instrument: Instrument, in_force: Mapping[str, Any], raw: Mapping[str, Any], *, now: datetime) -> None:
    """Write down from when on these filters hold; a backtest of that time may not know others."""
    InstrumentFilters.objects.get_or_create(
        instrument=instrument,
        version=instrument.filters_version,
        defaults={"in_force": {name: str(value) for name, value in in_force.items()}, "filters": dict(raw), "from_at": now},
    )


def watch_market(*, market_id: int, is_watched: bool) -> bool:
    """Have a feed follow a market, or not any more; false where nothing changed."""
    return Market.objects.filter(id=market_id).exclude(is_watched=is_watched).update(is_watched=is_watched) == 1


def subscribe(*, instrument_id: int, interval: str, history_bars: int) -> Subscription:
    """Have the feed keep the candles of an interval, with at least this much history."""
    subscription, _ = Subscription.objects.get_or_create(
        instrument_id=instrument_id, interval=interval, defaults={"history_bars": history_bars}
    )
    longer = Subscription.objects.filter(id=subscription.id, history_bars__lt=history_bars)
    if longer.update(history_bars=history_bars):
        subscription.refresh_from_db()
    return subscription


def upsert_candles(candles: Sequence[ClosedCandle]) -> list[tuple[int, str, datetime, int]]:
    """Store candles, and answer (instrument, interval, open, revision) of those that are new or changed."""
    if not candles:
        return []
    columns: list[list[Any]] = [list(column) for column in zip(*candles, strict=True)]
    columns[2] = [moment(open_time) for open_time in columns[2]]
    with connection.cursor() as cursor:
        cursor.execute(_UPSERT, columns)
        return list(cursor.fetchall())


def mark_synced(marks: Sequence[tuple[int, datetime | None, datetime]]) -> None:
    """Note of (subscription, from, through) that every candle between is stored or proven not to exist; no end moves back.

    Each subscription comes once: of two marks PostgreSQL would take either.
    """
    if marks:
        with connection.cursor() as cursor:
            cursor.execute(_MARK_SYNCED, [list(column) for column in zip(*marks, strict=True)])


def advance_market_time(*, market_id: int, market_at: datetime) -> None:
    """Move the market's time forward, never back."""
    Market.objects.filter(id=market_id).update(market_time_at=Greatest(F("market_time_at"), market_at))


def set_marks(marks: Iterable[tuple[int, Decimal, datetime]], *, now: datetime) -> int:
    """Store the newest price of each instrument: (instrument, price, market time)."""
    rows = [Mark(instrument_id=instrument, price=price, market_at=at, received_at=now) for instrument, price, at in marks]
    Mark.objects.bulk_create(
        rows, update_conflicts=True, unique_fields=["instrument"], update_fields=["price", "market_at", "received_at"]
    )
    return len(rows)


def set_price_health(states: Iterable[Mapping[str, Any]], *, now: datetime) -> None:
    """Store whether the prices of instruments can be trusted."""
    rows = [PriceHealth(**state, looked_at=now) for state in states]
    fields = ["doubt", "detail", "since_at", "silent_seconds", "looked_at"]
    PriceHealth.objects.bulk_create(rows, update_conflicts=True, unique_fields=["instrument"], update_fields=fields)


def add_history_job(*, kind: str, params: Mapping[str, Any], by: User | None, now: datetime) -> HistoryJob:
    """Write down that somebody asked for work on the history root."""
    return HistoryJob.objects.create(kind=kind, params=dict(params), requested_by=by, requested_at=now)


def claim_history_job(*, job_id: int, abandoned_before: datetime, now: datetime) -> bool:
    """Take a job that nobody works on; false when somebody does, or it is finished."""
    waiting = Q(state=HistoryJob.State.QUEUED)
    abandoned = Q(state=HistoryJob.State.RUNNING, beat_at__lt=abandoned_before)
    row = HistoryJob.objects.filter(waiting | abandoned, id=job_id)
    return row.update(state=HistoryJob.State.RUNNING, beat_at=now, version=F("version") + 1) == 1


def note_history_progress(*, job_id: int, facts: Mapping[str, Any], now: datetime) -> HistoryJob | None:
    """Store how far a job is, and answer it; None when it is not this worker's any more."""
    row = HistoryJob.objects.filter(id=job_id, state=HistoryJob.State.RUNNING)
    if not row.update(**facts, beat_at=now, version=F("version") + 1):
        return None
    return HistoryJob.objects.get(id=job_id)


def finish_history_job(*, job_id: int, state: str, message: str, outcome: Mapping[str, Any], now: datetime) -> HistoryJob:
    """Store what came of a job; a finished one stays as it is."""
    facts = {"state": state, "message": message[:MESSAGE_LENGTH_MAX], "outcome": dict(outcome), "finished_at": now}
    HistoryJob.objects.filter(id=job_id, finished_at=None).update(**facts, seconds_left=None, version=F("version") + 1)
    return HistoryJob.objects.get(id=job_id)


def ask_to_cancel_history_job(*, job_id: int, now: datetime) -> None:
    """Have whoever works on a job stop soon; one that waits is cancelled at once."""
    waiting = HistoryJob.objects.filter(id=job_id, state=HistoryJob.State.QUEUED)
    cancelled = HistoryJob.State.CANCELLED
    if not waiting.update(state=cancelled, cancel_requested_at=now, finished_at=now, version=F("version") + 1):
        running = HistoryJob.objects.filter(id=job_id, state=HistoryJob.State.RUNNING, cancel_requested_at=None)
        running.update(cancel_requested_at=now, version=F("version") + 1)
