"""Record what account and books are worth after each closed candle."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from marketdata.selectors import newest_closes
from portfolio import selectors
from portfolio.models import Account, EquityPoint
from portfolio.selectors.worth import consistent_read
from trading.ledger import exactly

# No two candles end so close to one another.
_MOMENT: Final = timedelta(milliseconds=1)


@exactly
def record_equity(*, account_id: int, market_at: datetime, now: datetime) -> int:  # noqa: ARG001 - every job is told the time.
    """Record one point for the account and one for each book; a second call for the same time changes nothing.

    Prices are the closes of the candles that end at `market_at`, so that a replay records the same line; the
    newest mark stands in where there is no candle. Answers how many points are new.
    """
    with consistent_read():
        if EquityPoint.objects.filter(account=account_id, book__isnull=True, market_at=market_at).exists():
            return 0
        overview = selectors.account_overview(account_id, prices=_closes(account_id, market_at))
    figures: list[tuple[int | None, selectors.AccountOverview | selectors.BookNumbers]] = [(None, overview)]
    figures += [(book.book_id, book) for book in overview.books]
    points = [
        EquityPoint(
            account_id=account_id,
            book_id=book_id,
            market_at=market_at,
            equity=row.equity,
            realised=row.realised,
            unrealised=row.unrealised,
            fees=row.fees,
            net_flows=row.net_flows,
        )
        for book_id, row in figures
    ]
    # Two that record the same time write the same figures: the second one's are left out.
    EquityPoint.objects.bulk_create(points, ignore_conflicts=True)
    return len(points)


def _closes(account_id: int, market_at: datetime) -> dict[int, Decimal]:
    market_id = Account.objects.values_list("market_id", flat=True).get(pk=account_id)
    newest = newest_closes(market_id, after=market_at - _MOMENT, until=market_at)
    return {instrument_id: close.price for instrument_id, close in newest.items()}
