"""How an account is shared, arranged for the outside: the same for API and pages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from portfolio.models import AllocationVersion, Book
from portfolio.selectors.allocations import AllocationPlan, VersionView, newest_version, policy_of, slices_at
from portfolio.selectors.numbers import BookNumbers
from portfolio.selectors.worth import Worth
from trading.allocations import HUNDRED, Policy, Share, Slice, target_of
from trading.ledger import ZERO, exactly


@exactly
def allocations_view(worth: Worth, *, plan: AllocationPlan | None = None) -> dict[str, Any]:
    """Arrange the shares as they are, or as a plan would make them."""
    account, overview = worth.account, worth.overview
    version = newest_version(account.pk)
    policy = plan.policy if plan else policy_of(version)
    planned = {share.book_id: share for share in plan.shares} if plan else {}
    slices = slices_at(account.pk)
    pending = dict(Book.objects.filter(account=account).values_list("id", "pending"))
    shares = [
        _share(
            book,
            slices.get(book.book_id, Slice(percent=ZERO)),
            planned.get(book.book_id),
            pending=pending[book.book_id],
            why=plan.left_alone.get(book.book_id, "") if plan else "",
        )
        for book in overview.books
    ]
    return {
        "seq": worth.seq,
        "account": account.pk,
        "mode": account.allocation_mode,
        "total": overview.equity,
        "unallocated": plan.unallocated if plan else overview.unallocated,
        "plan": plan.number if plan else 0,
        "version": version.number if version else 0,
        "policy": policy_view(policy),
        "reserve": target_of(overview.equity, policy.reserve_percent),
        "remainder_percent": plan.remainder if plan else _remainder(shares, policy),
        "even": [{"book": book_id, "percent": percent} for book_id, percent in plan.even.items()] if plan else [],
        "shares": shares,
    }


def policy_view(policy: Policy) -> dict[str, Any]:
    """Arrange what holds for every plan."""
    return {
        "reserve_percent": policy.reserve_percent,
        "band_percent": policy.band_percent,
        "rebase_hours": policy.rebase_hours,
        "rebases_after_flows": policy.rebases_after_flows,
    }


def versions_view(views: Sequence[VersionView], names: Mapping[int, str]) -> list[dict[str, Any]]:
    """Arrange versions with what each changed."""
    return [
        {
            **_header(view.version),
            "shares": [_slice(book_id, part, names) for book_id, part in sorted(view.slices.items())],
            "changes": [
                {
                    "book": change.book_id,
                    "bot": names[change.book_id],
                    "percent_before": change.before.percent if change.before else None,
                    "percent_after": change.after.percent if change.after else None,
                    "is_locked_before": bool(change.before and change.before.is_locked),
                    "is_locked_after": bool(change.after and change.after.is_locked),
                }
                for change in view.changes
            ],
        }
        for view in views
    ]


def _header(version: AllocationVersion) -> dict[str, Any]:
    return {
        "number": version.number,
        "cause": version.cause,
        "note": version.note,
        "restored": version.restored,
        "total": version.total,
        "policy": policy_view(policy_of(version)),
        "market_at": version.market_at,
        "set_at": version.set_at,
        "set_by": version.set_by.get_username() if version.set_by else "system",
    }


def _slice(book_id: int, part: Slice, names: Mapping[int, str]) -> dict[str, Any]:
    return {"book": book_id, "bot": names[book_id], "percent": part.percent, "is_locked": part.is_locked}


def _share(book: BookNumbers, now: Slice, share: Share | None, *, pending: Decimal, why: str) -> dict[str, Any]:
    is_dealt = share is not None and share.is_dealt
    waiting = share.missing if share and is_dealt else pending
    return {
        "book": book.book_id,
        "bot": book.name,
        "percent": share.percent if share else book.percent,
        "percent_now": book.percent,
        "is_locked": share.is_locked if share else now.is_locked,
        "target": share.target if share else book.target,
        "equity": book.equity,
        "funded": share.funded if share else book.equity,
        "moved": share.moved if share else ZERO,
        "missing": (share.target - share.funded) if share else book.target - book.equity,
        "pending": waiting,
        "state": "waits_for_cash" if waiting > ZERO else "waits_for_capital_in_use" if waiting < ZERO else "funded",
        "why": why,
    }


def _remainder(shares: Sequence[Mapping[str, Any]], policy: Policy) -> Decimal:
    return HUNDRED - policy.reserve_percent - sum((share["percent"] for share in shares), ZERO)
