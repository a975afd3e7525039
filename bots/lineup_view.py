"""A line-up's effect arranged for the outside: the same for API, command and pages."""

from __future__ import annotations

from typing import Any

from bots.services.lineups import LineupDiff, Step


def lineup_view(diff: LineupDiff) -> dict[str, Any]:
    """Arrange what a line-up would do or did, and what is in the way."""
    return {
        "name": diff.name,
        "is_empty": diff.is_empty,
        "obstacles": list(diff.obstacles),
        "steps": [_step(step) for step in diff.steps],
    }


def _step(step: Step) -> dict[str, Any]:
    return {
        "action": step.action,
        "key": step.key,
        "bot": step.name,
        "percent_before": step.percent_before,
        "percent_after": step.percent_after,
        "strategy": step.planned.strategy if step.planned else "",
        "symbols": list(step.planned.symbols) if step.planned else [],
        "changes": [{"field": what, "before": before, "after": after} for what, before, after in step.changes],
    }
