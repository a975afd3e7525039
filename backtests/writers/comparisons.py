"""What changes comparisons of plans and the plans in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any, NamedTuple

from django.contrib.auth.models import User
from django.db.models import Q, QuerySet

from backtests.comparison_spec import ComparisonSpec, fingerprint_of
from backtests.models import CLAIM_HOLDS, ComparedPlan, PlanComparison
from backtests.writers import MESSAGE_LENGTH_MAX

State = PlanComparison.State
UNDER_WAY = (State.QUEUED, State.RUNNING)


class Described(NamedTuple):
    """What is known of a plan once it is put together."""

    name: str
    mode: str
    bars: int


def add_comparison(
    *, spec: ComparisonSpec, described: Sequence[Described], source_hash: str, by: User | None, now: datetime
) -> PlanComparison:
    """Write down which plans are to be compared, inside the caller's transaction."""
    values = {name: value for name, value in asdict(spec).items() if name != "plans"}
    values["frictions"] = spec.frictions.as_plain()
    comparison = PlanComparison.objects.create(
        **values, fingerprint=spec.fingerprint, source_hash=source_hash, requested_by=by, requested_at=now
    )
    ComparedPlan.objects.bulk_create(
        ComparedPlan(
            comparison=comparison,
            number=number,
            name=known.name,
            mode=known.mode,
            bars=known.bars,
            content=dict(asked.content),
            asked_mode=asked.mode,
            bot=asked.bot,
            rotation=asked.rotation,
            budget=asked.budget,
            fingerprint=fingerprint_of(asdict(asked)),
        )
        for number, (asked, known) in enumerate(zip(spec.plans, described, strict=True))
    )
    return comparison


def claim_plan(*, comparison_id: int, now: datetime) -> ComparedPlan | None:
    """Take the next plan that nobody works on, inside the caller's transaction; None if there is none."""
    lost = Q(state=ComparedPlan.State.RUNNING, claimed_at__lt=now - CLAIM_HOLDS)
    waiting = Q(state=ComparedPlan.State.QUEUED) | lost
    mine = ComparedPlan.objects.filter(waiting, comparison_id=comparison_id, comparison__state__in=UNDER_WAY).order_by("number")
    plan = mine.select_for_update(skip_locked=True, of=("self",)).first()
    if plan is None:
        return None
    plan.state, plan.claimed_at, plan.attempts, plan.market_at = ComparedPlan.State.RUNNING, now, plan.attempts + 1, None
    plan.save(update_fields=["state", "claimed_at", "attempts", "market_at"])
    PlanComparison.objects.filter(id=comparison_id, state=State.QUEUED).update(state=State.RUNNING, started_at=now)
    return plan


def note_progress(*, plan: ComparedPlan, market_at: datetime, now: datetime) -> bool:
    """Write down how far a plan is; false when the work is in vain: cancelled, or another worker has it."""
    return _mine(plan).filter(comparison__state=State.RUNNING).update(claimed_at=now, market_at=market_at) == 1


def finish_plan(*, plan: ComparedPlan, found: Mapping[str, Any], now: datetime) -> bool:
    """Store what came of a plan, inside the caller's transaction; false when the work was lost or in vain."""
    return _end_plan(plan, {"state": ComparedPlan.State.DONE, "market_at": plan.comparison.end_at, **found}, now)


def fail_plan(*, plan: ComparedPlan, message: str, now: datetime) -> bool:
    """Store why a plan came to nothing, inside the caller's transaction; the others go on."""
    return _end_plan(plan, {"state": ComparedPlan.State.FAILED, "error": message[:MESSAGE_LENGTH_MAX]}, now)


def cancel_comparison(*, comparison_id: int, now: datetime) -> bool:
    """Stop a comparison; the plans that are done stay."""
    under_way = PlanComparison.objects.filter(id=comparison_id, state__in=UNDER_WAY)
    return under_way.update(state=State.CANCELLED, finished_at=now) == 1


def _end_plan(plan: ComparedPlan, values: Mapping[str, Any], now: datetime) -> bool:
    # Of two workers that finish at once one must see that the other has.
    comparison = PlanComparison.objects.select_for_update().get(id=plan.comparison_id)
    if comparison.state != State.RUNNING or not _mine(plan).update(**values, finished_at=now):
        return False
    if not comparison.plans.filter(state__in=(ComparedPlan.State.QUEUED, ComparedPlan.State.RUNNING)).exists():
        is_any_done = comparison.plans.filter(state=ComparedPlan.State.DONE).exists()
        comparison.state, comparison.finished_at = State.DONE if is_any_done else State.FAILED, now
        comparison.error = "" if is_any_done else "No plan could be simulated; each says why."
        comparison.save(update_fields=["state", "finished_at", "error"])
    return True


def _mine(plan: ComparedPlan) -> QuerySet[ComparedPlan]:
    return ComparedPlan.objects.filter(id=plan.id, state=ComparedPlan.State.RUNNING, attempts=plan.attempts)
