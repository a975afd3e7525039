"""Find bots whose doorbell never rang, and keep what the stack needs warm."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import structlog

from bots.jobs.advance import AccountKeepsChanging, advance_account
from bots.jobs.due import has_work
from portfolio.models import Account

log = structlog.get_logger(__name__)


def sweep(*, clock: Callable[[], datetime]) -> list[int]:
    """Advance every account with work left undone, and answer which ones those were; safe to repeat."""
    behind = []
    for account in Account.objects.filter(is_enabled=True, synced_through_at__isnull=False).order_by("id"):
        assert account.synced_through_at is not None
        if not has_work(account.pk, account.synced_through_at):
            continue
        behind.append(account.pk)
        try:
            advance_account(account_id=account.pk, clock=clock)
        except AccountKeepsChanging:
            log.warning("account.keeps_changing", account=account.pk)
    if behind:
        log.info("sweep.found_work", accounts=behind)
    return behind
