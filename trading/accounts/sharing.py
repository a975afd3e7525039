"""Percentage mode over time: versions of the plan, re-bases on a schedule, and what waits for cash to come free."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from trading.accounts.member import Member
from trading.accounts.plan import Shares
from trading.accounts.purse import Purse
from trading.accounts.referee import moment
from trading.allocations import Holder, Wanted, plan_shares, rebase_slot, settle_pending, target_of
from trading.handover import Stance
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
        if self._is_rebase_due(now) and not is_new:
            self._deal(Wanted(percents={member.number: member.percent for member in self._members}, rebase=True), at)
        if not is_new:
            self._settle(at)

    def _is_rebase_due(self, now: datetime) -> bool:
        if not self._policy.rebase_hours:
            return False
        slot = rebase_slot(now, self._policy.rebase_hours)
        before, self._rebased = self._rebased, slot
        return before is not None and slot > before

    def _deal(self, wanted: Wanted, at: int) -> None:
        total = self._purse.total(at)
        plan = plan_shares(
            holders=self._holders(at), wanted=wanted, unallocated=self._purse.unallocated, total=total, policy=self._policy
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

    def _settle(self, at: int) -> None:
        if not any(member.pending for member in self._members):
            return
        reserve = target_of(self._purse.total(at), self._policy.reserve_percent)
        moves = settle_pending(holders=self._holders(at), unallocated=self._purse.unallocated, reserve=reserve)
        for member in self._members:
            moved = self._purse.move(member, moves.get(member.number, ZERO), at)
            if moved:
                left = member.pending - moved
                member.wait_for(left if abs(left) >= UNIT else ZERO)
                # What leaves was not counted on any more since the plan was set; what comes is.
                member.size_by(member.allocation + max(moved, ZERO))

    def _holders(self, at: int) -> list[Holder]:
        return [
            Holder(
                book_id=member.number,
                name=member.bot.key,
                percent=member.percent,
                equity=member.worth(at),
                cash_free=member.cash,
                target=member.target,
                pending=member.pending,
            )
            for member in self._members
        ]
