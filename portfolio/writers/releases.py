"""Release what waited for the end of an order. The rules are `trading.desk`'s."""

from __future__ import annotations

from datetime import datetime

from portfolio.models import Account
from portfolio.writers.store import open_desk
from trading.desk import releases


def after_fills(account: Account, *, now: datetime, market_at: datetime | None = None) -> None:
    """Release every waiting intent whose cancels are proven. Start-up calls it; endings call it by themselves."""
    desk = open_desk(account, market_at=market_at, now=now)
    releases.after_fills(desk)
    desk.write()
