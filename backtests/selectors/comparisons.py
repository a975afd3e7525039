"""What can be read about comparisons of plans: what was asked, how far they are, what came of each plan."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from backtests.comparison_spec import ComparisonSpec, PlanAsked
from backtests.models import ComparedPlan, PlanComparison
from backtests.selectors.sweeps import STALLED_AFTER
from trading.frictions import read_frictions

UNDER_WAY = (PlanComparison.State.QUEUED, PlanComparison.State.RUNNING)


class NoSuchComparison(LookupError):
    """No comparison has this number."""


@dataclass(frozen=True, slots=True)
class Advance:
    """How far a comparison is, in base candles of all bots of all plans."""

    bars_done: int
    bars: int
    # None until something is done.
    bars_per_second: float | None
    seconds_left: float | None


def comparison(comparison_id: int) -> PlanComparison:
    """Find a comparison."""
    found = PlanComparison.objects.filter(id=comparison_id).first()
    if found is None:
        raise NoSuchComparison(f"There is no comparison {comparison_id}")
    return found


def newest_comparisons(*, limit: int) -> list[PlanComparison]:
    """List comparisons with their plans, newest first."""
    return list(PlanComparison.objects.order_by("-id").prefetch_related("plans")[:limit])


def plans(found: PlanComparison) -> list[ComparedPlan]:
    """List the plans of a comparison in the order in which they were asked for."""
    return sorted(found.plans.all(), key=lambda plan: plan.number)


def spec_of(found: PlanComparison) -> ComparisonSpec:
    """Read back what was asked for."""
    return ComparisonSpec(
        plans=tuple(
            PlanAsked(content=plan.content, mode=plan.asked_mode, bot=plan.bot, rotation=plan.rotation, budget=plan.budget)
            for plan in plans(found)
        ),
        begin_at=found.begin_at,
        end_at=found.end_at,
        capital=found.capital,
        interval=found.interval,
        base_interval=found.base_interval,
        folder=found.folder,
        fee=found.fee,
        half_spread=found.half_spread,
        slippage=found.slippage,
        is_limited=found.is_limited,
        participation=found.participation,
        frictions=read_frictions(found.frictions),
    )


def stalled_comparisons(*, now: datetime) -> list[int]:
    """List the comparisons under way of which no worker told anything lately."""
    lately = now - STALLED_AFTER
    busy = ComparedPlan.objects.filter(claimed_at__gte=lately) | ComparedPlan.objects.filter(finished_at__gte=lately)
    waiting = PlanComparison.objects.filter(state__in=UNDER_WAY, requested_at__lt=lately)
    return list(waiting.exclude(id__in=busy.values("comparison_id")).order_by("id").values_list("id", flat=True))


def progress(found: PlanComparison, *, now: datetime) -> Advance:
    """Say how far a comparison is, how fast it goes and how long it will take."""
    all_plans = plans(found)
    whole = sum(plan.bars for plan in all_plans)
    done = sum(int(plan.bars * part_done(found, plan)) for plan in all_plans)
    if not done or found.started_at is None:
        return Advance(done, whole, None, None)
    seconds = ((found.finished_at or now) - found.started_at).total_seconds()
    rate = done / seconds if seconds > 0 else None
    is_running = found.state == PlanComparison.State.RUNNING
    return Advance(done, whole, rate, (whole - done) / rate if is_running and rate else None)


def part_done(found: PlanComparison, plan: ComparedPlan) -> float:
    """Say which part of a plan is done, from 0 to 1; a plan that failed is over."""
    if plan.state in (ComparedPlan.State.DONE, ComparedPlan.State.FAILED):
        return 1.0
    if plan.market_at is None:
        return 0.0
    return min(1.0, (plan.market_at - found.begin_at) / (found.end_at - found.begin_at))


def plans_tried(found: PlanComparison) -> int:
    """Count the plans that anybody ever simulated over candles of the same time: each was a try."""
    over_it = PlanComparison.objects.filter(begin_at__lt=found.end_at, end_at__gt=found.begin_at)
    return ComparedPlan.objects.filter(state=ComparedPlan.State.DONE, comparison__in=over_it).count()
