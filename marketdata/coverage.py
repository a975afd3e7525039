"""What is stored of the intervals that somebody follows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count, Max, Min

from marketdata import selectors
from marketdata.models import Candle, Subscription
from marketdata.selectors import Gap


@dataclass(frozen=True, slots=True)
class Coverage:
    """The candles of one interval of one instrument, and what is missing among them."""

    symbol: str
    interval: str
    candles: int
    first_at: datetime | None
    last_at: datetime | None
    synced_through_at: datetime | None
    gaps: tuple[Gap, ...]


def coverage() -> list[Coverage]:
    """Return the coverage of every followed interval, by symbol."""
    rows = Subscription.objects.filter(instrument__market__in=selectors.markets_to_feed()).select_related("instrument")
    return [_of(row) for row in rows.order_by("instrument__symbol", "interval")]


def _of(row: Subscription) -> Coverage:
    stored = Candle.objects.filter(instrument=row.instrument_id, interval=row.interval)
    found = stored.aggregate(candles=Count("id"), first_at=Min("open_at"), last_at=Max("open_at"))
    gaps: list[Gap] = []
    if found["first_at"] is not None:
        gaps = selectors.gaps(
            instrument_id=row.instrument_id, interval=row.interval, since=found["first_at"], until=found["last_at"]
        )
    return Coverage(
        symbol=row.instrument.symbol,
        interval=row.interval,
        candles=found["candles"],
        first_at=found["first_at"],
        last_at=found["last_at"],
        synced_through_at=row.synced_through_at,
        gaps=tuple(gaps),
    )
