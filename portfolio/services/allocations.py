"""Give books their shares of the account."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from django.db import transaction
from django.db.models import Max

from portfolio import selectors
from portfolio.models import Account, Allocation, Book
from portfolio.writers import accounts, audit, books
from portfolio.writers.ledger import Journal
from stream.publish import publish_on_commit
from trading.allocations import Holder, PlanRefused, Share, plan_shares
from trading.ledger import ZERO, Leg, Pocket, exactly, plain
from trading.settlement import AVAILABLE, UNALLOCATED

if TYPE_CHECKING:
    from django.contrib.auth.models import User


class UnableToAllocate(Exception):
    """Raised when a plan is refused; carries a reason code."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True, kw_only=True)
class AllocationPlan:
    """What a plan does: total worth it was made from, the shares, and what stays with the operator."""

    total: Decimal
    unallocated: Decimal
    shares: tuple[Share, ...]
    number: int = 0


@exactly
def preview_allocations(*, account_id: int, percents: Mapping[int, Decimal], rebase: bool = False) -> AllocationPlan:
    """Show what `set_allocations` would do now."""
    return _plan(Account.objects.get(id=account_id), percents, rebase=rebase)


@exactly
def set_allocations(
    *,
    account_id: int,
    percents: Mapping[int, Decimal],
    by: User | None,
    now: datetime,
    market_at: datetime | None = None,
    request_id: str = "",
    rebase: bool = False,
) -> AllocationPlan:
    """Set shares of the account's worth and move the money they call for, at once.

    A book gives back free cash only: what its orders and positions hold follows when a later plan finds it free.
    The next order is sized by the new amount.
    """
    with transaction.atomic():
        account = accounts.lock(account_id)
        plan = _plan(account, percents, rebase=rebase)
        if not plan.shares:
            return plan
        held = {book.pk: book for book in Book.objects.filter(account=account)}
        newest = Allocation.objects.filter(book__account=account).aggregate(newest=Max("plan"))["newest"] or 0
        plan = AllocationPlan(total=plan.total, unallocated=plan.unallocated, shares=plan.shares, number=newest + 1)
        _move(account, plan, market_at=market_at or account.synced_through_at or now, now=now)
        before = {str(book.pk): plain(book.base_equity) for book in held.values()}
        for share in plan.shares:
            books.add_capital(held[share.book_id], share.moved, base_equity=share.funded)
        Allocation.objects.bulk_create(
            [
                Allocation(
                    book_id=share.book_id,
                    percent=share.percent,
                    amount=share.target,
                    effective_at=now,
                    set_by=by,
                    plan=plan.number,
                )
                for share in plan.shares
            ]
        )
        audit.record(
            action="allocation.set",
            subject=f"account:{account.pk}",
            actor=by,
            before=before,
            after={str(share.book_id): f"{plain(share.percent)} % = {plain(share.funded)}" for share in plan.shares},
            now=now,
            request_id=request_id,
        )
        accounts.changed(account)
        publish_on_commit("allocation", "changed", {"account": account.pk}, seq=account.version)
        return plan


def _plan(account: Account, percents: Mapping[int, Decimal], *, rebase: bool) -> AllocationPlan:
    worth = selectors.account_overview(account.pk)
    holders = [
        Holder(
            book_id=numbers.book_id,
            percent=numbers.percent,
            equity=numbers.equity,
            cash_free=numbers.cash,
        )
        for numbers in worth.books
    ]
    try:
        shares = plan_shares(holders=holders, percents=percents, unallocated=worth.unallocated, total=worth.equity, rebase=rebase)
    except PlanRefused as refused:
        raise UnableToAllocate(refused.code, str(refused)) from refused
    moved = sum((share.moved for share in shares), ZERO)
    return AllocationPlan(total=worth.equity, unallocated=worth.unallocated - moved, shares=tuple(shares))


def _move(account: Account, plan: AllocationPlan, *, market_at: datetime, now: datetime) -> None:
    quote = account.quote_asset
    journal = Journal(account, now=now)
    for share in plan.shares:
        if share.moved != ZERO:
            journal.post(
                kind="allocation",
                reference=f"plan:{plan.number}:{share.book_id}",
                legs=[
                    Leg(Pocket(UNALLOCATED, None, quote), -share.moved),
                    Leg(Pocket(AVAILABLE, share.book_id, quote), share.moved),
                ],
                market_at=market_at,
                facts={"percent": plain(share.percent)},
            )
    journal.flush()
