"""The pages of backtests: ask for one, and read its report."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import ensure_csrf_cookie
from django.views.decorators.http import require_safe

from backtests import selectors
from backtests.models import BacktestRun
from backtests.reports import words
from backtests.reports.view import NO_PROMISE, page_of, report_view, run_view
from backtests.selectors import reports
from strategies import registry
from tradeapp.pages.views import page_context
from trading.bars import INTERVALS

LISTED = 50


@never_cache
@require_safe
@login_required
@ensure_csrf_cookie
def backtest_list(request: HttpRequest) -> HttpResponse:
    """Show the form and the backtests so far."""
    context = page_context(request, "backtests") | {
        "strategies": registry.names(),
        "intervals": list(INTERVALS),
        "runs": [_line(found) for found in reports.newest_runs(limit=LISTED)],
        "note": NO_PROMISE,
    }
    return render(request, "pages/backtests.html", context)


@never_cache
@require_safe
@login_required
@ensure_csrf_cookie
def backtest(request: HttpRequest, run_id: int) -> HttpResponse:
    """Show one backtest: where it stands, and its report."""
    found = _found(run_id)
    kept = reports.report(found)
    laid_out = {"run": run_view(found)} if kept is None else page_of(report_view(found, kept), now=timezone.now())
    context = page_context(request, "backtests") | laid_out | {"is_under_way": found.state in reports.UNDER_WAY}
    return render(request, "pages/backtest.html", context)


def _found(run_id: int) -> BacktestRun:
    try:
        return selectors.run(run_id)
    except selectors.NoSuchRun as error:
        raise Http404(str(error)) from error


def _line(found: BacktestRun) -> dict[str, Any]:
    total = found.metrics.get("total_return")
    fall = found.metrics.get("max_drawdown")
    return {**run_view(found), "total": words.change(total), "tone": words.tone(total), "fall": words.share(fall)}
