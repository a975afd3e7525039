"""The page of modes: who trades now and why, who comes next, a week to draw, and what each hour has earned."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import ensure_csrf_cookie
from django.views.decorators.http import require_safe

from bots.mode_view import EarnedRow, earned_rows, hand_over_view, mode_view
from bots.services import even_rotation
from portfolio.models import Account
from portfolio.selectors import modes as reading
from tradeapp.pages.reading import BotLine
from tradeapp.pages.views import page_context

LISTED = 8


@never_cache
@require_safe
@login_required
@ensure_csrf_cookie
def modes(request: HttpRequest) -> HttpResponse:
    """Show who trades when, and let an operator change it."""
    context = page_context(request, "modes")
    if context["account"] is not None:
        context |= mode_facts(context["account"], context["lines"])
    return render(request, "pages/modes.html", context)


def mode_facts(account: Account, lines: list[BotLine]) -> dict[str, Any]:
    """Gather what the page says of an account."""
    bots = [line.bot for line in lines]
    names = {bot.book_id: bot.name for bot in bots}
    view = mode_view(account)
    earned = earned_rows(account, bots, zone=view["zone"])
    return {
        "mode": view,
        "week": {
            "rotation": view["rotation"] or (even_rotation(bots) if bots else ""),
            "bots": [{"key": line.bot.key, "name": line.bot.name, "colour": line.colour} for line in lines],
        },
        "hand_overs": [hand_over_view(row, names) for row in reading.hand_overs(account.pk, limit=LISTED)],
        "versions": reading.versions(account.pk, limit=LISTED),
        "earned": earned,
        "has_earned": any(_has_traded(row) for row in earned),
        "hours": range(24),
    }


def _has_traded(row: EarnedRow) -> bool:
    return any(made is not None for made in row.hours)
