"""Watch whether real fills stay near what backtests assume (P7): an alarm begins and ends here, with its facts in the audit."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import structlog
from django.db import transaction

from bots import writers
from bots.models import Bot, BotDrift
from bots.selectors.drift import bots_to_look_at, drift
from portfolio.writers import audit
from trading.drift import begins_to_drift, why_no_drift

log = structlog.get_logger(__name__)


def watch_drift(*, clock: Callable[[], datetime]) -> list[int]:
    """Look at every bot that has new fills, or an alarm; answer those whose alarm began or ended. Safe to repeat."""
    return [bot_id for bot_id in bots_to_look_at() if _look(bot_id, clock())]


def _look(bot_id: int, now: datetime) -> bool:
    bot = Bot.objects.select_related("book__account").get(id=bot_id)
    with transaction.atomic():
        row = writers.drift_of(bot_id, now=now)
        found = drift(bot)
        figures = found.figures
        row.last_fill_id, row.waiting, row.orders = found.last_fill_id, found.waiting, figures.orders
        row.mean_bps, row.low_bps, row.high_bps, row.looked_at = figures.mean, figures.low, figures.high, now
        reason = why_no_drift(figures) if row.is_alarmed else ""
        begins = not row.is_alarmed and begins_to_drift(figures)
        if begins:
            row.alarmed_at, row.cleared_at, row.clear_reason = now, None, ""
        elif reason:
            row.cleared_at, row.clear_reason = now, reason
        if begins or reason:
            _record("drift.alarm" if begins else "drift.clear", row, reason, now)
        writers.save_drift(row)
    return bool(begins or reason)


def _record(action: str, row: BotDrift, reason: str, now: datetime) -> None:
    facts: dict[str, Any] = {name: getattr(row, name) for name in ("orders", "mean_bps", "low_bps", "high_bps")}
    audit.record(action=action, subject=f"bot:{row.bot_id}", after=facts | ({"reason": reason} if reason else {}), now=now)
    log.warning(action, bot=row.bot_id, reason=reason, **facts)
