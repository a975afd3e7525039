"""A bot's drift as API and page show it: one reading, so that they agree."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from bots.models import Bot, BotDrift
from bots.selectors.drift import SPAN, Execution, drift
from trading.drift import LIMIT_BPS, ORDERS_MIN


def drift_view(bot: Bot, *, orders: int) -> dict[str, Any]:
    """Say how far the bot's newest orders lie from their model, day by day, the newest of them, and what is alarmed."""
    found = drift(bot)
    row = BotDrift.objects.filter(bot=bot).first() or BotDrift(bot=bot)
    return {
        "bot": bot.pk,
        "limit_bps": LIMIT_BPS,
        "orders_min": ORDERS_MIN,
        "span_days": SPAN.days,
        "figures": asdict(found.figures),
        "gaps": found.gaps,
        "is_alarmed": row.is_alarmed,
        "alarmed_at": row.alarmed_at,
        "cleared_at": row.cleared_at,
        "clear_reason": row.clear_reason,
        "days": [{"day": day, **asdict(figures)} for day, figures in found.days.items()],
        "orders": [_order(one) for one in found.executions[:orders]],
    }


def _order(one: Execution) -> dict[str, Any]:
    return {
        "order": one.order_id,
        "symbol": one.symbol,
        "side": one.side,
        "type": one.type,
        "reason": one.reason,
        "traded_at": one.traded_at,
        "fills": one.fills,
        "quantity": one.quantity,
        "price": one.price,
        "model_price": one.model,
        "tick_size": one.tick_size,
        "shortfall_bps": None if one.shortfall is None else one.shortfall.bps,
        "gap": one.gap,
    }
