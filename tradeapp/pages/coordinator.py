"""The coordinator's page: who holds which capital, who was refused, and why a bot is not trading."""

from __future__ import annotations

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import ensure_csrf_cookie
from django.views.decorators.http import require_safe

from tradeapp.pages.coordinator_parts import PARTS
from tradeapp.pages.views import page_context


@never_cache
@require_safe
@login_required
@ensure_csrf_cookie
def coordinator(request: HttpRequest) -> HttpResponse:
    """Show what the coordinator holds and has refused."""
    context = page_context(request, "coordinator")
    if context["account"] is not None:
        for gather in PARTS.values():
            gather(request, context)
    return render(request, "pages/coordinator.html", context)
