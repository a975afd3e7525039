"""Find bots whose doorbell never rang, and keep what the stack needs warm."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from typing import Final

import structlog

from bots.jobs.advance import AccountKeepsChanging, advance_account
from bots.jobs.due import has_work
from portfolio.models import Account

log = structlog.get_logger(__name__)

# An answer that takes longer than this is none.
PATIENCE_SECONDS: Final = 1.0


def _be_patient() -> None:
    time.sleep(PATIENCE_SECONDS)


def sweep(*, clock: Callable[[], datetime], wait: Callable[[], None] = _be_patient) -> list[int]:
    """Advance every account with work left undone, and answer which ones those were; safe to repeat."""
    synced = Account.objects.filter(is_enabled=True, synced_through_at__isnull=False).order_by("id")
    waiting = [(pk, at) for pk, at in synced.values_list("id", "synced_through_at") if at is not None and has_work(pk, at)]
    if not waiting:
        return []
    # A bell that was rung a moment ago is being answered: to step twice would keep the orders of the first waiting.
    wait()
    behind = [pk for pk, at in waiting if has_work(pk, at)]
    for account_id in behind:
        try:
            advance_account(account_id=account_id, clock=clock)
        except AccountKeepsChanging:
            log.warning("account.keeps_changing", account=account_id)
    if behind:
        log.info("sweep.found_work", accounts=behind)
    return behind
