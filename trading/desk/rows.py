"""The rows that the rules read and change, by their attributes alone: models and plain objects both fit."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, Protocol

# Kinds of intents.
ENTER: Final = "enter"
EXIT: Final = "exit"
PLACE: Final = "place"
STOP: Final = "stop"
FLATTEN: Final = "flatten"
SELLS_OF_EXIT: Final = frozenset((EXIT, FLATTEN))
ENTRIES: Final = frozenset((ENTER, PLACE))

# States of intents.
WAITING: Final = "waiting"
ORDERED: Final = "ordered"
DROPPED: Final = "dropped"

# States of accounts.
STARTING: Final = "starting"
ACTIVE: Final = "active"
ENTRIES_HALTED: Final = "entries_halted"
HALTED: Final = "halted"

# Types of orders, as the exchange names them.
MARKET: Final = "MARKET"
LIMIT: Final = "LIMIT"
LIMIT_MAKER: Final = "LIMIT_MAKER"
STOP_LOSS: Final = "STOP_LOSS"
IMMEDIATE_OR_CANCEL: Final = "IOC"

# Why a protective stop was refused, and why what it was to guard is sold: the price is through it already.
STOP_WOULD_TRIGGER: Final = "STOP_WOULD_TRIGGER"
# Why a stop is asked for that nobody gave another reason.
STOP_PROTECTIVE: Final = "STOP_PROTECTIVE"
# Why an order lives that had been called dead.
ORDER_ADOPTED: Final = "ORDER_ADOPTED"


class AccountRow(Protocol):
    """The locked account; its sequences and its head are counted in memory and written once."""

    state: str
    state_reason: str
    is_killed: bool
    killed_reason: str
    trades_posted: int
    intent_seq: int
    ledger_seq: int
    ledger_hash: str

    @property
    def pk(self) -> int:
        """Return the account's number."""

    @property
    def deploy(self) -> str:
        """Return the prefix of its client order ids."""

    @property
    def quote_asset(self) -> str:
        """Return the asset that capital is counted in."""

    @property
    def buy_fee_ppm(self) -> int:
        """Return what the exchange may take of a buy's quote, in millionths; 0 where it takes its fee elsewhere."""

    @property
    def synced_through_at(self) -> datetime | None:
        """Return the market time up to which every fill is posted."""


class BookRow(Protocol):
    """A bot's sub-ledger."""

    is_halted: bool
    halt_reason: str
    # The number of the newest intent when the book was last sold out; what came before it may still bring something.
    flattened_seq: int
    # Read by the rules, changed by services alone.
    is_active: bool
    base_equity: Decimal
    # Below zero: quote that a plan still takes out of the book.
    pending: Decimal
    position_cap_percent: Decimal
    orders_per_minute: int

    @property
    def pk(self) -> int:
        """Return the book's number in foreign keys."""

    @property
    def number(self) -> int:
        """Return the book's number in client order ids."""

    @property
    def name(self) -> str:
        """Return what people call it."""


class InstrumentRow(Protocol):
    """A tradable pair with the filters in force."""

    symbol: str
    venue_symbol: str
    base: str
    quote: str
    tick_size: Decimal
    lot_size: Decimal
    quantity_min: Decimal
    quantity_max: Decimal
    notional_min: Decimal
    order_count_max: int
    filters_version: int
    filters: Mapping[str, Any]

    @property
    def pk(self) -> int:
        """Return the instrument's number."""


class DecisionRow(Protocol):
    """What a bot decided on one candle."""

    book_id: int
    leg: int


class IntentRow(Protocol):
    """Something the coordinator accepted; it leads to at most one order. `seq` is its name on the account."""

    book_id: int
    instrument_id: int
    seq: int
    kind: str
    state: str
    side: str
    slot: int
    lots: int
    limit_price: Decimal | None
    stop_price: Decimal | None
    expected_price: Decimal | None
    reason: str
    drop_reason: str
    # Set on new intents, never read by the rules.
    decision: Any


class ReservationRow(Protocol):
    """Capital held for one live order: initial = remaining + posted + voided."""

    asset: str
    initial: Decimal
    remaining: Decimal
    posted: Decimal
    voided: Decimal


class OrderRow(Protocol):
    """An order, written before it is sent. `client_order_id` is its name for ever."""

    book_id: int
    instrument_id: int
    client_order_id: str
    exchange_order_id: str
    side: str
    type: str
    time_in_force: str
    slot: int
    quantity: Decimal
    price: Decimal | None
    stop_price: Decimal | None
    status: str
    final_status: str
    reason: str
    message: str
    executed_quantity: Decimal
    executed_quote: Decimal
    filled_quantity: Decimal
    filled_quote: Decimal
    # The fee in quote that its reservation allows for, in millionths, and what its trades have paid of it.
    fee_ppm: int
    filled_fee: Decimal
    cancel_requested_at: datetime | None
    acknowledged_at: datetime | None
    closed_at: datetime | None
    market_at: datetime

    @property
    def intent(self) -> IntentRow:
        """Return the intent it came from."""

    @property
    def instrument(self) -> InstrumentRow:
        """Return the pair it trades."""

    @property
    def reservation(self) -> ReservationRow:
        """Return what is held for it."""


class FillRow(Protocol):
    """A trade of the account, posted exactly once."""

    trade_id: int
    book_id: int | None
    side: str
    price: Decimal
    quantity: Decimal
    quote_quantity: Decimal
    fee: Decimal
    fee_asset: str
    fee_quote: Decimal
    realised: Decimal
    traded_at: datetime

    @property
    def instrument(self) -> InstrumentRow:
        """Return the pair that was traded."""


class PositionRow(Protocol):
    """The fold of a book's fills in one instrument."""

    book_id: int
    instrument_id: int
    quantity: Decimal
    cost: Decimal
    realised: Decimal
    fees: Decimal
    stop_price: Decimal | None
    is_unprotected: bool
    opened_at: datetime | None
    version: int


Facts = Mapping[str, Any]


def is_stop(order: OrderRow) -> bool:
    """Say whether an order is a protective stop."""
    return order.type == STOP_LOSS
