"""The page of arbitrage: pairs of bots on two accounts, what they trade, and a form to make one."""

from __future__ import annotations

from itertools import combinations

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import ensure_csrf_cookie
from django.views.decorators.http import require_safe

from bots.services.pairs import STRATEGY
from portfolio.models import Account
from portfolio.selectors import lists
from strategies import registry
from tradeapp.pages.pair_parts import gather
from tradeapp.pages.views import page_context
from trading.bars import INTERVALS


@never_cache
@require_safe
@login_required
@ensure_csrf_cookie
def arbitrage(request: HttpRequest) -> HttpResponse:
    """Show every pair of bots as two sides next to each other, and let an operator make one."""
    context = page_context(request, "arbitrage")
    if context["account"] is not None:
        gather(request, context)
        accounts = list(lists.accounts().filter(is_enabled=True).order_by("id"))
        bots = [pair[side]["bot"] for pair in context["pairs"] for side in ("leader", "follower")]
        context |= {
            "accounts": accounts,
            "suited": _suited(accounts),
            "intervals": list(INTERVALS),
            "fields": registry.schema(STRATEGY),
            "stream_topics": " ".join([context["stream_topics"], *(f"bot:{bot}" for bot in bots)]),
        }
    return render(request, "pages/arbitrage.html", context)


def _suited(accounts: list[Account]) -> tuple[Account, Account] | None:
    """Answer the first two accounts between which a coin can be traded; the service has the last word."""
    for home, away in combinations(accounts, 2):
        if home.market_id != away.market_id and (home.mode, home.quote_asset) == (away.mode, away.quote_asset):
            return home, away
    return None
