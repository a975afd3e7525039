"""A master and its sub-accounts together: what each is worth, what could leave it, and what all of them are."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from portfolio.models import Account, AccountTransfer, Book, LedgerAccount, Reconciliation
from portfolio.selectors.gates import trader_gate
from portfolio.selectors.numbers import account_overview
from portfolio.selectors.rows import latest_reconciliation, residuals
from trading.ledger import ZERO, exactly

Kind = LedgerAccount.Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Free:
    """What may leave an account: what nobody owns, and the free cash of the one bot of a sub-account."""

    unallocated: Decimal
    in_book: Decimal = ZERO
    book: Book | None = None

    @property
    def total(self) -> Decimal:
        """Return all of it."""
        return self.unallocated + self.in_book


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One account of a family, in quote; `funded` is what was put into it, less what was taken out."""

    account_id: int
    name: str
    is_master: bool
    state: str
    state_reason: str
    is_killed: bool
    is_enabled: bool
    trader_seen_at: datetime | None
    is_trader_alive: bool
    bots: tuple[str, ...]
    equity: Decimal
    funded: Decimal
    pnl: Decimal
    unallocated: Decimal
    free: Decimal
    in_transit: Decimal
    target_percent: Decimal | None
    residuals: dict[str, Decimal]
    reconciled_at: datetime | None
    is_reconciled: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """All accounts of a master; what is on its way between them is counted once, at its sender."""

    members: tuple[Member, ...]

    @property
    def equity(self) -> Decimal:
        """Return what all of them are worth."""
        return sum((member.equity for member in self.members), ZERO)

    @property
    def funded(self) -> Decimal:
        """Return what was put into all of them; transfers between them are nobody's deposit."""
        return sum((member.funded for member in self.members), ZERO)

    @property
    def pnl(self) -> Decimal:
        """Return what all of them made; transfers between them are nobody's gain."""
        return sum((member.pnl for member in self.members), ZERO)

    @property
    def is_exact(self) -> bool:
        """Say whether nothing is unexplained anywhere."""
        return not any(member.residuals for member in self.members)


@exactly
def family(master_id: int, *, now: datetime) -> Family:
    """Return a master and its sub-accounts at the marks, the master first."""
    return Family(members=tuple(_member(account, now=now) for account in accounts_of(master_id)))


def accounts_of(master_id: int) -> list[Account]:
    """Return a master and its sub-accounts, the master first."""
    rows = Account.objects.select_related("market")
    return [rows.get(id=master_id), *rows.filter(master=master_id).order_by("id")]


def transfers_of(master_id: int, *, cursor: int | None = None, limit: int = 50) -> list[AccountTransfer]:
    """Return the newest transfers of a family, below a number if there is one."""
    rows = AccountTransfer.objects.filter(master=master_id).select_related("sender", "receiver", "requested_by")
    if cursor is not None:
        rows = rows.filter(id__lt=cursor)
    return list(rows.order_by("-id")[:limit])


def is_moving(master_id: int) -> bool:
    """Say whether a transfer of the family is not ended yet."""
    return AccountTransfer.objects.filter(master=master_id, state__in=AccountTransfer.OPEN).exists()


@exactly
def free_of(account: Account, asset: str) -> Free:
    """Return how much of an asset may leave an account, and which bot would give its part of it."""
    rows = LedgerAccount.objects.filter(account=account, asset=asset)
    unallocated = rows.filter(kind=Kind.UNALLOCATED).values_list("balance", flat=True).first() or ZERO
    books = list(Book.objects.filter(account=account)[:2])
    if account.master_id is None or asset != account.quote_asset or len(books) != 1:
        return Free(unallocated=max(unallocated, ZERO))
    cash = rows.filter(kind=Kind.AVAILABLE, book=books[0]).values_list("balance", flat=True).first() or ZERO
    # What a plan still takes out of the bot is spoken for.
    in_book = max(cash + min(books[0].pending, ZERO), ZERO)
    return Free(unallocated=max(unallocated, ZERO), in_book=in_book, book=books[0])


def _member(account: Account, *, now: datetime) -> Member:
    overview, trader, newest = account_overview(account.pk), trader_gate(account, now=now), latest_reconciliation(account.pk)
    seen_at = trader.facts.get("last_sign_of_life")
    return Member(
        account_id=account.pk,
        name=account.name,
        is_master=account.master_id is None,
        state=account.state,
        state_reason=account.state_reason,
        is_killed=account.is_killed,
        is_enabled=account.is_enabled,
        trader_seen_at=None if seen_at is None else datetime.fromisoformat(seen_at),
        is_trader_alive=trader.is_open,
        bots=tuple(book.name for book in overview.books),
        equity=overview.equity,
        funded=overview.net_flows,
        pnl=overview.pnl,
        unallocated=overview.unallocated,
        free=free_of(account, account.quote_asset).total,
        in_transit=overview.in_transit,
        target_percent=account.target_percent,
        residuals=residuals(account.pk),
        reconciled_at=None if newest is None else newest.finished_at,
        is_reconciled=newest is not None and newest.outcome == Reconciliation.Outcome.EXACT,
    )
