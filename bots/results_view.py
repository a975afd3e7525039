"""A bot's results in R and what became of its orders, as API and page show them: one reading, so that they agree."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from bots.models import Bot
from portfolio.selectors import results
from strategies import registry
from trading.fill_ratios import order_figures
from trading.trade_figures import risk_figures


def results_view(bot: Bot) -> dict[str, Any]:
    """Measure a bot's newest trades in R, and count how its newest orders ended: seven queries at most."""
    closed = results.newest_trips(bot.book, is_grid=registry.is_grid(bot.strategy), fills_max=results.FILLS_MAX)
    placed = results.newest_orders(bot.book_id, orders_max=results.ORDERS_MAX)
    prices = results.last_prices(placed.tallies, bot.book.account.market_id)
    return {
        "bot": bot.pk,
        "trades": len(closed.trips),
        "fills": closed.fills,
        "fills_from": closed.since,
        "fills_are_cut": closed.is_cut,
        "in_r": asdict(risk_figures(closed.trips)),
        "orders_seen": placed.looked_at,
        "orders_from": placed.since,
        "orders_are_cut": placed.is_cut,
        "orders": order_figures(placed.tallies, prices),
    }
