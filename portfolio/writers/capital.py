"""Move capital between a book and what the operator keeps, so that today's loss of the book stays what it was."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

from portfolio.models import Book, RiskDay
from trading.ledger import UNIT, ZERO, exactly


@exactly
def shrink_day(book: Book, *, worth_before: Decimal, moved: Decimal, market_at: datetime) -> None:
    """Have the start of a book's day leave in proportion with capital that leaves.

    Otherwise a book that lost a little and gave the rest back would look as if it had lost all of what it has left, and be
    shut for it. A share of a book takes its share of the loss along. Capital that comes changes nothing of what was lost.
    """
    if moved >= ZERO or worth_before <= ZERO:
        return
    day = RiskDay.objects.filter(book=book, market_date=market_at.astimezone(UTC).date()).first()
    if day is None:
        return
    base_before = day.equity + book.net_flows - day.net_flows
    base_after = max(base_before, ZERO) * (worth_before + moved) // (worth_before * UNIT) * UNIT
    # The flow itself is counted by the book: what the day began with is what makes the new base of it.
    day.equity = base_after - (book.net_flows + moved - day.net_flows)
    day.save(update_fields=["equity"])
