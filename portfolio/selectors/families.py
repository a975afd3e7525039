"""A master and its sub-accounts together: what each is worth, and what all of them are."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from portfolio.models import Account, AccountTransfer, LedgerAccount
from portfolio.selectors.numbers import account_overview
from portfolio.selectors.rows import residuals
from trading.ledger import ZERO, exactly


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One account of a family, in quote."""

    account_id: int
    name: str
    is_master: bool
    state: str
    state_reason: str
    equity: Decimal
    pnl: Decimal
    unallocated: Decimal
    in_transit: Decimal
    residuals: dict[str, Decimal]


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """All accounts of a master; what is on its way between them is counted once, at its sender."""

    members: tuple[Member, ...]

    @property
    def equity(self) -> Decimal:
        """Return what all of them are worth."""
        return sum((member.equity for member in self.members), ZERO)

    @property
    def pnl(self) -> Decimal:
        """Return what all of them made; transfers between them are nobody's gain."""
        return sum((member.pnl for member in self.members), ZERO)

    @property
    def is_exact(self) -> bool:
        """Say whether nothing is unexplained anywhere."""
        return not any(member.residuals for member in self.members)


@exactly
def family(master_id: int) -> Family:
    """Return a master and its sub-accounts at the marks, the master first."""
    rows = [Account.objects.get(id=master_id), *Account.objects.filter(master=master_id).order_by("id")]
    return Family(members=tuple(_member(account) for account in rows))


def transfers_of(master_id: int, *, limit: int = 50) -> list[AccountTransfer]:
    """Return the newest transfers of a family."""
    rows = AccountTransfer.objects.filter(master=master_id).select_related("sender", "receiver")
    return list(rows.order_by("-id")[:limit])


def _member(account: Account) -> Member:
    overview = account_overview(account.pk)
    pocket = LedgerAccount.objects.filter(account=account, kind=LedgerAccount.Kind.IN_TRANSIT, asset=account.quote_asset).first()
    return Member(
        account_id=account.pk,
        name=account.name,
        is_master=account.master_id is None,
        state=account.state,
        state_reason=account.state_reason,
        equity=overview.equity,
        pnl=overview.pnl,
        unallocated=overview.unallocated,
        in_transit=pocket.balance if pocket else ZERO,
        residuals=residuals(account.pk),
    )
