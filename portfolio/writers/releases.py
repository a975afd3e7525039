"""Release what waited for the end of an order. The rules are `trading.desk`'s."""

from __future__ import annotations

from datetime import datetime

from portfolio.models import Account, Intent
from portfolio.writers.store import open_desk
from trading.desk import releases


def after_fills(account: Account, *, now: datetime, market_at: datetime | None = None) -> None:
    """Release every waiting intent whose cancels are proven. Start-up calls it; endings call it by themselves."""
    desk = open_desk(account, market_at=market_at, now=now)
    releases.after_fills(desk)
    desk.write()


def drop_waiting(account: Account, reason: str) -> int:
    """Drop every intent that waits for cancels: it was decided for a moment that is gone. Answers how many."""
    waiting = Intent.objects.filter(book__account=account, state=Intent.State.WAITING)
    return waiting.update(state=Intent.State.DROPPED, drop_reason=reason)
