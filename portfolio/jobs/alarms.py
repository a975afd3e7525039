"""Watch for what no transaction tells of, and stop entries while nobody looks at what is critical (O13)."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final

from marketdata.selectors import prices
from portfolio.jobs.fee_settlement import pools_running_low
from portfolio.jobs.risk import market_time
from portfolio.models import Account, Alarm, Order, Position
from portfolio.selectors.alarms import overdue
from portfolio.writers import accounts, alarms
from portfolio.writers.alarms import ALARM_UNACKNOWLEDGED, POSITION_UNPROTECTED, Cause, Source
from trading import order_status

# So long an order's fate is looked for before a person is told (T21).
_UNKNOWN_AFTER: Final = timedelta(seconds=30)
Found = dict[Cause, dict[str, Any]]


def look(account: Account, *, now: datetime) -> Found:
    """Return what is worth an alarm at this moment, with its facts; nothing is locked."""
    return _unprotected(account) | _unknown(account, now=now) | _doubted(account, now=now) | _low_pools(account, now=now)


def wants_action(account: Account, found: Found, *, now: datetime) -> bool:
    """Say whether the account must be locked: something is news, or is gone, or has waited too long."""
    told = Alarm.objects.filter(account=account, source=Source.WATCH, cleared_at=None)
    known = {Cause(row.source, row.code, row.book_id, row.subject) for row in told}
    return known != found.keys() or _is_halted_too_late(account, now=now)


def act(account: Account, found: Found, *, now: datetime) -> None:
    """Raise and clear on a locked account, and stop its entries while a critical alarm waits too long."""
    alarms.clear_all_but(account.pk, Source.WATCH, found, now=now)
    for cause, facts in found.items():
        alarms.raise_alarm(account.pk, cause, facts=facts, now=now)
    if _is_halted_too_late(account, now=now):
        accounts.halt_entries(account, ALARM_UNACKNOWLEDGED, now=now)
    accounts.changed(account)


def _is_halted_too_late(account: Account, *, now: datetime) -> bool:
    return account.state == Account.State.ACTIVE and overdue(account.pk, now=now)


def _unprotected(account: Account) -> Found:
    """Name positions that should have a stop and have none (I-47)."""
    rows = Position.objects.filter(book__account=account, is_unprotected=True).select_related("instrument")
    return {Cause(Source.WATCH, POSITION_UNPROTECTED, row.book_id, row.instrument.symbol): {} for row in rows}


def _unknown(account: Account, *, now: datetime) -> Found:
    """Name orders that nobody can say the fate of (I-43)."""
    unknown = (order_status.SENDING, order_status.UNKNOWN)
    rows = Order.objects.filter(account=account, status__in=unknown, sent_at__lte=now - _UNKNOWN_AFTER)
    return {
        Cause(Source.WATCH, "ORDER_UNKNOWN", row.book_id, row.client_order_id): {
            "reason": row.reason,
            "sent_at": f"{row.sent_at:%c}",
        }
        for row in rows
    }


def _doubted(account: Account, *, now: datetime) -> Found:
    """Name held pairs whose prices are in doubt: their worth, and what may be lost, is."""
    held = Position.objects.filter(book__account=account, quantity__gt=0).select_related("instrument")
    symbols = {row.instrument_id: row.instrument.symbol for row in held}
    found = prices(account.market_id, now=now) if symbols else {}
    return {
        Cause(Source.WATCH, "DATA_STALE", None, symbols[number]): {"prices": price.trouble}
        for number, price in found.items()
        if number in symbols and price.trouble
    }


def _low_pools(account: Account, *, now: datetime) -> Found:
    low = pools_running_low(account.pk, market_at=market_time(account) or now)
    return {Cause(Source.WATCH, "FEE_POOL_LOW", None, asset): {} for asset in low}
