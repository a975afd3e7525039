"""How accounts, their pockets and results look in JSON."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Generic, TypeVar

from ninja import Schema

from marketdata.schemas import Amount
from portfolio.models import Account, AuditEntry, LedgerAccount, LedgerTransaction

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
    bot: str | None
    asset: str
    balance: Amount

    @staticmethod
    def resolve_book(row: LedgerAccount) -> int | None:
        """Return the book's id."""
        return row.book_id

    @staticmethod
    def resolve_bot(row: LedgerAccount) -> str | None:
        """Return the bot's name."""
        return row.book.name if row.book else None


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
    quote_asset: str
    marked_at: datetime | None
    marks: dict[str, Amount]
    account: AccountPnlOut
    bots: list[BookPnlOut]
    pools_pnl: Amount
    unallocated: Amount
    suspense: dict[str, Amount]
    unpriced: list[str]


class EntryOut(Schema):
    """One leg of a ledger transaction."""

    kind: str
    book: int | None
    bot: str | None
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
                "bot": entry.ledger_account.book.name if entry.ledger_account.book else None,
                "asset": entry.ledger_account.asset,
                "amount": entry.amount,
            }
            for entry in entries
        ]


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
    address: str

    @staticmethod
    def resolve_actor(row: AuditEntry) -> str:
        """Return the user's or the process's name."""
        return row.actor_name
