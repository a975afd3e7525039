"""The allocation page: shares as they are, the form that changes them, and every version there was."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import ensure_csrf_cookie
from django.views.decorators.http import require_safe

from bots.lineups import SHIPPED
from portfolio.allocations_view import allocations_view, versions_view
from portfolio.models import Book
from portfolio.selectors.allocations import versions
from tradeapp.pages.views import page_context

LISTED = 20
SCHEDULES = ((0, "never"), (1, "hour"), (4, "4 hours"), (24, "day"), (168, "week"), (672, "4 weeks"))


@never_cache
@require_safe
@login_required
@ensure_csrf_cookie
def allocation(request: HttpRequest) -> HttpResponse:
    """Show and edit how the account is shared."""
    context = page_context(request, "allocation")
    if context["account"] is not None:
        context |= _shares(context)
    return render(request, "pages/allocation.html", context)


def _shares(context: dict[str, Any]) -> dict[str, Any]:
    account = context["account"]
    names = dict(Book.objects.filter(account=account).values_list("id", "name"))
    shares = allocations_view(context["worth"])
    hours = shares["policy"]["rebase_hours"]
    known = dict(SCHEDULES)
    return {
        "shares": shares,
        "schedules": sorted((known | {hours: known.get(hours, f"{hours} hours")}).items()),
        "lineups": list(SHIPPED),
        "versions": versions_view(versions(account_id=account.pk, cursor=None, limit=LISTED), names),
    }
