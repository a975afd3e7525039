"""The port between the rules and whatever keeps the rows: what they ask for, and what they hand back to be written."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, NamedTuple, Protocol

from trading.desk.claims import Claim
from trading.desk.rows import (
    BookRow,
    DecisionRow,
    FillRow,
    InstrumentRow,
    IntentRow,
    OrderRow,
    PositionRow,
    ReservationRow,
)
from trading.handover import Stance
from trading.ledger import Leg, Pocket
from trading.orders import TradeReport
from trading.risk import RiskRoom

# What a transaction may change of a row; all else is written once.
INTENT_FIELDS: Final = ("state", "lots", "limit_price", "drop_reason")
ORDER_FIELDS: Final = (
    "status", "final_status", "reason", "message", "exchange_order_id", "executed_quantity", "executed_quote",
    "filled_quantity", "filled_quote", "filled_fee", "cancel_requested_at", "acknowledged_at", "closed_at",
)  # fmt: skip
RESERVATION_FIELDS: Final = ("initial", "remaining", "posted", "voided")
POSITION_FIELDS: Final = (
    "quantity", "cost", "realised", "fees", "stop_price", "is_unprotected", "opened_at", "version",
)  # fmt: skip


class OwnerUnknown(Exception):
    """Raised when a trade names an order by the exchange's number alone and no order of ours has it yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Movement:
    """One transaction of the ledger: legs that sum to zero, chained to the transaction before."""

    seq: int
    kind: str
    reference: str
    market_at: datetime
    recorded_at: datetime
    facts: Mapping[str, Any]
    hash_previous: str
    hash: str
    legs: Sequence[Leg]


class AuditNote(NamedTuple):
    """A state change that the audit must show, in the transaction that makes it."""

    action: str
    subject: str
    before: Mapping[str, Any]
    after: Mapping[str, Any]


class TradeFacts(NamedTuple):
    """What is on record about a trade before it is posted; an order of None means that a person made it."""

    order: OrderRow | None
    instrument: InstrumentRow
    position: PositionRow | None
    is_posted: bool
    # The newest fill of the position by (time, number); a trade before it comes late.
    newest: tuple[datetime, int] | None
    # Whose trade it is although no order of it is on record: the books are older than the trade.
    heir_id: int | None = None


@dataclass(slots=True)
class Changes:
    """Everything that one transaction writes; new rows in the order in which they refer to each other."""

    decisions: list[DecisionRow] = field(default_factory=list)
    intents: list[IntentRow] = field(default_factory=list)
    orders: list[OrderRow] = field(default_factory=list)
    movements: list[Movement] = field(default_factory=list)
    # The fill and the movement that carries its legs.
    fills: list[tuple[FillRow, Movement]] = field(default_factory=list)
    intents_moved: dict[int, IntentRow] = field(default_factory=dict)
    orders_moved: dict[str, OrderRow] = field(default_factory=dict)
    reservations_moved: dict[str, ReservationRow] = field(default_factory=dict)
    positions_moved: dict[tuple[int, int], PositionRow] = field(default_factory=dict)
    # From or to which something passed by the ledger alone: no fill that was posted before is ever folded anew.
    passed: set[tuple[int, int]] = field(default_factory=set)
    fills_corrected: dict[tuple[int, int], FillRow] = field(default_factory=dict)
    # Asked for without the order's row lock: nothing but the time of the request may be written.
    cancels: dict[str, OrderRow] = field(default_factory=dict)
    balances: dict[Pocket, Decimal] = field(default_factory=dict)
    books_halted: dict[int, BookRow] = field(default_factory=dict)
    books_flattened: dict[int, BookRow] = field(default_factory=dict)
    books_touched: set[int] = field(default_factory=set)
    account_fields: set[str] = field(default_factory=set)
    is_account_touched: bool = False
    audits: list[AuditNote] = field(default_factory=list)
    # Words for the account's trader, rung at commit.
    wakes: dict[str, None] = field(default_factory=dict)


class Store(Protocol):
    """The rows of one locked account, within one transaction."""

    def books(self) -> Iterable[BookRow]:
        """Return all books of the account."""

    def pockets(self, book_ids: Collection[int] | None) -> Mapping[Pocket, Decimal]:
        """Return the balances of the pools and of these books, or of all."""

    def live_orders(self) -> Iterable[OrderRow]:
        """Return the live orders of the account."""

    def waiting_intents(self) -> Iterable[IntentRow]:
        """Return the intents of the account that wait for cancels."""

    def positions(self) -> Iterable[PositionRow]:
        """Return all positions of the account's books."""

    def instruments(self, instrument_ids: Collection[int]) -> Iterable[InstrumentRow]:
        """Return these instruments."""

    def marks(self, instrument_ids: Collection[int]) -> Mapping[int, Decimal]:
        """Return the newest prices there are."""

    def price_troubles(self) -> Mapping[int, str]:
        """Say of each instrument of the market whose prices are in doubt, why."""

    def fee_mark(self, asset: str, quote: str) -> Decimal | None:
        """Return the newest price of a fee asset in quote."""

    def entry_counts(self, *, after: datetime) -> Mapping[int, int]:
        """Count the entries ordered after a market time, by book."""

    def has_had_stop(self, book_id: int, instrument_id: int) -> bool:
        """Say whether a book ever asked for a stop in an instrument."""

    def newest_stop(self, book_id: int, instrument_id: int) -> OrderRow | None:
        """Return the newest stop order of a book in an instrument, to be read and not changed."""

    def risk(self) -> RiskRoom | None:
        """Return what the risk rules must know of the account; none where nothing is limited."""

    def stance(self) -> Stance | None:
        """Return whose turn it is in the operator's mode; none where every bot has its share."""

    def order(self, order_id: int) -> OrderRow:
        """Return an order, locked for this transaction."""

    def lock_orders(self, order_ids: Collection[int], names: Collection[str]) -> Iterable[OrderRow]:
        """Return the orders of these numbers and of these client order ids, locked in one go; who is not there is left out."""

    def prefetch_trades(self, trades: Sequence[TradeReport]) -> None:
        """Load in one go what these trades will ask for."""

    def trade_facts(self, trade: TradeReport) -> TradeFacts:
        """Return the order of a trade, locked, and what is on record beside it; raise OwnerUnknown."""

    def fills_after(self, book_id: int, instrument_id: int, trade: TradeReport) -> Sequence[FillRow]:
        """Return the fills of a position that come after a trade by (time, number), oldest first.

        Without those that were posted before something passed from or to the position by the ledger alone.
        """

    def claim(self, order: OrderRow, claim: Claim) -> bool:
        """Set the values if the order's row allows it at this very moment."""

    def make_decision(self, **values: Any) -> DecisionRow:
        """Make a decision record, not written yet."""

    def make_intent(self, **values: Any) -> IntentRow:
        """Make an intent, not written yet."""

    def make_order(self, *, reserved_asset: str, reserved: Decimal, **values: Any) -> OrderRow:
        """Make an order with its reservation, not written yet."""

    def make_fill(self, **values: Any) -> FillRow:
        """Make a fill, not written yet."""

    def make_position(self, *, book_id: int, instrument_id: int) -> PositionRow:
        """Make an empty position, not written yet."""

    def write(self, changes: Changes) -> None:
        """Write everything that changed."""
