"""Put a comparison of plans into the words of the API, which the page shows too."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Any, Final

from backtests.models import ComparedPlan, PlanComparison
from backtests.selectors import comparisons

_FIELDS: Final = (
    "id",
    "begin_at",
    "end_at",
    "capital",
    "interval",
    "base_interval",
    "folder",
    "fee",
    "half_spread",
    "slippage",
    "participation",
    "frictions",
    "is_limited",
    "state",
    "error",
    "fingerprint",
    "source_hash",
    "requested_at",
    "started_at",
    "finished_at",
)
_PLAN_FIELDS: Final = (
    "number",
    "name",
    "mode",
    "state",
    "error",
    "market_at",
    "bars",
    "attempts",
    "fingerprint",
    "data_hash",
)


def comparison_view(found: PlanComparison, *, now: datetime) -> dict[str, Any]:
    """Say what is compared, how far it is, and what came of each plan."""
    return {
        **{name: getattr(found, name) for name in _FIELDS},
        **asdict(comparisons.progress(found, now=now)),
        "plans_tried": comparisons.plans_tried(found),
        "plans": [_plan_view(found, plan) for plan in comparisons.plans(found)],
    }


def curves_view(found: PlanComparison) -> list[dict[str, Any]]:
    """Return the curve of every plan that is done, then of holding the same markets, each set of markets once."""
    done = [plan for plan in comparisons.plans(found) if plan.state == ComparedPlan.State.DONE]
    held = {hold_name(plan.benchmark): plan.benchmark["curve"] for plan in done}
    return [
        *({"number": plan.number, "name": plan.name, "is_benchmark": False, **plan.curve} for plan in done),
        *({"number": 0, "name": name, "is_benchmark": True, **curve} for name, curve in held.items()),
    ]


def hold_name(benchmark: dict[str, Any]) -> str:
    """Name what a plan is held against."""
    flows_of = benchmark.get("flows_of")
    return f"Buy and hold {', '.join(benchmark['symbols'])}" + (f", flows of {flows_of}" if flows_of else "")


def _plan_view(found: PlanComparison, plan: ComparedPlan) -> dict[str, Any]:
    return {
        **{name: getattr(plan, name) for name in _PLAN_FIELDS},
        "done": comparisons.part_done(found, plan),
        "report": plan.report or None,
    }
