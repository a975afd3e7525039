"""Percentage mode over time: versions of the plan, re-bases on a schedule, and what waits for cash to come free."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from trading.accounts.member import Member
from trading.accounts.plan import Shares
from trading.accounts.purse import Purse
from trading.accounts.referee import moment
from trading.allocations import Wanted, plan_shares, rebase_slot, settle_pending, target_of
from trading.handover import Stance
from trading.instruments import amount
from trading.ledger import UNIT, ZERO, exactly

_HOUR: Final = timedelta(hours=1)


class Sharing:
    """Deals the account out in percent, as the operator's versions and the schedule say."""

    def __init__(self, shares: Shares, members: Sequence[Member], purse: Purse) -> None:
        """Deal nothing yet."""
        self._policy = shares.policy
        self._versions = list(shares.versions)
        self._members = members
        self._purse = purse
        self._rebased: datetime | None = None
        # The flows that the shares account for; those before the first deal are in it.
        self._served_flows: int | None = None

    # In percentage mode every bot has a turn.
    stance: Stance | None = None

    def next_after(self, at: int) -> datetime | None:
        """Answer when there is something to do next."""
        now = moment(at)
        moments = [version.at for version in self._versions]
        if self._policy.rebase_hours:
            moments.append(rebase_slot(now, self._policy.rebase_hours) + timedelta(hours=self._policy.rebase_hours))
        if any(member.pending for member in self._members):
            moments.append(now.replace(minute=0, second=0, microsecond=0) + _HOUR)
        return min(moments, default=None)

    @exactly
    def act(self, at: int) -> None:
        """Do what is due: versions first, then the schedule, then what waited for cash."""
        now = moment(at)
        is_new = False
        while self._versions and self._versions[0].at <= now:
            version = self._versions.pop(0)
            numbers = {member.bot.key: member.number for member in self._members}
            percents = {numbers[key]: percent for key, percent in version.percents.items()}
            self._deal(Wanted(percents=percents, rebase=version.rebase), at)
            is_new = True
        is_due = self._is_rebase_due(now) and not is_new
        if self._has_new_flows() or is_due:
            self._deal(Wanted(percents={member.number: member.percent for member in self._members}, rebase=True), at)
        if not is_new:
            self._settle(at)

    def _is_rebase_due(self, now: datetime) -> bool:
        if not self._policy.rebase_hours:
            return False
        slot = rebase_slot(now, self._policy.rebase_hours)
        before, self._rebased = self._rebased, slot
        return before is not None and slot > before

    def _has_new_flows(self) -> bool:
        """Say whether flows came that the shares are to account for at once; as live, two that cancel out are none."""
        before, self._served_flows = self._served_flows, self._purse.asked_flows
        return self._policy.rebases_after_flows and before not in (None, self._served_flows)

    def _deal(self, wanted: Wanted, at: int) -> None:
        # What is on its way out is nobody's to share any more.
        plan = plan_shares(
            holders=self._purse.holders(at),
            wanted=wanted,
            unallocated=self._purse.to_share,
            total=self._total(at),
            policy=self._policy,
        )
        by_number = {member.number: member for member in self._members}
        for share in plan.shares:
            member = by_number[share.book_id]
            member.percent = share.percent
            if not share.is_dealt:
                continue
            worth = member.worth(at)
            moved = self._purse.move(member, share.moved, at)
            funded = worth + moved
            member.target = share.target
            # Less than a unit cannot move, so nothing waits for it.
            missing = share.target - funded
            member.wait_for(missing if abs(missing) >= UNIT else ZERO)
            member.size_by(min(share.target, funded))
        self._purse.shrink(at)

    def _settle(self, at: int) -> None:
        if not any(member.pending for member in self._members):
            return
        reserve = target_of(self._total(at), self._policy.reserve_percent)
        holders = self._purse.holders(at)
        self._purse.complete(settle_pending(holders=holders, unallocated=self._purse.to_share, reserve=reserve), at)

    def _total(self, at: int) -> Decimal:
        return self._purse.total(at) - amount(self._purse.owed)
