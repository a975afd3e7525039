"""The page of sub-accounts: all accounts of a family together, money moved between them, and what would even them out."""

from __future__ import annotations

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import ensure_csrf_cookie
from django.views.decorators.http import require_safe

from marketdata.models import Instrument
from tradeapp.pages.family_parts import gather
from tradeapp.pages.views import page_context
from trading.ledger import plain


@never_cache
@require_safe
@login_required
@ensure_csrf_cookie
def sub_accounts(request: HttpRequest) -> HttpResponse:
    """Show a master and its sub-accounts, and let an operator move money between them."""
    context = page_context(request, "sub_accounts")
    if context["account"] is not None:
        gather(request, context)
        account = context["account"]
        bases = Instrument.objects.filter(market=account.market_id).order_by("base").values_list("base", flat=True)
        # What stands in a field is sent as it is: no separators of thousands.
        limits = ((name, context["family"]["limits"][name]) for name in ("per_transfer", "per_day"))
        context["limits"] = {name: "" if amount is None else plain(amount) for name, amount in limits}
        context["assets"] = [account.quote_asset, *dict.fromkeys(bases)]
    return render(request, "pages/sub_accounts.html", context)
