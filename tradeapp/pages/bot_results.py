"""The part of a bot's page that tells its results in R and what became of its orders."""

from __future__ import annotations

from typing import Any

from django.http import Http404, HttpRequest

from backtests.reports.rows import in_r, orders_filled
from bots.results_view import results_view
from strategies import registry


def results(_request: HttpRequest, context: dict[str, Any]) -> None:
    """Lay out a bot's results in the words of a backtest's report."""
    if "line" not in context:
        raise Http404("Whose results?")
    bot = context["line"].bot
    found = results_view(bot)
    context |= {
        "results": found,
        "in_r_rows": in_r({**found["in_r"], "trades": found["trades"]}) if found["trades"] else [],
        "order_rows": orders_filled(found["orders"]) if found["orders"]["orders"] or found["orders"]["stops"] else [],
        "is_grid": registry.is_grid(bot.strategy),
    }


PARTS = {"results": results}
