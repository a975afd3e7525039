"""Move capital between a book and what the operator keeps, so that today's loss of the book stays what it was."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

from portfolio.models import Book, RiskDay
from trading.ledger import ZERO, exactly
from trading.risk import DayStart, shrunk_start


@exactly
def shrink_day(book: Book, *, worth_before: Decimal, moved: Decimal, market_at: datetime) -> None:
    """Have the start of a book's day leave in proportion with capital that leaves; capital that comes leaves it alone."""
    if moved >= ZERO or worth_before <= ZERO:
        return
    day = RiskDay.objects.filter(book=book, market_date=market_at.astimezone(UTC).date()).first()
    if day is None:
        return
    start = DayStart(day.equity, day.net_flows)
    day.equity = shrunk_start(start, net_flows=book.net_flows, worth_before=worth_before, moved=moved).equity
    day.save(update_fields=["equity"])
