"""The page of alarms: what happened that a person must have seen."""

from __future__ import annotations

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import ensure_csrf_cookie
from django.views.decorators.http import require_safe

from tradeapp.pages.alarm_parts import PARTS
from tradeapp.pages.views import page_context


@never_cache
@require_safe
@login_required
@ensure_csrf_cookie
def alarms(request: HttpRequest) -> HttpResponse:
    """Show what nobody has acknowledged yet, or everything."""
    context = page_context(request, "alarms")
    for gather in PARTS.values():
        gather(request, context)
    return render(request, "pages/alarms.html", context)
