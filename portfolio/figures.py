"""Figures arranged for the outside: the same for API, pages and stream."""

from __future__ import annotations

from typing import Any

from portfolio.selectors import BookNumbers, PositionNumbers
from portfolio.selectors.worth import Worth
from portfolio.services.allocations import AllocationPlan
from trading.ledger import ZERO, exactly


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


@exactly
def allocations_view(worth: Worth, *, plan: AllocationPlan | None = None) -> dict[str, Any]:
    """Arrange the shares as they are, or as a plan would make them."""
    planned = {share.book_id: share for share in plan.shares} if plan else {}
    shares = []
    for book in worth.overview.books:
        share = planned.get(book.book_id)
        target = share.target if share else book.target
        funded = share.funded if share else book.equity
        shares.append(
            {
                "book": book.book_id,
                "bot": book.name,
                "percent": share.percent if share else book.percent,
                "target": target,
                "funded": funded,
                "moved": share.moved if share else ZERO,
                "missing": target - funded,
            }
        )
    return {
        "seq": worth.seq,
        "account": worth.account.pk,
        "total": worth.overview.equity,
        "unallocated": plan.unallocated if plan else worth.overview.unallocated,
        "plan": plan.number if plan else 0,
        "shares": shares,
    }
