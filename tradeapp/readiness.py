"""Whether a person can sign in and the bots run: what `ready` answers and the health bar shows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.contrib.auth.models import User
from django.db.models import Q

from bots.models import Bot
from portfolio.models import Account, Heartbeat
from portfolio.writers.accounts import RESTORED

FRESH_FOR: Final = timedelta(seconds=15)


@dataclass(frozen=True, slots=True)
class Sign:
    """The sign of life of a process that should run."""

    process: str
    beat_at: datetime | None
    is_fresh: bool


def signs(*, now: datetime) -> list[Sign]:
    """Return the sign of life of every process that accounts in use need."""
    accounts = list(Account.objects.filter(is_enabled=True).order_by("id").values_list("id", "market_id"))
    if not accounts:
        return []
    wanted = [f"trader {account}" for account, _ in accounts]
    wanted += [f"feed {market}" for market in sorted({market for _, market in accounts})]
    wanted.append("worker trading")
    # Floors below name the same rows with a colon.
    beats = {row.process.replace(":", " "): row.beat_at for row in Heartbeat.objects.all()}
    return [Sign(name, beats.get(name), _is_fresh(beats.get(name), now)) for name in wanted]


def reasons(*, now: datetime) -> list[str]:
    """Return what is missing before people can work; empty when all is well."""
    missing = [f"{sign.process} gives no sign of life" for sign in signs(now=now) if not sign.is_fresh]
    if not User.objects.filter(is_active=True).exists():
        missing.append("nobody can sign in yet")
    accounts = Account.objects.filter(is_enabled=True)
    missing += [f"account {account.name} is recovering" for account in accounts.filter(state=Account.State.STARTING)]
    restored = accounts.filter(state=Account.State.HALTED, state_reason=RESTORED)
    missing += [f"account {account.name} was restored: `manage.py reopen` lets it trade again" for account in restored]
    waiting = Bot.objects.filter(book__account__in=accounts, status=Bot.Status.RUNNING, bar_closed_at=None)
    missing += [f"bot {bot.name} is warming up" for bot in waiting.filter(~Q(strategy=""))]
    return missing


def _is_fresh(beat_at: datetime | None, now: datetime) -> bool:
    return beat_at is not None and now - beat_at <= FRESH_FOR
