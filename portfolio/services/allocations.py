"""Give books their shares of the account: set, re-base, roll back, and show first what would come of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from django.db import transaction

from portfolio.asking import demand_confirmation
from portfolio.models import Account, AllocationVersion, Book
from portfolio.selectors import allocations as reading
from portfolio.selectors.allocations import AllocationPlan, VersionView
from portfolio.writers import accounts
from portfolio.writers import allocations as writing
from portfolio.writers.allocations import Making
from trading.allocations import PlanRefused, Slice, Wanted
from trading.ledger import ZERO, exactly, plain

if TYPE_CHECKING:
    from django.contrib.auth.models import User

__all__ = [
    "AllocationPlan",
    "UnableToAllocate",
    "preview_allocations",
    "preview_rollback",
    "rebase_allocations",
    "roll_back_allocations",
    "set_allocations",
]
PERCENTAGE: Final = "percentage"
Cause = AllocationVersion.Cause


class UnableToAllocate(Exception):
    """Raised when a plan is refused; carries a reason code and what would help."""

    def __init__(self, code: str, message: str, **facts: Any) -> None:
        super().__init__(message)
        self.code = code
        self.facts = facts


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """A plan that a person asks for, from the version they looked at, if they say which."""

    wanted: Wanted
    policy: Mapping[str, Any] = field(default_factory=dict)
    expected: int | None = None
    restored: int | None = None


@exactly
def preview_allocations(
    *,
    account_id: int,
    percents: Mapping[int, Decimal],
    locks: Mapping[int, bool] | None = None,
    policy: Mapping[str, Any] | None = None,
    rebase: bool = False,
) -> AllocationPlan:
    """Show what `set_allocations` would do now."""
    wanted = Wanted(percents=percents, locks=locks or {}, rebase=rebase)
    return _draft(Account.objects.get(id=account_id), _Asked(wanted=wanted, policy=policy or {}))


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
    locks: Mapping[int, bool] | None = None,
    policy: Mapping[str, Any] | None = None,
    expected: int | None = None,
    cause: str = Cause.SET,
    note: str = "",
) -> AllocationPlan:
    """Set shares of the account's worth and move the money they call for, at once.

    A book gives back free cash only: what its orders and positions hold is pending and follows when it is free.
    `policy` has the fields of the policy that change.
    `expected` is the version that was looked at: if somebody made another one meanwhile, nothing changes.
    The next order is sized by the new amount.
    """
    asked = _Asked(wanted=Wanted(percents=percents, locks=locks or {}, rebase=rebase), policy=policy or {}, expected=expected)
    making = _making(cause, by=by, now=now, market_at=market_at, request_id=request_id, note=note)
    return _carry_out(account_id, lambda _account: asked, making)


@exactly
def rebase_allocations(
    *,
    account_id: int,
    by: User | None,
    now: datetime,
    market_at: datetime | None = None,
    request_id: str = "",
    expected: int | None = None,
    note: str = "",
) -> AllocationPlan:
    """Deal gains, losses and deposits out anew by the shares as they are; locked shares and small differences stay."""

    def ask(account: Account) -> _Asked:
        percents = dict.fromkeys(Book.objects.filter(account=account).values_list("id", flat=True), ZERO)
        percents |= {book_id: part.percent for book_id, part in reading.slices_at(account.pk).items()}
        return _Asked(wanted=Wanted(percents=percents, rebase=True), expected=expected)

    making = _making(Cause.REBASE, by=by, now=now, market_at=market_at, request_id=request_id, note=note)
    return _carry_out(account_id, ask, making)


@exactly
def preview_rollback(*, account_id: int, number: int) -> AllocationPlan:
    """Show what going back to a version would do now."""
    account = Account.objects.get(id=account_id)
    return _draft(account, _rollback(account, number, None))


@exactly
def roll_back_allocations(
    *,
    account_id: int,
    number: int,
    by: User | None,
    now: datetime,
    market_at: datetime | None = None,
    request_id: str = "",
    expected: int | None = None,
    note: str = "",
) -> AllocationPlan:
    """Set the shares, locks and policy of an earlier version again, as a new version.

    A book that had no share then has none afterwards. Money is dealt out by what the account is worth now.
    """
    making = _making(Cause.ROLLBACK, by=by, now=now, market_at=market_at, request_id=request_id, note=note, restored=number)
    return _carry_out(account_id, lambda account: _rollback(account, number, expected), making)


def _making(cause: str, *, market_at: datetime | None, now: datetime, **words: Any) -> Callable[[Account], Making]:
    def make(account: Account) -> Making:
        return Making(cause=cause, market_at=market_at or account.synced_through_at or now, now=now, **words)

    return make


def _rollback(account: Account, number: int, expected: int | None) -> _Asked:
    view = reading.version_named(account.pk, number)
    if view is None:
        raise UnableToAllocate("ALLOCATION_UNKNOWN_VERSION", f"The account has no version {number}.")
    # Later books had no share then.
    slices = dict.fromkeys(Book.objects.filter(account=account).values_list("id", flat=True), Slice(percent=ZERO))
    slices |= view.slices
    return _Asked(
        wanted=Wanted(
            percents={book_id: part.percent for book_id, part in slices.items()},
            locks={book_id: part.is_locked for book_id, part in slices.items()},
            overrides_locks=True,
        ),
        policy=asdict(reading.policy_of(view.version)),
        expected=expected,
        restored=number,
    )


def _carry_out(account_id: int, ask: Callable[[Account], _Asked], make: Callable[[Account], Making]) -> AllocationPlan:
    with transaction.atomic():
        account = accounts.lock(account_id)
        if account.allocation_mode != PERCENTAGE:
            raise UnableToAllocate(
                "MODE_NOT_PERCENTAGE",
                f"Shares are not in force: the account is in {account.allocation_mode} mode. Switch it to percentage first.",
            )
        asked = ask(account)
        newest = reading.newest_version(account.pk)
        _demand_current(account, asked.expected, newest)
        plan = _draft(account, asked)
        if not plan.shares and plan.policy == reading.policy_of(newest):
            return plan
        if plan.grows:
            demand_confirmation("give a bot more capital")
        making = make(account)
        version = writing.carry_out(account, plan, making)
        if newest is None or plan.policy != reading.policy_of(newest):
            # Flows and slots before the policy are not its business.
            writing.serve_clock(account, market_at=making.market_at, hours=plan.policy.rebase_hours)
    return AllocationPlan(
        total=plan.total,
        unallocated=plan.unallocated,
        shares=plan.shares,
        number=version.number,
        policy=plan.policy,
        left_alone=plan.left_alone,
        remainder=plan.remainder,
        even=plan.even,
    )


def _draft(account: Account, asked: _Asked) -> AllocationPlan:
    try:
        return reading.draft(account, asked.wanted, asked.policy)
    except PlanRefused as refused:
        raise UnableToAllocate(refused.code, str(refused), **refused.facts) from refused


def _demand_current(account: Account, expected: int | None, newest: AllocationVersion | None) -> None:
    """Refuse a plan made from a version that is not in force any more, and say what the others changed."""
    number = newest.number if newest else 0
    if expected is None or expected == number:
        return
    names = dict(Book.objects.filter(account=account).values_list("id", "name"))
    meanwhile = reading.versions_after(account.pk, expected)
    words = "; ".join(_told(view, names) for view in reversed(meanwhile)) or f"version {number} is in force"
    raise UnableToAllocate(
        "ALLOCATION_STALE",
        f"The shares were changed meanwhile, and nothing of yours was: {words}. "
        f"Look at version {number} and ask again from there.",
        version=number,
        expected=expected,
        changes=[change for view in meanwhile for change in _changes(view)],
    )


def _told(view: VersionView, names: Mapping[int, str]) -> str:
    who = view.version.set_by.get_username() if view.version.set_by else "the system"
    what = ", ".join(
        f"{names[change.book_id]} from {_percent(change.before)} to {_percent(change.after)} %" for change in view.changes
    )
    return f"version {view.version.number} by {who} at {view.version.set_at:%H:%M:%S} UTC set {what or 'the policy'}"


def _changes(view: VersionView) -> list[dict[str, Any]]:
    return [
        {
            "version": view.version.number,
            "book": change.book_id,
            "before": _percent(change.before),
            "after": _percent(change.after),
        }
        for change in view.changes
    ]


def _percent(part: Slice | None) -> str:
    return plain(part.percent) if part else "0"
