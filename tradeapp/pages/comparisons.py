"""The pages that compare plans of a whole account: ask, watch, and look at them side by side."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import ensure_csrf_cookie
from django.views.decorators.http import require_safe

from backtests.comparison_spec import PLANS_MAX
from backtests.comparison_view import comparison_view, hold_name
from backtests.models import ComparedPlan
from backtests.schemas import NO_PROMISE
from backtests.selectors import comparisons
from tradeapp.pages import formats
from tradeapp.pages.views import page_context
from trading.bars import INTERVALS
from trading.handover import Mode

LISTED = 50
# As many as bots have, so that plots and tables agree.
COLOURS = 8


@never_cache
@require_safe
@login_required
@ensure_csrf_cookie
def comparison_list(request: HttpRequest) -> HttpResponse:
    """Show the form and the comparisons so far."""
    context = page_context(request, "comparisons") | {
        "intervals": list(INTERVALS),
        "modes": list(Mode),
        "plans_max": PLANS_MAX,
        "comparisons": comparisons.newest_comparisons(limit=LISTED),
    }
    return render(request, "pages/comparisons.html", context)


@never_cache
@require_safe
@login_required
@ensure_csrf_cookie
def comparison(request: HttpRequest, comparison_id: int) -> HttpResponse:
    """Show one comparison: how far it is and what came of its plans."""
    try:
        found = comparisons.comparison(comparison_id)
    except comparisons.NoSuchComparison as error:
        raise Http404(str(error)) from error
    view = comparison_view(found, now=timezone.now())
    plans = [_plan(plan) for plan in view["plans"]]
    done = [plan for plan in plans if plan["report"]]
    context = page_context(request, "comparisons") | {
        "comparison": view,
        "fee": formats.quantity(found.fee),
        "is_under_way": found.state in comparisons.UNDER_WAY,
        "plans": plans,
        "done": done,
        "held": _held(comparisons.plans(found)),
        "refusals": _by_name(done, "refusals"),
        "profits": _by_name(done, "profits"),
        "note": NO_PROMISE,
    }
    return render(request, "pages/comparison.html", context)


def _plan(plan: dict[str, Any]) -> dict[str, Any]:
    words = {**plan, "colour": plan["number"] % COLOURS, "percent_done": round(plan["done"] * 100)}
    report = plan["report"]
    if not report:
        return words
    return words | {
        "words": _equity_words(report)
        | {
            "final_equity": formats.quote(Decimal(report["final_equity"])),
            "fees": formats.quote(Decimal(report["fees"])),
            "win_rate": formats.NONE if report["win_rate"] is None else f"{_share(report['win_rate'])} %",
            "win_rate_interval": _interval(report["win_rate_low"], report["win_rate_high"], _share),
            "time_in_market": f"{_share(report['time_in_market'])} %",
            "invested": f"{_share(report['invested'])} %",
            "refused": sum(report["refusals"].values()),
        },
        "refusals": report["refusals"],
        "profits": {bot["key"]: formats.gain(Decimal(bot["profit"])) for bot in report["bots"]},
    }


def _held(plans: Sequence[ComparedPlan]) -> list[dict[str, Any]]:
    """Lay out what buying and holding would have done, each set of markets once."""
    found = {hold_name(plan.benchmark): plan.benchmark for plan in plans if plan.benchmark}
    return [{"name": name, "words": _equity_words(benchmark)} for name, benchmark in found.items()]


def _equity_words(figures: dict[str, Any]) -> dict[str, str]:
    return {
        "total_return": f"{figures['total_return'] * 100:+,.1f} %".replace("-", formats.MINUS),
        "max_drawdown": f"{_share(figures['max_drawdown'])} %",
        "sharpe": formats.NONE if figures["sharpe"] is None else _figure(figures["sharpe"]),
        "sharpe_interval": _interval(figures["sharpe_low"], figures["sharpe_high"], _figure),
    }


def _by_name(done: list[dict[str, Any]], field: str) -> list[dict[str, Any]]:
    """Turn a mapping of each plan into rows by name, with a cell for each plan."""
    names = dict.fromkeys(name for plan in done for name in plan[field])
    return [{"name": name, "cells": [plan[field].get(name, formats.NONE) for plan in done]} for name in names]


def _interval(low: float | None, high: float | None, words: Any) -> str:
    return "" if low is None or high is None else f"{words(low)} to {words(high)}"


def _figure(value: float) -> str:
    return f"{value:,.2f}".replace("-", formats.MINUS)


def _share(value: float) -> str:
    return f"{value * 100:,.1f}".replace("-", formats.MINUS)
