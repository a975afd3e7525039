"""What is left to lose today, arranged for the outside: the same for API, admin, pages and stream."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

from portfolio.jobs import risk
from portfolio.jobs.risk import RiskLook
from portfolio.models import Account, Book
from portfolio.selectors.risk import LIMIT_NAMES
from trading import risk as rules
from trading.ledger import ZERO, exactly
from trading.risk import RiskRoom, Standing

# What would let entries in again, by what keeps them out.
_REMEDIES = {
    "KILL_ACTIVE": "An administrator releases the kill switch, with a reason.",
    rules.HARD_STOP: "A new day of market time, and an administrator who lets go of the latch.",
    rules.REPEATED_EXECUTION: "Somebody finds out why entries give no position, then an administrator lets go of the latch.",
    rules.LIMITS_MISSING: "Set the account's limits.",
    rules.DAILY_LOSS_CAP: "A gain, a stop nearer to the market, less that is open, or a new day of market time.",
    rules.UNPRICED: "A price for everything that is held: is the feed running?",
}


@exactly
def risk_view(account_id: int, *, now: datetime) -> dict[str, Any]:
    """Arrange where account and books stand today; nothing is written."""
    found = risk.look(account_id, now=now)
    account = found.account
    books = list(Book.objects.filter(account=account).order_by("number"))
    return {
        "account": account_id,
        "quote_asset": account.quote_asset,
        "market_at": found.market_at,
        "market_date": found.market_at.date(),
        "is_killed": account.is_killed,
        "never_percent": rules.NEVER_PERCENT,
        "total": _standing_view(account, found, None, account.name),
        "books": [_standing_view(account, found, book.pk, book.name) for book in books if book.pk in found.standings],
        "unprotected": [{"book": book_id, "instrument": instrument_id} for book_id, instrument_id in found.unprotected],
    }


def _standing_view(account: Account, found: RiskLook, key: int | None, name: str) -> dict[str, Any]:
    standing, room = found.standings[key], found.room
    code = _shut_by(account, room, standing, key)
    lost = max(standing.loss, ZERO)
    return {
        "book": key,
        "name": name,
        "day_start": standing.start.equity,
        "base": standing.base,
        "equity": standing.equity,
        "lost_today": standing.loss,
        "worst_open": standing.worst_open,
        "soft_cap": standing.soft_cap,
        "hard_cap": standing.hard_cap,
        "left": ZERO if code else standing.left,
        "lost_percent": _percent(lost, standing),
        "worst_percent": _percent(standing.worst_open, standing),
        "left_percent": _percent(ZERO if code else standing.left, standing),
        "shut_by": code,
        "remedy": _REMEDIES.get(code, "Look at the account's state.") if code else "",
        "is_latched": key in room.latches,
        "unpriced": list(standing.unpriced),
        "has_own_limits": key in room.book_limits,
        "limits": {limit: getattr(standing.limits, limit) for limit in LIMIT_NAMES},
    }


def _shut_by(account: Account, room: RiskRoom, standing: Standing, key: int | None) -> str:
    """Return the code of what keeps entries out, the strongest first; empty when they may come."""
    if account.is_killed:
        return "KILL_ACTIVE"
    for owner in (None, key):
        if owner in room.latches:
            return room.latches[owner]
    if account.state in (Account.State.ENTRIES_HALTED, Account.State.HALTED):
        return account.state_reason or "ACCOUNT_HALTED"
    if standing.unpriced:
        return rules.UNPRICED
    return rules.DAILY_LOSS_CAP if standing.base > ZERO and standing.left == ZERO else ""


def _percent(amount: Decimal, standing: Standing) -> Decimal:
    """Return an amount in percent of what the day began with, to two decimals, rounded up: risk is not made smaller."""
    if standing.base <= ZERO:
        return ZERO
    hundredths, rest = divmod(amount * 10_000, standing.base)
    return (hundredths + (1 if rest else 0)) * rules.HUNDREDTH
