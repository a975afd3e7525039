"""Celery shells round the jobs of bots: doorbells only, every one safe to ring twice."""

from __future__ import annotations

import gc
from typing import Any

import structlog
from celery import shared_task
from celery.signals import worker_init, worker_ready
from django.utils import timezone

from bots import jobs

log = structlog.get_logger(__name__)

# No step takes this long; a hanging one must not hold a worker for ever.
SECONDS_MAX = 60
# A machine that has never run us compiles for minutes; that is not to be in the way of the first candles.
_REST_SECONDS = 600
_REST_AFTER_SECONDS = 60


@shared_task(name="bots.advance_account", queue="trading", time_limit=SECONDS_MAX, expires=600)
def advance_account(*, account_id: int, **_later: object) -> None:
    """Advance an account's bots over the candles that have closed."""
    try:
        jobs.advance_account(account_id=account_id, clock=timezone.now)
    except jobs.AccountKeepsChanging as error:
        log.warning("account.keeps_changing", account=account_id, error=str(error))


@shared_task(name="bots.sweep", queue="trading", time_limit=SECONDS_MAX, expires=30)
def sweep(**_later: object) -> None:
    """Find candles whose doorbell never rang."""
    jobs.sweep(clock=timezone.now)


@shared_task(name="bots.watch_drift", queue="trading", time_limit=SECONDS_MAX, expires=60)
def watch_drift(**_later: object) -> None:
    """Compare new fills with what backtests assume."""
    jobs.watch_drift(clock=timezone.now)


@shared_task(name="bots.warm_rest", queue="backtests", time_limit=_REST_SECONDS, expires=_REST_SECONDS)
def warm_rest(*, number: int = 0, **_later: object) -> None:
    """Compile the strategies that no bot of a newcomer runs, so that whoever needs one later finds it on the disk.

    One at a time: a backtest or a sweep that is asked for meanwhile comes in between.
    """
    if jobs.warm_next(number):
        warm_rest.delay(number=number + 1)


@worker_init.connect
def warm_first(sender: Any = None, **_facts: object) -> None:
    """Load compiled strategies in the worker's parent, before its pool forks: what the first bots need."""
    if str(getattr(sender, "hostname", "")).startswith("trading@"):
        jobs.warm_kernels(jobs.first_needed())
        # A full collection of all that is loaded takes a tenth of a second, and a candle may be waiting for it.
        gc.collect()
        gc.freeze()


@worker_ready.connect
def ask_for_the_rest(sender: Any = None, **_facts: object) -> None:
    """Have the other strategies compiled when the first candles are through."""
    if str(getattr(sender, "hostname", "")).startswith("trading@"):
        warm_rest.apply_async(countdown=_REST_AFTER_SECONDS)
