"""What people may ask for about sources beyond price and markets that are only watched, with the record of it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from django.contrib.auth.models import User
from django.db import transaction

from exchange.ports import Listing
from marketdata import tasks, writers
from marketdata.models import Market
from marketdata.sources import keeping
from marketdata.sources.registry import source_named
from portfolio.writers import audit

REAL: Final = "real"
# A day of minutes: enough to see how two prices go together.
HISTORY_BARS: Final = 1440


class UnableToWatch(Exception):
    """Raised when a market cannot be watched as it was asked for."""

    code = "MARKET_NOT_WATCHABLE"


def switch_source(*, name: str, is_enabled: bool, by: User | None, now: datetime) -> None:
    """Switch a source on or off; one that is switched on, or let go after failures, is asked at once."""
    source = source_named(name)
    with transaction.atomic():
        was_failing = keeping.state_of(source.name).failures > 0
        if keeping.switch(source.name, is_enabled=is_enabled):
            before, after = {"is_enabled": not is_enabled}, {"is_enabled": is_enabled}
            audit.record(action="source.switch", subject=f"source:{source.name}", actor=by, before=before, after=after, now=now)
        elif is_enabled and was_failing:
            keeping.let_go(source.name)
            audit.record(action="source.let_go", subject=f"source:{source.name}", actor=by, now=now)
        if is_enabled:
            transaction.on_commit(tasks.collect_sources.delay)


def watch_market(
    *, exchange: str, listings: Sequence[Listing], intervals: Sequence[str], by: User | None, now: datetime
) -> Market:
    """Have a feed follow these instruments of an exchange beside those that accounts trade."""
    with transaction.atomic():
        facts = {"label": f"Public prices of {exchange}"}
        known = Market.objects.filter(exchange=exchange, epoch=REAL).first()
        market = known or writers.upsert_market(exchange=exchange, epoch=REAL, facts=facts, now=now)
        for listing in listings:
            instrument = writers.upsert_instrument(
                market_id=market.pk,
                venue_symbol=listing.venue_symbol,
                filters=listing.instrument,
                raw=listing.filters,
                order_count_max=listing.order_count_max,
                now=now,
            )
            for interval in intervals:
                writers.subscribe(instrument_id=instrument.pk, interval=interval, history_bars=HISTORY_BARS)
        writers.watch_market(market_id=market.pk, is_watched=True)
        after = {"symbols": [listing.instrument.symbol for listing in listings], "intervals": list(intervals)}
        audit.record(action="market.watch", subject=f"market:{market.pk}", actor=by, after=after, now=now)
    return market


def forget_market(*, exchange: str, by: User | None, now: datetime) -> None:
    """Have no feed follow a market for its own sake any more; what it kept stays."""
    with transaction.atomic():
        market = Market.objects.filter(exchange=exchange, epoch=REAL, is_watched=True).first()
        if market is None:
            raise UnableToWatch(f"Nobody watches {exchange}.")
        writers.watch_market(market_id=market.pk, is_watched=False)
        audit.record(action="market.forget", subject=f"market:{market.pk}", actor=by, now=now)
