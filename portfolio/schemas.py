"""How accounts, books, orders and money look in JSON: amounts are exact decimal text."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Generic, Literal, TypeVar

from ninja import Schema
from pydantic import Field

from marketdata.schemas import Amount, AmountIn, Payload, RowId, Text
from portfolio.models import Account, AuditEntry, DecisionRecord, Fill, LedgerAccount, LedgerTransaction, Order, Reservation

Item = TypeVar("Item")


class PageOut(Schema, Generic[Item]):
    """A page of rows, newest first; hand `next_cursor` back as `cursor` for the next one."""

    items: list[Item]
    next_cursor: str | None = None


class AccountOut(Schema):
    """An exchange account."""

    id: int
    name: str
    mode: str
    venue_uid: str
    quote_asset: str
    exchange: str
    market: str
    is_synthetic: bool
    state: str
    state_reason: str
    is_enabled: bool
    is_killed: bool
    killed_at: datetime | None
    killed_reason: str
    allocation_mode: str
    synced_through_at: datetime | None
    trades_posted: int
    version: int

    @staticmethod
    def resolve_exchange(row: Account) -> str:
        """Return the exchange's name."""
        return row.market.exchange

    @staticmethod
    def resolve_market(row: Account) -> str:
        """Return what a person reads beside every price."""
        return row.market.label

    @staticmethod
    def resolve_is_synthetic(row: Account) -> bool:
        """Say whether prices are made up."""
        return row.market.is_synthetic


class PocketOut(Schema):
    """One asset in one pocket of the ledger; external pockets are the outside world's side."""

    kind: str
    book: int | None
    bot: str
    asset: str
    balance: Amount

    @staticmethod
    def resolve_book(row: LedgerAccount) -> int | None:
        """Return the book's id."""
        return row.book_id

    @staticmethod
    def resolve_bot(row: LedgerAccount) -> str:
        """Return the bot's name."""
        return row.book.name if row.book else ""


class BalancesOut(Schema):
    """All pockets of an account, and the newest prices."""

    seq: int
    marks: dict[str, Amount]
    pockets: list[PocketOut]


class LineOut(Schema):
    """One asset of a comparison: residual = exchange - ledger."""

    asset: str
    ledger: Amount
    suspense: Amount
    exchange: Amount
    residual: Amount


class ReconciliationOut(Schema):
    """A comparison with the exchange."""

    id: int
    cause: str
    outcome: str
    market_at: datetime | None
    finished_at: datetime
    duration_ms: int
    lines: list[LineOut]


class ReconciliationsOut(PageOut[ReconciliationOut]):
    """Comparisons, and what is unexplained now."""

    suspense: dict[str, Amount]


class EquityOut(Schema):
    """Equity and its parts at a market time."""

    market_at: datetime
    equity: Amount
    realised: Amount
    unrealised: Amount
    fees: Amount
    net_flows: Amount


class AccountPnlOut(Schema):
    """What an account is worth and what it made."""

    id: int
    name: str
    equity: Amount
    net_flows: Amount
    pnl: Amount
    return_ratio: Amount | None
    realised: Amount
    unrealised: Amount
    fees: Amount
    pools: Amount
    pools_pnl: Amount


class BookPnlOut(Schema):
    """What a bot is worth and what it made of its own starting allocation."""

    bot: str
    book: int
    percent: Amount
    target: Amount
    base_equity: Amount
    cash: Amount
    reserved: Amount
    holdings: Amount
    equity: Amount
    net_contributed: Amount
    realised: Amount
    unrealised: Amount
    fees: Amount
    pnl: Amount
    return_ratio: Amount | None


class PnlOut(Schema):
    """All figures of one moment: the same `seq` always means the same figures, here and on the stream."""

    seq: int
    marked_at: datetime | None
    account: AccountPnlOut
    bots: list[BookPnlOut]
    unallocated: Amount
    suspense: dict[str, Amount]
    unpriced: list[str]


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
    bot: str
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
    def resolve_bot(row: Fill) -> str:
        """Return the bot's name."""
        return row.book.name if row.book else ""

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

    bot: str
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
    """Capital held for a live order."""

    bot: str
    symbol: str
    client_order_id: str
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


class EntryOut(Schema):
    """One leg of a ledger transaction."""

    kind: str
    book: int | None
    asset: str
    amount: Amount


class LedgerOut(Schema):
    """A ledger transaction; its entries sum to zero per asset."""

    seq: int
    kind: str
    reference: str
    market_at: datetime
    recorded_at: datetime
    hash_previous: str
    hash: str
    entries: list[EntryOut]

    @staticmethod
    def resolve_entries(row: LedgerTransaction) -> list[dict[str, Any]]:
        """Return the legs in the order they were written."""
        entries = sorted(row.entries.all(), key=lambda entry: entry.pk)
        return [
            {
                "kind": entry.ledger_account.kind,
                "book": entry.ledger_account.book_id,
                "asset": entry.ledger_account.asset,
                "amount": entry.amount,
            }
            for entry in entries
        ]


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


class AuditOut(Schema):
    """Who changed what."""

    id: int
    at: datetime
    actor: str
    action: str
    subject: str
    before: dict[str, Any]
    after: dict[str, Any]
    request_id: str

    @staticmethod
    def resolve_actor(row: AuditEntry) -> str:
        """Return the user's or the process's name."""
        return row.actor_name


class ShareOut(Schema):
    """A book's share: what it should have, what it has, what the plan moves."""

    book: int
    bot: str
    percent: Amount
    target: Amount
    funded: Amount
    moved: Amount
    missing: Amount


class AllocationsOut(Schema):
    """The shares of an account."""

    seq: int
    account: int
    total: Amount
    unallocated: Amount
    plan: int
    shares: list[ShareOut]


class ShareIn(Payload):
    """A share asked for; `percent` is decimal text from 0 to 100."""

    book: RowId
    percent: AmountIn


class AllocationsIn(Payload):
    """Shares asked for. Books that are not named keep theirs; `rebase` deals out gains and losses anew as well."""

    shares: Annotated[list[ShareIn], Field(min_length=1, max_length=200)]
    account: RowId | None = None
    rebase: bool = False


class KillIn(Payload):
    """Why everything should stop, or go on."""

    reason: Text
    account: RowId | None = None


class KillOut(Schema):
    """Whether the kill switch of an account is on."""

    account: int
    is_killed: bool
    killed_at: datetime | None
    killed_reason: str


class ExplainIn(Payload):
    """What a difference between ledger and exchange was."""

    asset: Annotated[str, Field(pattern=r"^[A-Z0-9]{1,16}$")]
    amount: AmountIn
    kind: Literal["deposit", "withdrawal"]
    reason: Text
