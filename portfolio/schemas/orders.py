"""How decisions, orders, fills and positions look in JSON."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from ninja import Schema

from marketdata.schemas import Amount
from portfolio.models import DecisionRecord, Fill, Order, Reservation


class OrderOut(Schema):
    """An order; `executed` is what the exchange says, `filled` what is posted."""

    id: int
    bot: str
    book: int
    symbol: str
    client_order_id: str
    exchange_order_id: str
    side: str
    type: str
    intent: str
    slot: int
    status: str
    reason: str
    message: str
    quantity: Amount
    price: Amount | None
    stop_price: Amount | None
    executed_quantity: Amount
    filled_quantity: Amount
    filled_quote: Amount
    market_at: datetime
    created_at: datetime
    sent_at: datetime | None
    acknowledged_at: datetime | None
    closed_at: datetime | None

    @staticmethod
    def resolve_bot(row: Order) -> str:
        """Return the bot's name."""
        return row.book.name

    @staticmethod
    def resolve_book(row: Order) -> int:
        """Return the book's id."""
        return row.book_id

    @staticmethod
    def resolve_symbol(row: Order) -> str:
        """Return the instrument's symbol."""
        return row.instrument.symbol

    @staticmethod
    def resolve_intent(row: Order) -> str:
        """Return what the order was for."""
        return row.intent.kind


class FillOut(Schema):
    """A trade of the account as it was posted; a trade nobody's order caused has no bot."""

    id: int
    bot: str | None
    book: int | None
    symbol: str
    trade_id: int
    client_order_id: str
    exchange_order_id: str
    side: str
    price: Amount
    quantity: Amount
    quote_quantity: Amount
    fee: Amount
    fee_asset: str
    fee_quote: Amount
    realised: Amount
    is_maker: bool
    traded_at: datetime
    posted_at: datetime

    @staticmethod
    def resolve_bot(row: Fill) -> str | None:
        """Return the bot's name."""
        return row.book.name if row.book else None

    @staticmethod
    def resolve_book(row: Fill) -> int | None:
        """Return the book's id."""
        return row.book_id

    @staticmethod
    def resolve_symbol(row: Fill) -> str:
        """Return the instrument's symbol."""
        return row.instrument.symbol

    @staticmethod
    def resolve_client_order_id(row: Fill) -> str:
        """Return the order's id that we gave."""
        return row.order.client_order_id if row.order else ""

    @staticmethod
    def resolve_exchange_order_id(row: Fill) -> str:
        """Return the order's id that the exchange gave."""
        return row.order.exchange_order_id if row.order else ""


class TradeOut(Schema):
    """A trade from flat to flat; one that is still open has no closed_at."""

    bot: str | None
    book: int | None
    symbol: str
    opened_at: datetime
    closed_at: datetime | None
    quantity: Amount
    cost: Amount
    proceeds: Amount
    fees: Amount
    profit: Amount
    reason: str

    @staticmethod
    def resolve_book(row: Any) -> int | None:
        """Return the book's id."""
        found: int | None = row.book_id
        return found


class PositionOut(Schema):
    """What a bot holds of one instrument, at its mark."""

    bot: str
    book: int
    symbol: str
    quantity: Amount
    cost: Amount
    average_cost: Amount
    mark: Amount | None
    value: Amount
    unrealised: Amount
    realised: Amount
    fees: Amount
    stop_price: Amount | None
    is_unprotected: bool
    opened_at: datetime | None


class ReservationOut(Schema):
    """Capital held for a live order: whose, what for, since when."""

    bot: str
    symbol: str
    client_order_id: str
    intent: str
    reason: str
    since_at: datetime
    asset: str
    initial: Amount
    remaining: Amount
    posted: Amount
    voided: Amount

    @staticmethod
    def resolve_bot(row: Reservation) -> str:
        """Return the bot's name."""
        return row.order.book.name

    @staticmethod
    def resolve_symbol(row: Reservation) -> str:
        """Return the instrument's symbol."""
        return row.order.instrument.symbol

    @staticmethod
    def resolve_client_order_id(row: Reservation) -> str:
        """Return the order's id."""
        return row.order.client_order_id

    @staticmethod
    def resolve_intent(row: Reservation) -> str:
        """Return what the order is for."""
        return row.order.intent.kind

    @staticmethod
    def resolve_reason(row: Reservation) -> str:
        """Return why it was asked for."""
        return row.order.intent.reason

    @staticmethod
    def resolve_since_at(row: Reservation) -> datetime:
        """Return since when it is held."""
        return row.order.created_at


class DecisionOut(Schema):
    """What a bot decided on one candle, and why."""

    id: int
    bar_closed_at: datetime
    symbol: str
    action: str
    reason: str
    outcome: str
    denial: str
    facts: dict[str, Any]

    @staticmethod
    def resolve_symbol(row: DecisionRecord) -> str:
        """Return the instrument's symbol."""
        return row.instrument.symbol if row.instrument else ""
