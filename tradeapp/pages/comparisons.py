"""The pages that compare plans of a whole account: ask, watch, and look at them side by side."""

from __future__ import annotations

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import ensure_csrf_cookie
from django.views.decorators.http import require_safe

from backtests.comparison_spec import PLANS_MAX
from backtests.reports.comparison import page_of
from backtests.selectors import comparisons
from tradeapp.pages.views import page_context
from trading.bars import INTERVALS
from trading.handover import Mode

LISTED = 50
# An account is simulated as one purse; sub-accounts are purses of their own.
SIMULATED = (Mode.PERCENTAGE, Mode.SINGLE, Mode.ROTATION)


@never_cache
@require_safe
@login_required
@ensure_csrf_cookie
def comparison_list(request: HttpRequest) -> HttpResponse:
    """Show the form and the comparisons so far."""
    context = page_context(request, "comparisons") | {
        "intervals": list(INTERVALS),
        "modes": list(SIMULATED),
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
    context = page_context(request, "comparisons") | page_of(found, now=timezone.now())
    return render(request, "pages/comparison.html", context)
