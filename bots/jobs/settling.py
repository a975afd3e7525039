"""What a step of bots leaves to be done: claims, halts, and a point of the equity curve."""

from __future__ import annotations

from datetime import datetime

import structlog

from bots import writers
from bots.jobs.due import DueBot, equity_due_at
from bots.jobs.stepping import Failed
from bots.models import Bot
from portfolio.jobs.equity import record_equity
from portfolio.models import Account
from portfolio.writers import audit

log = structlog.get_logger(__name__)


def claim_of(due: DueBot, bot: Bot) -> writers.Claim:
    """Say which candles of a bot are taken."""
    return writers.Claim(bot.pk, bot.bar_closed_at, due.closes[-1])


def halt(answer: Failed, bot: Bot, *, now: datetime) -> None:
    """Halt a bot that cannot go on, until a person has looked."""
    log.error("bot.halted", bot=bot.pk, reason=answer.reason)
    before = {"status": bot.status}
    writers.change(bot, status=Bot.Status.HALTED, status_reason=answer.reason[:200])
    audit.record(action="bot.halt", subject=f"bot:{bot.pk}", before=before, after={"reason": answer.reason[:200]}, now=now)


def draw_equity(account: Account, *, now: datetime) -> None:
    """Draw a point of the equity curve for each closed candle of the base interval, bots or none.

    After the decisions are committed, because the trader is already at work on them and a point keeps no order waiting;
    a paced market waits for it. The figures are read at once, before the first of those orders can have filled.
    """
    assert account.synced_through_at is not None
    market_at = equity_due_at(account.pk, account.synced_through_at)
    if market_at is not None:
        record_equity(account_id=account.pk, market_at=market_at, now=now)
