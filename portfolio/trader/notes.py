"""What the trader notes beside the orders: cursors, filters, fees, signs of life; one transaction each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from exchange.ports import Listing
from marketdata import writers as market_writers
from marketdata.models import Instrument
from portfolio import running
from portfolio.jobs import alarms, fee_settlement
from portfolio.models import Account, Heartbeat, HistoryCursor
from portfolio.trader import records
from portfolio.trader.lease import fenced


def move_cursors(account_id: int, epoch: int, newest: Mapping[str, int], *, now: datetime) -> None:
    """Note that every trade of these symbols up to these is posted; a cursor never moves back."""
    with fenced(account_id, epoch):
        known = records.read_cursors(account_id)
        moved = [
            HistoryCursor(account_id=account_id, symbol=symbol, trade_id=trade_id, read_at=now)
            for symbol, trade_id in sorted(newest.items())
            if trade_id > known.get(symbol, -1)
        ]
        HistoryCursor.objects.bulk_create(
            moved, update_conflicts=True, unique_fields=["account", "symbol"], update_fields=["trade_id", "read_at"]
        )


def refresh_listings(account_id: int, listings: Sequence[Listing], *, now: datetime) -> set[str]:
    """Store the filters in force of the instruments we know; answer which of them cannot be traded now."""
    market_id = Account.objects.values_list("market_id", flat=True).get(id=account_id)
    listed = {listing.venue_symbol: listing for listing in listings}
    blocked = set()
    for symbol in Instrument.objects.filter(market=market_id).values_list("venue_symbol", flat=True):
        listing = listed.get(symbol)
        if listing is None or not listing.is_trading:
            blocked.add(symbol)
        if listing is not None:
            market_writers.upsert_instrument(
                market_id=market_id,
                venue_symbol=symbol,
                filters=listing.instrument,
                raw=listing.filters,
                order_count_max=listing.order_count_max,
                now=now,
            )
    return blocked


def settle_fees(account_id: int, epoch: int, *, now: datetime) -> int:
    """Charge books for the fees that the pool has paid for them."""
    with fenced(account_id, epoch) as account:
        return fee_settlement.settle_pending(account, now=now)


def watch(account_id: int, epoch: int, *, now: datetime) -> None:
    """Raise what is worth an alarm and clear what is gone; the account is locked only when there is news."""
    account = Account.objects.get(id=account_id)
    found = alarms.look(account, now=now)
    if alarms.wants_action(account, found, now=now):
        with fenced(account_id, epoch) as locked:
            alarms.act(locked, found, now=now)


def beat(process: str, facts: Mapping[str, Any], *, now: datetime) -> None:
    """Give a sign of life."""
    said = {"beat_at": now, "facts": dict(facts), "code_hash": running.fingerprint()}
    Heartbeat.objects.update_or_create(process=process, defaults=said)


def pools_running_low(account_id: int) -> list[str]:
    """Return the assets whose pool will soon pay no more fees."""
    market_at = records.synced_through(account_id)
    return [] if market_at is None else fee_settlement.pools_running_low(account_id, market_at=market_at)
