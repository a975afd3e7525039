"""The page of history: what is there, what is missing, and fetching it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import ensure_csrf_cookie
from django.views.decorators.http import require_safe

from history_fetcher.archives import month_of
from marketdata import selectors
from marketdata.candles import moment
from marketdata.history import catalog, folders
from tradeapp.pages import history_jobs
from tradeapp.pages.views import page_context
from trading.bars import INTERVALS

GAPS_SHOWN = 12


@never_cache
@require_safe
@login_required
@ensure_csrf_cookie
def history(request: HttpRequest) -> HttpResponse:
    """Show coverage, gaps and jobs, and the form that fetches more."""
    context = page_context(request, "history")
    try:
        found, trouble = catalog.series(settings.HISTORY_ROOT), ""
    except catalog.NoHistory as error:
        found, trouble = [], str(error)
    chosen = _chosen(found, request.GET.get("series", ""))
    context |= {
        "rows": [_row(one) for one in found],
        "trouble": trouble,
        "chosen": chosen,
        "gaps": [_gap(gap) for gap in (chosen.gaps[::-1] if chosen else ())[:GAPS_SHOWN]],
        "gaps_more": max(0, len(chosen.gaps) - GAPS_SHOWN) if chosen else 0,
        "intervals": list(INTERVALS),
        "last_month": f"{timezone.now().replace(day=1) - timedelta(days=1):%Y-%m}",
        "waiting": folders.waiting_files(settings.HISTORY_ROOT),
        "imports_folder": folders.imports(settings.HISTORY_ROOT),
        "exports_folder": folders.exports(settings.HISTORY_ROOT),
        "stored_intervals": [name for name in INTERVALS if any(one.interval == name for one in found)],
        "stored_exchanges": sorted({one.exchange for one in found}),
        "chosen_pair": selectors.pair_of(chosen.symbol) if chosen else "",
        "followed": selectors.coverage(),
        **history_jobs.facts(),
    }
    return render(request, "pages/history.html", context)


def _chosen(found: list[catalog.Series], name: str) -> catalog.Series | None:
    named = [one for one in found if one.name == name]
    # Without a choice, what needs a look is shown first.
    return next(iter(named or sorted(found, key=lambda one: -one.missing)), None)


def _row(one: catalog.Series) -> dict[str, Any]:
    """Describe a series, and what a repair would have to fetch."""
    first = month_of(one.gaps[0][0] if one.gaps else one.first)
    last = month_of(one.gaps[-1][1] if one.gaps else one.last)
    expected = one.rows + one.missing
    return {
        "one": one,
        "first_at": moment(one.first),
        "last_at": moment(one.last),
        "percent": 100 * one.rows / expected,
        "repair_from": first,
        "repair_to": last,
        "can_repair": bool(one.gaps) and one.exchange == "binance",
    }


def _gap(gap: tuple[int, int, int]) -> dict[str, Any]:
    return {"begin_at": moment(gap[0]), "end_at": moment(gap[1]), "count": gap[2]}
