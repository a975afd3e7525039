"""Figures arranged for the outside: the same for API, pages and stream."""

from __future__ import annotations

from typing import Any

from portfolio.selectors import BookNumbers, PositionNumbers
from portfolio.selectors.worth import Worth
from trading.ledger import exactly


@exactly
def pnl_view(worth: Worth) -> dict[str, Any]:
    """Arrange an account's and its bots' results."""
    overview = worth.overview
    return {
        "seq": worth.seq,
        "quote_asset": worth.account.quote_asset,
        "marked_at": worth.marked_at,
        "marks": worth.marks,
        "account": {
            "id": worth.account.pk,
            "name": worth.account.name,
            "equity": overview.equity,
            "net_flows": overview.net_flows,
            "pnl": overview.pnl,
            "return_ratio": overview.return_ratio,
            "realised": overview.realised,
            "unrealised": overview.unrealised,
            "fees": overview.fees,
            "pools": overview.pools,
            "pools_pnl": overview.pools_pnl,
        },
        "bots": [book_view(book) for book in overview.books],
        "pools_pnl": overview.pools_pnl,
        "unallocated": overview.unallocated,
        "suspense": overview.suspense,
        "unpriced": list(overview.unpriced),
    }


@exactly
def book_view(book: BookNumbers) -> dict[str, Any]:
    """Arrange a book's figures."""
    return {
        "bot": book.name,
        "book": book.book_id,
        "percent": book.percent,
        "target": book.target,
        "base_equity": book.base_equity,
        "cash": book.cash,
        "reserved": book.reserved,
        "holdings": book.holdings,
        "equity": book.equity,
        "net_contributed": book.net_flows,
        "realised": book.realised,
        "unrealised": book.unrealised,
        "fees": book.fees,
        "pnl": book.pnl,
        "return_ratio": book.return_ratio,
    }


def position_view(numbers: PositionNumbers) -> dict[str, Any]:
    """Arrange a position."""
    position = numbers.position
    return {
        "bot": position.book.name,
        "book": position.book_id,
        "symbol": position.instrument.symbol,
        "quantity": position.quantity,
        "cost": position.cost,
        "average_cost": numbers.average_cost,
        "mark": numbers.mark,
        "value": numbers.value,
        "unrealised": numbers.unrealised,
        "realised": position.realised,
        "fees": position.fees,
        "stop_price": position.stop_price,
        "is_unprotected": position.is_unprotected,
        "opened_at": position.opened_at,
    }
