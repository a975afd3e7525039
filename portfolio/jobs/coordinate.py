"""Arbitrate what bots ask for, in one transaction on a locked account. The rules are `trading.desk`'s."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from portfolio.models import Account
from portfolio.writers.store import open_desk
from trading.desk import coordination
from trading.proposals import Outcome, Proposal


def coordinate(account: Account, proposals: Sequence[Proposal], *, market_at: datetime, now: datetime) -> list[Outcome]:
    """Record every decision and turn the acceptable ones into orders; answer in the order given.

    Runs inside the caller's transaction on a locked account. Exits come before entries, then the bots' ranks
    count, then each bot's own order.
    """
    desk = open_desk(account, market_at=market_at, now=now)
    outcomes = coordination.coordinate(desk, proposals)
    desk.write()
    return outcomes


def flatten(account: Account, book_id: int, *, market_at: datetime, now: datetime, reason: str) -> int:
    """Cancel everything of a book and sell all it holds once the cancels are proven; answer how many sells."""
    desk = open_desk(account, market_at=market_at, now=now)
    count = coordination.flatten(desk, book_id, reason=reason)
    desk.write()
    return count
