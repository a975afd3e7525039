"""What the coordinator holds and has refused, arranged for the outside: the same for API and pages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from portfolio.models import Book, DecisionRecord, Order, Reservation
from portfolio.selectors import coordinator as reading
from portfolio.selectors.coordinator import Exposure
from portfolio.selectors.deficits import deficits
from portfolio.selectors.gates import Gate
from portfolio.selectors.numbers import PositionNumbers
from portfolio.selectors.worth import Worth
from trading.ledger import ZERO, exactly


@exactly
def coordinator_view(worth: Worth) -> dict[str, Any]:
    """Arrange capital, reservations, refusals, exposure, orders, orphans and dust of an account."""
    account, overview = worth.account, worth.overview
    books = {book.pk: book for book in Book.objects.filter(account=account)}
    names = {pk: book.name for pk, book in books.items()}
    live = reading.live_orders(account.pk)
    refused = reading.refusals(list(books))
    orphans = reading.orphans(account.pk, suspense=overview.suspense, live=live)
    return {
        "seq": worth.seq,
        "account": account.pk,
        "quote_asset": account.quote_asset,
        "equity": overview.equity,
        "unallocated": overview.unallocated,
        "free": sum((book.cash for book in overview.books), ZERO),
        "reserved": sum((book.reserved for book in overview.books), ZERO),
        "in_coins": sum((book.holdings for book in overview.books), ZERO),
        "capital": [
            {
                "book": book.book_id,
                "bot": book.name,
                "free": book.cash,
                "reserved": book.reserved,
                "in_coins": book.holdings,
                "pending": books[book.book_id].pending,
                "pending_since_at": books[book.book_id].pending_since_at,
            }
            for book in overview.books
        ],
        "reservations": [reservation_view(row) for row in reading.reservations(account.pk)],
        "conflicts": conflicts_view(refused),
        "exposures": [_exposure(row, names) for row in reading.exposures(worth.positions)],
        "orders": [order_view(order) for order in live],
        "orphans": {
            "deficits": [asdict(row) for row in deficits(account)],
            "suspense": orphans.suspense,
            "orders": [order_view(order) for order in orphans.orders],
            "trades": [
                {"symbol": fill.instrument.symbol, "side": fill.side, "quantity": fill.quantity, "price": fill.price,
                 "traded_at": fill.traded_at, "trade_id": fill.trade_id}
                for fill in orphans.trades
            ],
        },
        "dust": [_dust(row) for row in reading.dust(worth.positions)],
        "dust_pool": reading.dust_pool(account.pk),
    }  # fmt: skip


def conflicts_view(refused: reading.Refusals) -> dict[str, Any]:
    """Arrange the newest refusals: how many of each code, and the newest with their facts."""
    return {
        "counted": refused.counted,
        "since_at": refused.since_at,
        "counts": [{"code": code, "count": count} for code, count in refused.counts],
        "newest": [_refusal(row) for row in refused.newest],
        "offers": reading.offers(refused.newest),
    }


def reservation_view(row: Reservation) -> dict[str, Any]:
    """Arrange what a live order holds: whose, what for, since when."""
    order = row.order
    return {
        "bot": order.book.name,
        "book": order.book_id,
        "symbol": order.instrument.symbol,
        "client_order_id": order.client_order_id,
        "intent": order.intent.kind,
        "reason": order.intent.reason,
        "asset": row.asset,
        "initial": row.initial,
        "remaining": row.remaining,
        "posted": row.posted,
        "voided": row.voided,
        "since_at": order.created_at,
    }


def order_view(order: Order) -> dict[str, Any]:
    """Arrange a live order with its owner."""
    return {
        "id": order.pk,
        "bot": order.book.name,
        "book": order.book_id,
        "symbol": order.instrument.symbol,
        "tick_size": order.instrument.tick_size,
        "client_order_id": order.client_order_id,
        "side": order.side,
        "type": order.type,
        "intent": order.intent.kind,
        "quantity": order.quantity,
        "filled_quantity": order.filled_quantity,
        "price": order.price,
        "stop_price": order.stop_price,
        "status": order.status,
        "reason": order.reason,
        "since_at": order.created_at,
    }


def _refusal(row: DecisionRecord) -> dict[str, Any]:
    return {
        "id": row.pk,
        "bot": row.book.name,
        "book": row.book_id,
        "symbol": row.instrument.symbol if row.instrument else "",
        "action": row.action,
        "reason": row.reason,
        "code": row.denial,
        "facts": row.facts.get("denial", {}),
        "bar_closed_at": row.bar_closed_at,
        "recorded_at": row.recorded_at,
    }


def _exposure(row: Exposure, names: Mapping[int, str]) -> dict[str, Any]:
    return {
        "asset": row.asset,
        "quantity": row.quantity,
        "value": row.value,
        "slices": [
            {"book": part.book_id, "bot": names[part.book_id], "quantity": part.quantity, "value": part.value}
            for part in row.slices
        ],
    }


def _dust(row: PositionNumbers) -> dict[str, Any]:
    instrument = row.position.instrument
    return {
        "bot": row.position.book.name,
        "book": row.position.book_id,
        "symbol": instrument.symbol,
        "quantity": row.position.quantity,
        "value": row.value,
        "lot_size": instrument.lot_size,
        "notional_min": instrument.notional_min,
    }


def gate_views(gates: Sequence[Gate]) -> list[dict[str, Any]]:
    """Arrange gates: state, code, facts, what would change it and where."""
    return [
        {
            "name": gate.name,
            "state": gate.state,
            "code": gate.code,
            "facts": {name: value if isinstance(value, int | str | list) else str(value) for name, value in gate.facts.items()},
            "remedy": gate.remedy,
            "link": gate.link,
        }
        for gate in gates
    ]
