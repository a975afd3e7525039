"""What the house asks of an exchange: one port for trading an account, one for its public market."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Protocol

from trading.instruments import Instrument
from trading.orders import BalanceReport, OrderReport, TradeReport


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderTicket:
    """Everything an order says on the wire; made from a stored order that is SENDING."""

    client_order_id: str
    symbol: str
    side: str
    type: str
    quantity: Decimal
    price: Decimal | None = None
    stop_price: Decimal | None = None
    time_in_force: str = ""
    self_trade_prevention: str = ""


@dataclass(frozen=True, slots=True)
class Submitted:
    """The exchange's answer to a new order: its state, and its first trades if it made any."""

    report: OrderReport
    trades: tuple[TradeReport, ...]


@dataclass(frozen=True, slots=True)
class FlowReport:
    """Something came to the account from outside, or left it."""

    asset: str
    amount: Decimal
    cleared_at: datetime
    reference: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedFlow:
    """A deposit above zero, or a withdrawal with its fee below, as the exchange's own record has it."""

    number: str
    asset: str
    amount: Decimal
    began_at: datetime
    # When the balance changed, where the exchange says so.
    cleared_at: datetime | None
    # Whether the balance shows it, and whether that may still change.
    has_moved: bool
    is_final: bool

    @property
    def name(self) -> str:
        """Return what tells it apart: deposits and withdrawals have numbers of their own."""
        return f"{'deposit' if self.amount > 0 else 'withdrawal'}:{self.number}"


@dataclass(frozen=True, slots=True)
class SubAccount:
    """A sub-account by the exchange's name and number for it."""

    venue_name: str
    uid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferTicket:
    """Everything a transfer between accounts of one family says on the wire; the master has no name there."""

    client_id: str
    sender: str
    receiver: str
    asset: str
    amount: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferReport:
    """A transfer as the exchange's history has it."""

    exchange_id: str
    client_id: str
    asset: str
    amount: Decimal
    is_done: bool
    is_failed: bool


@dataclass(frozen=True, slots=True)
class StreamGap:
    """The stream was cut: whatever happened before this moment may be missing from it."""

    reason: str


@dataclass(frozen=True, slots=True)
class StreamOpen:
    """The stream is subscribed: from here on it is complete until the next gap."""


UserEvent = OrderReport | TradeReport | BalanceReport | FlowReport | StreamGap | StreamOpen


@dataclass(frozen=True, slots=True)
class KeyPermissions:
    """What a key may do."""

    can_read: bool
    can_trade: bool
    can_withdraw: bool
    can_transfer: bool
    is_ip_restricted: bool


@dataclass(frozen=True, slots=True)
class Listing:
    """An instrument as the exchange lists it."""

    instrument: Instrument
    venue_symbol: str
    filters: dict[str, Any]
    order_count_max: int
    is_trading: bool


@dataclass(frozen=True, slots=True)
class ClosedCandle:
    """A candle that will not change any more."""

    symbol: str
    interval: str
    open_ms: int
    open: float
    high: float
    low: float
    close: float
    volume: float


@dataclass(frozen=True, slots=True)
class QuoteUpdate:
    """The best bid and ask, as the exchange said it: nobody has judged yet whether it can be true."""

    symbol: str
    bid: Decimal
    ask: Decimal
    market_ms: int

    @property
    def mid(self) -> Decimal:
        """Return the middle of both."""
        return (self.bid + self.ask) / 2


@dataclass(frozen=True, slots=True)
class Unreadable:
    """News of a symbol that nobody can read: no price, or no time."""

    symbol: str
    reason: str


@dataclass(frozen=True, slots=True)
class PublicTrade:
    """Somebody's trade."""

    symbol: str
    trade_id: str
    price: Decimal
    quantity: Decimal
    is_buyer_maker: bool
    traded_ms: int


@dataclass(frozen=True, slots=True)
class BookUpdate:
    """The top of an order book, best level first: (price, quantity)."""

    symbol: str
    bids: tuple[tuple[Decimal, Decimal], ...]
    asks: tuple[tuple[Decimal, Decimal], ...]
    update_id: int


CandleEvent = ClosedCandle | Unreadable | StreamGap | StreamOpen
QuoteEvent = QuoteUpdate | Unreadable | StreamGap | StreamOpen


class TradingPort(Protocol):
    """One account on one exchange. Every call raises ExchangeTrouble for any answer but the one asked for."""

    # How far our clock is ahead of the exchange's, as last measured.
    clock_ahead_ms: int
    # Kinds of stream events that nobody here knows, and how often they came.
    events_unknown: Counter[str]

    async def server_time_ms(self) -> int:
        """Ask for the exchange's clock and note how far ours is off."""

    async def measure_clock(self) -> int:
        """Measure how far our clock is ahead of the exchange's, in milliseconds, by several questions."""

    def silent_seconds(self) -> float:
        """Return for how long the exchange wants to hear nothing from this address."""

    def weight_used_ratio(self) -> float:
        """Return the used part of this minute's request weight."""

    async def reopen_stream(self, reason: str) -> None:
        """Give the user stream up and open a new one; it shows as a StreamGap."""

    async def instruments(self) -> list[Listing]:
        """List what can be traded."""

    async def submit(self, ticket: OrderTicket, *, send_before_ms: int) -> Submitted:
        """Send an order, once; refuse to write after the deadline."""

    async def cancel(self, symbol: str, client_order_id: str) -> OrderReport:
        """Cancel an order and report its end."""

    async def order_by_client_id(self, symbol: str, client_order_id: str) -> OrderReport:
        """Read an order by our name for it."""

    async def order_by_exchange_id(self, symbol: str, exchange_order_id: str) -> OrderReport:
        """Read an order by the exchange's number."""

    async def names_of(self, symbol: str, numbers: Collection[str]) -> dict[str, str]:
        """Tell what the orders with these numbers of the exchange's are called by us."""

    async def open_orders(self, symbol: str | None = None) -> list[OrderReport]:
        """List live orders, of one symbol or of all."""

    async def trades_since(self, symbol: str, from_id: int) -> list[TradeReport]:
        """List every trade from this trade id on, oldest first, page by page."""

    async def balances(self) -> BalanceReport:
        """Read what the exchange holds for the account."""

    async def flows(self, since: datetime, until: datetime) -> list[RecordedFlow]:
        """List the deposits and withdrawals that began in this time, where the profile says that the exchange tells."""

    async def key_permissions(self) -> KeyPermissions:
        """Read what our key may do."""

    def user_events(self) -> AsyncIterator[UserEvent]:
        """Follow the account for ever; every cut shows as a StreamGap, every return as a StreamOpen."""

    async def close(self) -> None:
        """Let go of every connection."""


class TransferPort(Protocol):
    """The master of a family of accounts, by a key that moves money between them and does nothing else."""

    async def server_time_ms(self) -> int:
        """Ask for the exchange's clock and note how far ours is off."""

    async def balances(self) -> BalanceReport:
        """Read what the exchange holds for the master; refuse the answer of another account."""

    async def key_permissions(self) -> KeyPermissions:
        """Read what our key may do."""

    async def open_sub_account(self, name: str) -> SubAccount:
        """Open a sub-account, unless there is one of that name, and answer what the exchange calls it."""

    async def transfer(self, ticket: TransferTicket, *, send_before_ms: int) -> str:
        """Send a transfer, once, and answer the exchange's number of it; refuse to write after the deadline."""

    async def transfer_by_client_id(self, client_id: str) -> TransferReport | None:
        """Read what became of a transfer by our name for it; None while the exchange's history does not show it."""

    async def close(self) -> None:
        """Let go of every connection."""


class MarketPort(Protocol):
    """The public market of one exchange."""

    async def instruments(self) -> list[Listing]:
        """List what can be traded."""

    async def candles(self, symbol: str, interval: str, since_ms: int, limit: int) -> list[ClosedCandle]:
        """Read closed candles from this open time on, oldest first."""

    async def quotes(self, symbols: Sequence[str]) -> list[QuoteUpdate]:
        """Read the best bid and ask of these symbols; one that cannot be read is left out."""

    def watch_closed_candles(self, wanted: Sequence[tuple[str, str]]) -> AsyncIterator[CandleEvent]:
        """Follow closed candles of these (symbol, interval) pairs; cuts show as StreamGap."""

    def watch_quotes(self, symbols: Sequence[str]) -> AsyncIterator[QuoteEvent]:
        """Follow the best bid and ask of these symbols: the newest of each, however fast they come."""

    def watch_trades(self, symbols: Sequence[str]) -> AsyncIterator[PublicTrade | Unreadable | StreamGap | StreamOpen]:
        """Follow everybody's trades in these symbols."""

    def watch_book(self, symbol: str, *, levels: int) -> AsyncIterator[BookUpdate | StreamGap | StreamOpen]:
        """Follow the top of an order book; what does not follow from what was known is read anew."""

    async def reopen_streams(self, reason: str) -> None:
        """Give every stream up and open new ones; each shows as a StreamGap."""

    async def close(self) -> None:
        """Let go of every connection."""
