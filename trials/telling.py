"""How trials are told: the same for page, API and command."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Any

from portfolio.services.allocations import AllocationPlan
from trials import selectors
from trials.models import Trial
from trials.selectors import Comparison


def trial_view(found: Trial, *, now: datetime) -> dict[str, Any]:
    """Describe a trial and how far it is."""
    done = selectors.progress(found, now=now)
    names = [
        *(
            "id",
            "kind",
            "state",
            "error",
            "blocked_code",
            "blocked_message",
            "hours",
            "rounds",
            "begin_at",
            "budget",
            "allocation",
        ),
        *("requested_at", "started_at", "finished_at", "applied_version", "applied_at", "source_hash"),
    ]
    return {name: getattr(found, name) for name in names} | {
        "account": found.account_id,
        "bots": list(dict.fromkeys(found.legs.order_by("number").values_list("name", flat=True))),
        "turns": done.turns,
        "turns_done": done.turns_done,
        "share_done": done.share,
        "turns_per_second": done.turns_per_second,
        "seconds_left": done.seconds_left,
        "requested_by": found.requested_by.get_username() if found.requested_by else "system",
    }


def comparison_view(found: Trial, compared: Comparison) -> dict[str, Any]:
    """Describe the bots of a trial beside each other."""
    items = []
    for row in compared.rows:
        figures = asdict(row.figures)
        figures |= {"turns_done": figures.pop("legs"), "fit_turns": figures.pop("fit_legs")}
        figures |= {"bot": row.name, "bot_id": row.bot_id, "book": row.book_id, "turns": row.turns, "regime_now": row.regime_now}
        figures |= {"percent_now": row.percent_now, "curve": row.curve, **asdict(row.verdict)}
        items.append(figures)
    return {
        "trial": found.pk,
        "items": items,
        "doubts": [asdict(doubt) for doubt in compared.doubts],
        "is_supported": compared.is_supported,
        "room": compared.room,
        "version": compared.version,
    }


def plan_view(found: Trial, plan: AllocationPlan) -> dict[str, Any]:
    """Describe what applying does to the shares."""
    shares = [
        {"book": share.book_id, "percent": share.percent, "target": share.target, "moved": share.moved, "funded": share.funded}
        for share in plan.shares
    ]
    facts = {"trial": found.pk, "version": plan.number, "total": plan.total, "unallocated": plan.unallocated}
    return facts | {"remainder_percent": plan.remainder, "shares": shares}
