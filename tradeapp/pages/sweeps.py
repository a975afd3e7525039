"""The pages of sweeps: ask for one, watch it, look at what it found."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import ensure_csrf_cookie
from django.views.decorators.http import require_safe

from backtests.families import FAMILIES
from backtests.schemas import NO_PROMISE
from backtests.selectors import sweeps
from backtests.sweep_runs import FIGURES
from backtests.sweep_spec import TRIALS_MAX
from strategies import registry
from tradeapp.pages.views import page_context
from trading.bars import INTERVALS

LISTED = 50
BEST = 20
UNKNOWN = "\N{EN DASH}"


@never_cache
@require_safe
@login_required
@ensure_csrf_cookie
def sweep_list(request: HttpRequest) -> HttpResponse:
    """Show the form and the sweeps so far."""
    context = page_context(request, "sweeps") | {
        "strategies": [*FAMILIES, *registry.names()],
        "intervals": list(INTERVALS),
        "trials_max": f"{TRIALS_MAX:,}",
        "sweeps": sweeps.newest_sweeps(limit=LISTED),
    }
    return render(request, "pages/sweeps.html", context)


@never_cache
@require_safe
@login_required
@ensure_csrf_cookie
def sweep(request: HttpRequest, sweep_id: int) -> HttpResponse:
    """Show one sweep: how far it is and what it found."""
    try:
        found = sweeps.sweep(sweep_id)
    except sweeps.NoSuchSweep as error:
        raise Http404(str(error)) from error
    table = sweeps.results(found)
    rows = [] if table is None else sweeps.best(table, figure="sharpe", limit=BEST)
    axes = sorted(found.grid, key=lambda name: -len(found.grid[name]))
    context = page_context(request, "sweeps") | {
        "sweep": found,
        "progress": sweeps.progress(found, now=timezone.now()),
        "is_under_way": found.state in sweeps.UNDER_WAY,
        "has_results": table is not None,
        "tried": 0 if table is None else table.num_rows,
        "axes": axes,
        "figures_of_trials": FIGURES,
        "best": [_words(row, axes) for row in rows],
        "note": NO_PROMISE,
    }
    return render(request, "pages/sweep.html", context)


def _words(row: dict[str, Any], axes: list[str]) -> dict[str, Any]:
    shares = {name: _percent(row[name]) for name in ("total_return", "max_drawdown", "win_rate")}
    interval = f"{_percent(row['win_rate_low'])} to {_percent(row['win_rate_high'])} %"
    break_even = UNKNOWN if row["break_even_win_rate"] is None else f"{_percent(row['break_even_win_rate'])} %"
    parameters = [f"{row[name]:g}" if isinstance(row[name], float) else row[name] for name in axes]
    return {**row, **shares, "interval": interval, "break_even": break_even, "parameters": parameters}


def _percent(share: float | None) -> str:
    return UNKNOWN if share is None else f"{share * 100:,.1f}"
