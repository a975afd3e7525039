"""Look after shares in the background: finish what is pending, re-base on schedule and after flows."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import structlog
from django.db import transaction
from django.db.models import F, Q

from portfolio.models import Account, AllocationVersion, Book, RebaseClock
from portfolio.selectors import account_overview
from portfolio.selectors import allocations as reading
from portfolio.writers import accounts
from portfolio.writers import allocations as writing
from portfolio.writers.allocations import Making
from trading.allocations import PlanRefused, Policy, Wanted, rebase_slot, settle_pending, target_of
from trading.ledger import ZERO, exactly

log = structlog.get_logger(__name__)

PERCENTAGE: Final = "percentage"
Cause = AllocationVersion.Cause


@exactly
def tend(*, account_id: int, market_at: datetime, now: datetime) -> bool:
    """Finish pending moves and carry out the re-base that is due; answer whether anything was changed.

    Safe to repeat: what is done is done under the account's lock. Two short reads where there is nothing to do.
    """
    if not _has_work(account_id, market_at):
        return False
    with transaction.atomic():
        account = accounts.lock(account_id)
        if account.allocation_mode != PERCENTAGE or account.state != Account.State.ACTIVE:
            return False
        completed = _complete(account, market_at=market_at, now=now)
        return _rebase(account, market_at=market_at, now=now) or completed


def _has_work(account_id: int, market_at: datetime) -> bool:
    if Book.objects.filter(account=account_id).exclude(pending=ZERO).exists():
        return True
    version = reading.newest_version(account_id)
    if version is None or not (version.rebase_hours or version.rebases_after_flows):
        return False
    served = Q(net_flows=F("account__net_flows")) if version.rebases_after_flows else Q()
    if version.rebase_hours:
        served &= Q(slot_at__gte=rebase_slot(market_at, version.rebase_hours))
    return not RebaseClock.objects.filter(served, account=account_id).exists()


def _complete(account: Account, *, market_at: datetime, now: datetime) -> bool:
    overview = account_overview(account.pk)
    policy = reading.policy_of(reading.newest_version(account.pk))
    moves = settle_pending(
        holders=[holder for holder in reading.holders_of(account.pk, overview) if holder.pending != ZERO],
        unallocated=overview.unallocated,
        reserve=target_of(overview.equity - overview.in_transit, policy.reserve_percent),
    )
    if moves:
        worths = {book.book_id: book.equity for book in overview.books}
        writing.complete(account, moves, worths=worths, market_at=market_at, now=now)
    return bool(moves)


def _rebase(account: Account, *, market_at: datetime, now: datetime) -> bool:
    """Deal out anew what is due by now; an account with unexplained or unpriced parts is not known well enough."""
    policy = reading.policy_of(reading.newest_version(account.pk))
    cause = _due(account, policy, market_at)
    if cause is None:
        return False
    overview = account_overview(account.pk)
    if overview.suspense or overview.unpriced:
        log.info("allocation.rebase_waits", account=account.pk, suspense=bool(overview.suspense), unpriced=overview.unpriced)
        return False
    percents = {book_id: part.percent for book_id, part in reading.slices_at(account.pk).items()}
    try:
        plan = reading.draft(account, Wanted(percents=percents, rebase=True))
    except PlanRefused as refused:
        log.warning("allocation.rebase_refused", account=account.pk, code=refused.code)
        return False
    writing.serve_clock(account, market_at=market_at, hours=policy.rebase_hours)
    if plan.shares:
        writing.carry_out(account, plan, Making(cause=cause, by=None, market_at=market_at, now=now))
    return bool(plan.shares)


def _due(account: Account, policy: Policy, market_at: datetime) -> str | None:
    clock = RebaseClock.objects.filter(account=account).first()
    if clock is None:
        return None
    if policy.rebases_after_flows and clock.net_flows != account.net_flows:
        return Cause.FLOW
    if policy.rebase_hours and clock.slot_at < rebase_slot(market_at, policy.rebase_hours):
        return Cause.SCHEDULE
    return None
