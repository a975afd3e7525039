"""Ring the floors above: what the feed and the trader tell, and who hears it. Imported once, when Django is ready."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import partial
from typing import Any, Final, TypeVar

import structlog
from celery import current_app
from django.conf import settings
from django.core.cache import cache
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from exchange import quota, silence
from marketdata import doorbells as market_doorbells
from marketdata.quota import DatabaseCounter
from portfolio import doorbells as account_doorbells
from portfolio.jobs.silence import DatabaseBoard
from portfolio.models import Account
from portfolio.writers.accounts import wake_trader
from strategies import sources
from strategies.sources import Source
from stream.errands import Errands
from stream.publish import publish_on_commit
from tradeapp import heartbeats

log = structlog.get_logger(__name__)

Bell = TypeVar("Bell")

DOORBELLS: Final = Errands("doorbells")

ADVANCE = "bots.advance_account"
ADVANCE_TRIAL = "trials.advance"
# A doorbell that nobody answered for so long is for a candle long gone; the sweep finds its work.
DOORBELL_SECONDS = 120
# Whoever rings again after this has a reason to.
ONCE_SECONDS = 2


def register() -> None:
    """Connect the doorbells and the users' own strategies; safe to repeat."""
    sources.register(own_strategies)
    _hang(account_doorbells.on_synced, advance_when_synced)
    _hang(account_doorbells.due_bots_done, bots_are_done)
    # After the bots: a turn is over when its last candle is stepped and drawn.
    _hang(account_doorbells.due_bots_done, trials_are_done)
    _hang(account_doorbells.mode_held, mode_held_by_a_trial)
    _hang(account_doorbells.mode_held, mode_held_by_a_pair)
    _hang(market_doorbells.on_bars, bars_came)
    _hang(market_doorbells.on_marks, marks_came)
    _hang(market_doorbells.on_beat, feed_beats)
    if settings.TRADEAPP_PROCESS.startswith(("trader", "feed")):
        silence.hang(DatabaseBoard())
        quota.hang(DatabaseCounter())


def own_strategies() -> Source:
    """Look for users' own strategies in their folder."""
    # Imported late: it loads numba, which most processes never need.
    from plugins.source import FolderSource

    return FolderSource(lambda: settings.STRATEGIES_DIR)


def advance_when_synced(*, account_id: int, market_at: datetime) -> None:
    """Have bots advance once the account is synced; if their candles are late, the feed rings instead."""
    if _is_ready(account_id, market_at):
        _ring(account_id, market_at)


def bars_came(*, market_id: int, market_at: datetime) -> None:
    """Wake the traders of a market, and have bots advance where the account is synced already."""
    accounts = dict(Account.objects.filter(market_id=market_id, is_enabled=True).values_list("id", "synced_through_at"))
    for account_id, synced_at in accounts.items():
        # Trader and feed both commit first and look second, so at least one of them sees the other.
        if synced_at is not None and synced_at >= market_at and _is_ready(account_id, synced_at):
            _ring(account_id, synced_at)
    # A trader that is synced has nothing to do with the news but to look; the bots' orders come first.
    for account_id in accounts:
        wake_trader(account_id, "bars")


def bots_are_done(*, account_id: int, market_at: datetime) -> bool:
    """Say whether the market may go on."""
    from bots.jobs.due import is_settled

    return is_settled(account_id, market_at)


def trials_are_done(*, account_id: int, market_at: datetime) -> bool:
    """Say whether the market may go on, and have a trial take its step if it may not."""
    from trials.selectors import is_due

    if not is_due(account_id, market_at):
        return True
    _ring(account_id, market_at, ADVANCE_TRIAL)
    return False


def mode_held_by_a_trial(*, account_id: int) -> account_doorbells.Hold | None:
    """Say that a trial decides who trades."""
    from trials.selectors import holding

    found = holding(account_id)
    if found is None:
        return None
    message = f"Trial {found.pk} decides who trades until it is over: cancel it first (trial cancel {found.pk})."
    return account_doorbells.Hold(found.holder, "MODE_TRIAL_RUNNING", message)


def mode_held_by_a_pair(*, account_id: int) -> account_doorbells.Hold | None:
    """Say that a pair of bots needs both of its sides at all times."""
    from bots.selectors import running_pair

    bot = running_pair(account_id)
    if bot is None:
        return None
    message = f"{bot.name} trades on this account and on another at once: stop it before bots take turns."
    return account_doorbells.Hold(f"pair {bot.pk}", "MODE_PAIR_RUNNING", message)


def marks_came(market_id: int) -> None:
    """Tell the browsers that what is held is worth something else now."""
    for account_id, version in Account.objects.filter(market_id=market_id, is_enabled=True).values_list("id", "version"):
        publish_on_commit("portfolio", "marks", {"account": account_id}, seq=version, can_wait=True)


def feed_beats(*, market_id: int, facts: Mapping[str, Any]) -> None:
    """Show that a feed is alive."""
    process = settings.TRADEAPP_PROCESS
    name = process if process.startswith("feed") else f"feed {market_id}"
    heartbeats.record(process=name, facts=facts)


def _hang(bells: list[Bell], ring: Bell) -> None:
    if ring not in bells:
        bells.append(ring)


def _is_ready(account_id: int, market_at: datetime) -> bool:
    # Imported late: it loads numba, which most processes never need.
    from bots.jobs.due import is_ready

    return is_ready(account_id, market_at)


def _ring(account_id: int, market_at: datetime, task: str = ADVANCE) -> None:
    # Traders ring too, and no order waits for a broker.
    DOORBELLS.leave(partial(_send, account_id, market_at, task))


def _send(account_id: int, market_at: datetime, task: str) -> None:
    try:
        # Where both saw each other, one of them is enough.
        if not cache.add(f"rung:{task}:{account_id}:{market_at.isoformat()}", 1, timeout=ONCE_SECONDS):
            return
        current_app.send_task(task, kwargs={"account_id": account_id}, queue="trading", expires=DOORBELL_SECONDS, retry=False)
    except (OperationalError, RedisError) as error:
        # Rows are the queue: without a broker the sweep finds the work when it is back.
        log.warning("doorbell.not_rung", account=account_id, error=str(error))
