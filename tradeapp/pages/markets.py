"""The pages of market data: markets with their feeds and filters, and sources beyond price."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Any, Final

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import ensure_csrf_cookie
from django.views.decorators.http import require_safe

from marketdata.models import Instrument
from marketdata.selectors import FiltersVersion, filters_history, markets_to_feed
from tradeapp.pages.formats import words
from tradeapp.pages.market_data import feeds, price_comparisons, source_lines
from tradeapp.pages.views import page_context
from trading.ledger import plain

INSTRUMENTS_SHOWN: Final = 100


@never_cache
@require_safe
@login_required
@ensure_csrf_cookie
def sources(request: HttpRequest) -> HttpResponse:
    """Show the sources beyond price, and the switch of each."""
    context = page_context(request, "sources")
    source_lines(request, context)
    return render(request, "pages/sources.html", context)


@never_cache
@require_safe
@login_required
@ensure_csrf_cookie
def markets(request: HttpRequest) -> HttpResponse:
    """Show feeds, what two exchanges ask for one coin, and instruments with their filters as they were and are."""
    context = page_context(request, "markets")
    found = Instrument.objects.filter(market__in=markets_to_feed()).select_related("market").order_by("market_id", "symbol")
    rows = list(found[:INSTRUMENTS_SHOWN])
    wanted = request.GET.get("instrument", "")
    chosen = next((row for row in rows if str(row.pk) == wanted), rows[0] if rows else None)
    context |= {
        "instruments": rows,
        "instruments_more": max(0, found.count() - len(rows)),
        "chosen": chosen,
        "versions": [_version(one) for one in filters_history(chosen.pk)] if chosen else [],
    }
    feeds(request, context)
    price_comparisons(request, context)
    return render(request, "pages/markets.html", context)


def _version(one: FiltersVersion) -> dict[str, Any]:
    changes = [
        {"name": words(name), "before": _amount(before), "after": _amount(after)} for name, (before, after) in one.changed.items()
    ]
    return {"version": one.version, "from_at": one.from_at, "in_force": one.in_force, "changes": changes}


def _amount(text: str) -> str:
    try:
        return plain(Decimal(text))
    except InvalidOperation:
        return text
