"""Celery shells round the jobs of bots: doorbells only, every one safe to ring twice."""

from __future__ import annotations

from typing import Any

import structlog
from celery import shared_task
from celery.signals import worker_init
from django.utils import timezone

from bots import jobs

log = structlog.get_logger(__name__)

# No step takes this long; a hanging one must not hold a worker for ever.
SECONDS_MAX = 60


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


@worker_init.connect
def warm_kernels(sender: Any = None, **_facts: object) -> None:
    """Load compiled strategies in the worker's parent, before its pool forks."""
    if str(getattr(sender, "hostname", "")).startswith("trading@"):
        jobs.warm_kernels()
