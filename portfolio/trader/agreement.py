"""What must be done before the market's time goes on: every fill posted, every due bot advanced, nothing on its way."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from django.db.models import Q

from marketdata.models import Market
from portfolio import doorbells
from portfolio.models import Account, Intent, Order
from portfolio.trader.lease import fenced
from portfolio.writers import accounts
from trading import order_status


class Quiet(NamedTuple):
    """An account with nothing on its way; where two are equal, nothing was ordered, came or ended between them."""

    trades_posted: int
    version: int


def mark_synced(account_id: int, epoch: int, market_at: datetime, *, expected: int) -> bool:
    """Note that every fill up to a market time is posted, then ring; refuse while fewer are posted than expected."""
    with fenced(account_id, epoch) as account:
        if account.trades_posted < expected:
            return False
        accounts.mark_synced(account, market_at)
    ring_for_bots(account_id, market_at)
    return True


def ring_for_bots(account_id: int, market_at: datetime) -> None:
    """Tell the floors above that bots may advance; to hear it twice does no harm."""
    for ring in doorbells.on_synced:
        ring(account_id=account_id, market_at=market_at)


def find_quiet(account_id: int, market_at: datetime) -> Quiet | None:
    """Return how the account stands if market time may go on: nothing on its way, every due bot has advanced."""
    moving = (order_status.READY, order_status.SENDING, order_status.UNKNOWN, order_status.CANCELLING)
    live = Order.objects.filter(account=account_id, status__in=order_status.LIVE)
    # Bots first: what they write before their last step is seen by the looks that follow.
    if not all(ask(account_id=account_id, market_at=market_at) for ask in doorbells.due_bots_done):
        return None
    if live.filter(Q(status__in=moving) | Q(cancel_requested_at__isnull=False) | ~Q(final_status="")).exists():
        return None
    waiting = Intent.objects.filter(book__account=account_id, state=Intent.State.WAITING)
    if waiting.exists():
        return None
    # Last: what has ended since the looks above has raised the version.
    return Quiet(*Account.objects.values_list("trades_posted", "version").get(pk=account_id))


def market_time(account_id: int) -> datetime | None:
    """Return the close of the newest candle of the account's market."""
    return Market.objects.values_list("market_time_at", flat=True).get(accounts=account_id)
