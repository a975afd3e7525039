"""The single place that changes the tables of trials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from django.db.models import Q

from bots.models import Bot
from portfolio.models import Account
from portfolio.writers import audit
from trials.models import Trial, TrialLeg
from trials.outcomes import TurnOutcome, stored
from trials.selectors.rows import CLAIM_HOLDS
from trials.spec import AccountTrial, SimulatedTrial, Spec

if TYPE_CHECKING:
    from django.contrib.auth.models import User

# Turns of one bot that a worker takes at once: seconds of work.
TURNS_AT_ONCE = 20
# Turns that lose every worker would lose the next ones too.
ATTEMPTS_MAX = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Who asks, when, and under which request."""

    by: User | None
    now: datetime
    request_id: str = ""


def add_trial(
    *, account: Account, spec: Spec, bots: Sequence[Bot], setups: Mapping[int, Any], terms: Mapping[str, Any], asked: Asked
) -> Trial:
    """Write down a trial and its turns, in the order in which the bots are given."""
    is_simulated = isinstance(spec, SimulatedTrial)
    trial = Trial.objects.create(
        account=account,
        kind=Trial.Kind.SIMULATION if is_simulated else Trial.Kind.ACCOUNT,
        state=Trial.State.QUEUED if is_simulated else Trial.State.RUNNING,
        hours=spec.hours,
        rounds=spec.rounds,
        started_at=None if is_simulated else asked.now,
        requested_by=asked.by,
        requested_at=asked.now,
        **terms,
    )
    length = timedelta(hours=spec.hours)
    begins = [spec.begin_at + length * number for number in range(spec.rounds)] if isinstance(spec, SimulatedTrial) else []
    TrialLeg.objects.bulk_create(
        TrialLeg(
            trial=trial,
            number=turn * len(bots) + place,
            bot=bot,
            book_id=bot.book_id,
            name=bot.name,
            setup=setups[bot.pk],
            begin_at=begins[turn] if begins else None,
            end_at=begins[turn] + length if begins else None,
        )
        for turn in range(spec.rounds)
        for place, bot in enumerate(bots)
    )
    _record(trial, "trial.request", asked, before={}, after=_facts(trial, spec, bots))
    return trial


def change_state(trial: Trial, state: str, asked: Asked, *, action: str, error: str = "", **values: Any) -> bool:
    """Move a trial on if it is still where it was read to be; the loser walks away."""
    before = trial.state
    values |= {"state": state, "error": error[:500]}
    if state in (Trial.State.DONE, Trial.State.CANCELLED, Trial.State.FAILED):
        values |= {"finished_at": asked.now, "blocked_code": "", "blocked_message": ""}
    if not Trial.objects.filter(id=trial.pk, state=before).update(**values):
        return False
    for name, value in values.items():
        setattr(trial, name, value)
    _record(trial, action, asked, before={"state": before}, after={"state": state} | ({"error": error} if error else {}))
    return True


def note_look(trial: Trial, market_at: datetime, *, code: str = "", message: str = "") -> None:
    """Note through which market time everything was done, or what it waits for."""
    trial.looked_at, trial.blocked_code, trial.blocked_message = market_at, code, message[:300]
    trial.save(update_fields=["looked_at", "blocked_code", "blocked_message"])


def begin_turn(leg: TrialLeg, *, epoch: int, asked_at: datetime, now: datetime) -> None:
    """Note which hand-over gives the account to the bot."""
    leg.state, leg.epoch, leg.asked_at, leg.claimed_at = TrialLeg.State.RUNNING, epoch, asked_at, now
    leg.begin_at = leg.end_at = None
    leg.save(update_fields=["state", "epoch", "asked_at", "claimed_at", "begin_at", "end_at"])


def set_span(leg: TrialLeg, *, begin_at: datetime, hours: int) -> None:
    """Note from when to when the bot has the account."""
    leg.begin_at, leg.end_at = begin_at, begin_at + timedelta(hours=hours)
    leg.save(update_fields=["begin_at", "end_at"])


def finish_turn(leg: TrialLeg, outcome: TurnOutcome, *, now: datetime, note: str = "") -> None:
    """Store what came of a turn."""
    leg.state, leg.pnl, leg.fees, leg.outcome, leg.note = (
        TrialLeg.State.DONE,
        outcome.pnl,
        outcome.fees,
        stored(outcome),
        note[:200],
    )
    leg.claimed_at = now
    leg.save(update_fields=["state", "pnl", "fees", "outcome", "note", "claimed_at"])


def put_back_turns(trial: Trial) -> None:
    """Have turns that did not come to an end begin anew."""
    trial.legs.filter(state=TrialLeg.State.RUNNING).update(state=TrialLeg.State.QUEUED, claimed_at=None, epoch=None, attempts=0)


def claim_turns(*, trial_id: int, now: datetime) -> list[TrialLeg]:
    """Take the next turns of one bot that nobody works on, inside the caller's transaction.

    The trial is locked before its turns, as by whoever cancels it or stores what came of them: two such locks never cross.
    """
    waiting = Q(state=TrialLeg.State.QUEUED) | Q(state=TrialLeg.State.RUNNING, claimed_at__lt=now - CLAIM_HOLDS)
    states = (Trial.State.QUEUED, Trial.State.RUNNING)
    if not Trial.objects.select_for_update().filter(id=trial_id, state__in=states).exists():
        return []
    rows = TrialLeg.objects.filter(waiting, trial_id=trial_id).order_by("book_id", "number")
    first = rows.first()
    if first is None:
        return []
    found = list(rows.filter(book=first.book_id).select_related("trial__account__market")[:TURNS_AT_ONCE])
    for leg in found:
        leg.state, leg.claimed_at, leg.attempts = TrialLeg.State.RUNNING, now, leg.attempts + 1
    TrialLeg.objects.bulk_update(found, ["state", "claimed_at", "attempts"])
    Trial.objects.filter(id=trial_id, state=Trial.State.QUEUED).update(state=Trial.State.RUNNING)
    Trial.objects.filter(id=trial_id, started_at=None).update(started_at=now)
    return found


def finish_turns(*, legs: Sequence[TrialLeg], outcomes: Sequence[TurnOutcome], now: datetime) -> bool:
    """Store what came of claimed turns, inside the caller's transaction; false when the trial was ended meanwhile.

    Locks the trial's row, so that of two workers who finish at once one sees that the other has.
    """
    trial = Trial.objects.select_for_update().get(id=legs[0].trial_id)
    if trial.state != Trial.State.RUNNING:
        return False
    for leg, outcome in zip(legs, outcomes, strict=True):
        mine = TrialLeg.objects.filter(id=leg.pk, state=TrialLeg.State.RUNNING, attempts=leg.attempts)
        facts: dict[str, Any] = {"pnl": outcome.pnl, "fees": outcome.fees, "outcome": stored(outcome), "claimed_at": now}
        mine.update(state=TrialLeg.State.DONE, **facts)
    if not trial.legs.exclude(state=TrialLeg.State.DONE).exists():
        change_state(trial, Trial.State.DONE, Asked(by=trial.requested_by, now=now), action="trial.done")
    return True


def note_applied(trial: Trial, *, version: int, asked: Asked, facts: Mapping[str, Any]) -> None:
    """Note that the proposal became the shares."""
    before = {"version": trial.applied_version}
    trial.applied_version, trial.applied_at = version, asked.now
    trial.save(update_fields=["applied_version", "applied_at"])
    _record(trial, "trial.apply", asked, before=before, after={"version": version, **facts})


def _record(trial: Trial, action: str, asked: Asked, *, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    audit.record(
        action=action,
        subject=f"trial:{trial.pk}",
        actor=asked.by,
        before=before,
        after=after,
        now=asked.now,
        request_id=asked.request_id,
    )


def _facts(trial: Trial, spec: Spec, bots: Sequence[Bot]) -> dict[str, Any]:
    facts: dict[str, Any] = {"kind": trial.kind, "hours": spec.hours, "rounds": spec.rounds, "bots": [bot.name for bot in bots]}
    if isinstance(spec, AccountTrial):
        return facts | {"budget": None if spec.budget is None else str(spec.budget)}
    return facts | {"begin_at": spec.begin_at.isoformat(), "end_at": spec.end_at.isoformat(), "allocation": str(spec.allocation)}
