"""Trials and their turns: what is there, how far it is, what is due, and what would be in the way of another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from bots.models import Bot
from portfolio.jobs.risk import market_time
from portfolio.models import Account
from portfolio.selectors import modes
from trading.handover import Mode
from trials.models import Trial, TrialLeg
from trials.spec import Obstacle

UNDER_WAY: Final = (Trial.State.QUEUED, Trial.State.RUNNING, Trial.State.RESTORING)
# A few turns take seconds; who claimed them for longer is gone.
CLAIM_HOLDS: Final = timedelta(minutes=3)


class NoSuchTrial(LookupError):
    """No trial has this number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a trial is; rate and rest are unknown until something is done."""

    turns_done: int
    turns: int
    share: float
    turns_per_second: float | None = None
    seconds_left: float | None = None


def trial(trial_id: int) -> Trial:
    """Find a trial."""
    found = Trial.objects.select_related("account__market", "requested_by").filter(id=trial_id).first()
    if found is None:
        raise NoSuchTrial(f"There is no trial {trial_id}.")
    return found


def newest_trials(*, limit: int, account_id: int | None = None) -> list[Trial]:
    """List trials, newest first."""
    rows = Trial.objects.select_related("account", "requested_by").order_by("-id")
    return list((rows if account_id is None else rows.filter(account=account_id))[:limit])


def holding(account_id: int) -> Trial | None:
    """Return the trial that decides who trades on an account."""
    states = (Trial.State.RUNNING, Trial.State.RESTORING)
    rows = Trial.objects.filter(account=account_id, kind=Trial.Kind.ACCOUNT, state__in=states)
    return rows.select_related("account").first()


def is_due(account_id: int, market_at: datetime) -> bool:
    """Say whether a trial has something to do at a market time, and has not tried yet."""
    found = holding(account_id)
    if found is None or (found.looked_at is not None and found.looked_at >= market_at):
        return False
    if found.account.is_killed:
        # A turn that was cut short is not waited for: whoever releases the switch must find no trial that goes on by itself.
        return True
    leg = running_leg(found)
    return leg is None or leg.end_at is None or market_at >= leg.end_at


def running_leg(found: Trial) -> TrialLeg | None:
    """Return whose turn it is."""
    return found.legs.filter(state=TrialLeg.State.RUNNING).order_by("number").first()


def simulated_waiting(*, now: datetime) -> list[int]:
    """List the simulated trials that nobody works on."""
    rows = Trial.objects.filter(kind=Trial.Kind.SIMULATION, state__in=(Trial.State.QUEUED, Trial.State.RUNNING))
    busy = TrialLeg.objects.filter(state=TrialLeg.State.RUNNING, claimed_at__gte=now - CLAIM_HOLDS)
    return list(rows.exclude(id__in=busy.values("trial")).order_by("id").values_list("id", flat=True))


def progress(found: Trial, *, now: datetime) -> Progress:
    """Say how far a trial is, how fast it goes and how long it will take."""
    states = list(found.legs.values_list("state", "claimed_at", "begin_at", "end_at"))
    done = sum(state == TrialLeg.State.DONE for state, *_ in states)
    here = 0.0
    if found.kind == Trial.Kind.ACCOUNT and found.state == Trial.State.RUNNING:
        at = market_time(found.account)
        here = sum(_passed(begin, end, at) for state, _, begin, end in states if state == TrialLeg.State.RUNNING)
    share = (done + here) / len(states) if states else 0.0
    if found.started_at is None or found.state not in (Trial.State.QUEUED, Trial.State.RUNNING):
        return Progress(turns_done=done, turns=len(states), share=share)
    lately = here + sum(
        state == TrialLeg.State.DONE and claimed is not None and claimed >= found.started_at for state, claimed, *_ in states
    )
    seconds = (now - found.started_at).total_seconds()
    if not lately or seconds <= 0:
        return Progress(turns_done=done, turns=len(states), share=share)
    rate = lately / seconds
    left = (len(states) - done - here) / rate
    return Progress(turns_done=done, turns=len(states), share=share, turns_per_second=rate, seconds_left=left)


def trading_apart(account: Account) -> list[Obstacle]:
    """Say that bots with sub-accounts of their own have no account to take turns on."""
    if account.allocation_mode != Mode.SUBACCOUNTS:
        return []
    message = f"The bots of {account.name} trade in sub-accounts of their own: change its mode first, or simulate."
    return [Obstacle("TRIAL_SUBACCOUNTS", message)]


def obstacles(account: Account, bots: Sequence[Bot]) -> list[Obstacle]:
    """List what keeps a trial on the account itself from beginning now."""
    found = trading_apart(account)
    other = holding(account.pk)
    if other is not None:
        found.append(Obstacle("TRIAL_RUNNING", f"Trial {other.pk} is under way on {account.name}: wait for it or cancel it."))
    if account.is_killed:
        found.append(Obstacle("KILL_ACTIVE", f"The kill switch of {account.name} is on: release it first."))
    elif account.state != Account.State.ACTIVE:
        why = account.state_reason or account.state
        found.append(Obstacle("ACCOUNT_NOT_ACTIVE", f"{account.name} takes no entries now ({why}): see to that first."))
    unknown = modes.unknown_orders(account.pk)
    if unknown:
        found.append(Obstacle("MODE_ORDERS_UNKNOWN", f"Nobody knows yet what has become of {', '.join(unknown)}."))
    passing = modes.newest_hand_over(account.pk)
    if passing is not None and passing.phase in modes.UNSETTLED:
        found.append(Obstacle("MODE_HAND_OVER", f"Hand-over {passing.epoch} is under way: wait until it is settled."))
    if market_time(account) is None:
        found.append(Obstacle("DATA_STALE", f"{account.name} has no market time yet: start its feed and its trader first."))
    idle = [bot.name for bot in bots if bot.status != Bot.Status.RUNNING]
    if idle:
        found.append(Obstacle("MODE_BOT_NOT_ACTIVE", f"Not running: {', '.join(idle)}. Start them first."))
    return found


def _passed(begin: datetime | None, end: datetime | None, at: datetime | None) -> float:
    if begin is None or end is None or at is None:
        return 0.0
    return min(1.0, max(0.0, (at - begin) / (end - begin)))
