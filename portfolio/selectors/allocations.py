"""How an account is shared: now, in every earlier version, and as a plan would have it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from portfolio.models import Account, Allocation, AllocationVersion, Book
from portfolio.selectors.numbers import AccountOverview, account_overview
from trading.allocations import Difference, Holder, Policy, Share, Slice, Wanted, differences, plan_shares
from trading.ledger import ZERO, exactly


@dataclass(frozen=True, slots=True, kw_only=True)
class AllocationPlan:
    """What a plan does: total worth it was made from, the shares, why others stay, and what stays with the operator.

    `number` is the version it made, or where it changed nothing (or was only looked at) the version it was made from.
    """

    total: Decimal
    unallocated: Decimal
    shares: tuple[Share, ...]
    number: int = 0
    policy: Policy = field(default_factory=Policy)
    left_alone: Mapping[int, str] = field(default_factory=dict)
    remainder: Decimal = ZERO
    even: Mapping[int, Decimal] = field(default_factory=dict)

    @property
    def grows(self) -> bool:
        """Say whether somebody is given more than before."""
        return any(share.is_dealt and share.moved > ZERO for share in self.shares)


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionView:
    """One version: its header, the shares it set, and what it changed of the version before it."""

    version: AllocationVersion
    slices: Mapping[int, Slice]
    changes: Sequence[Difference]


def newest_version(account_id: int) -> AllocationVersion | None:
    """Return the version in force."""
    return AllocationVersion.objects.filter(account=account_id).select_related("set_by").first()


def policy_of(version: AllocationVersion | None) -> Policy:
    """Return what a version says of reserve, band and re-bases."""
    if version is None:
        return Policy()
    return Policy(
        reserve_percent=version.reserve_percent,
        band_percent=version.band_percent,
        rebase_hours=version.rebase_hours,
        rebases_after_flows=version.rebases_after_flows,
    )


def holders_of(account_id: int, overview: AccountOverview) -> list[Holder]:
    """Return what the books have, as plans look at it."""
    locked = {book_id for book_id, part in slices_at(account_id).items() if part.is_locked}
    pending = dict(Book.objects.filter(account=account_id).values_list("id", "pending"))
    return [
        Holder(
            book_id=book.book_id,
            name=book.name,
            percent=book.percent,
            target=book.target,
            equity=book.equity,
            cash_free=book.cash,
            is_locked=book.book_id in locked,
            pending=pending[book.book_id],
        )
        for book in overview.books
    ]


@exactly
def draft(account: Account, wanted: Wanted, policy_changes: Mapping[str, Any] | None = None) -> AllocationPlan:
    """Work out what a plan would do now; raises PlanRefused."""
    version = newest_version(account.pk)
    overview = account_overview(account.pk)
    policy = replace(policy_of(version), **(policy_changes or {}))
    # What is on its way to another account of ours is nobody's to share any more.
    total = overview.equity - overview.in_transit
    plan = plan_shares(
        holders=holders_of(account.pk, overview),
        wanted=wanted,
        unallocated=overview.unallocated,
        total=total,
        policy=policy,
    )
    return AllocationPlan(
        total=total,
        unallocated=overview.unallocated - sum((share.moved for share in plan.shares), ZERO),
        shares=plan.shares,
        number=version.number if version else 0,
        policy=policy,
        left_alone=plan.left_alone,
        remainder=plan.remainder,
        even=plan.even,
    )


def slices_at(account_id: int, number: int | None = None) -> dict[int, Slice]:
    """Return every book's share as of a version, or now: its newest allocation up to then."""
    rows = Allocation.objects.filter(book__account=account_id)
    if number is not None:
        rows = rows.filter(plan__lte=number)
    newest = rows.order_by("book", "-plan").distinct("book").values_list("book", "percent", "is_locked")
    return {book_id: Slice(percent=percent, is_locked=is_locked) for book_id, percent, is_locked in newest}


def version_named(account_id: int, number: int) -> VersionView | None:
    """Return one version with what it changed."""
    found = versions(account_id=account_id, cursor=number + 1, limit=1)
    return found[0] if found and found[0].version.number == number else None


def versions(*, account_id: int, cursor: int | None, limit: int) -> list[VersionView]:
    """Return versions below a number, newest first, each with what it changed: three queries for any number of them."""
    rows = AllocationVersion.objects.filter(account=account_id).select_related("set_by")
    if cursor is not None:
        rows = rows.filter(number__lt=cursor)
    headers = list(rows.order_by("-number")[:limit])
    if not headers:
        return []
    set_by_plan = _allocations(account_id, [header.number for header in headers])
    current = slices_at(account_id, headers[-1].number - 1)
    views = []
    for header in reversed(headers):
        after = current | set_by_plan[header.number]
        views.append(VersionView(version=header, slices=after, changes=differences(current, after)))
        current = after
    return views[::-1]


def versions_after(account_id: int, number: int) -> list[VersionView]:
    """Return the newest versions above a number, at most twenty: what others changed meanwhile."""
    return [view for view in versions(account_id=account_id, cursor=None, limit=20) if view.version.number > number]


def _allocations(account_id: int, numbers: Collection[int]) -> dict[int, dict[int, Slice]]:
    found: dict[int, dict[int, Slice]] = defaultdict(dict)
    rows = Allocation.objects.filter(book__account=account_id, plan__in=numbers)
    for plan, book_id, percent, is_locked in rows.values_list("plan", "book", "percent", "is_locked"):
        found[plan][book_id] = Slice(percent=percent, is_locked=is_locked)
    return found
