"""What a trader's process leaves behind for its next life: how it began and ended, and how far the books had come."""

from __future__ import annotations

import gc
import json
import os
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Final

import structlog
from django.conf import settings
from django.db import transaction

from portfolio.models import Account, LedgerTransaction, TraderStart
from portfolio.writers import accounts

log = structlog.get_logger()
CRASH_LOOP: Final = "CRASH_LOOP"
# So many lives that ended without a word, each soon after it began, are a loop (C23).
CRASHES_MAX: Final = 5
_WITHIN: Final = timedelta(minutes=5)
_SHORT: Final = timedelta(seconds=60)
# A drill that kills on purpose allows for more.
_VARIABLE: Final = "TRADER_CRASHES_MAX"


def settle_memory() -> None:
    """Have collections look no more at what is loaded by now; what an earlier session has left is collected first.

    A full collection of a process that has loaded so much takes a tenth of a second, and an order may be waiting for it.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()


def begin(account_id: int, process: str, *, now: datetime) -> int:
    """Note that a life begins; after too many short ones the account is halted until a person has looked."""
    with transaction.atomic():
        account = accounts.lock(account_id)
        start = TraderStart.objects.create(account=account, process=process, began_at=now)
        crashes = _crashes(account_id, now=now)
        if crashes >= int(os.environ.get(_VARIABLE, CRASHES_MAX)):
            log.error("trader.crash_loop", account=account_id, crashes=crashes)
            accounts.set_state(account, Account.State.HALTED, CRASH_LOOP, now=now)
        return start.pk


def end(start_id: int, *, now: datetime) -> None:
    """Note a clean end."""
    TraderStart.objects.filter(id=start_id).update(ended_at=now)


def is_safe_mode(account_id: int) -> bool:
    """Say whether nothing may be sent but what a person asks for."""
    return Account.objects.filter(id=account_id, state=Account.State.HALTED, state_reason=CRASH_LOOP).exists()


def mark_head(account_id: int) -> None:
    """Write outside of the database how far the journal has come, so that an older copy of it is recognised (D09)."""
    seq, head = Account.objects.values_list("ledger_seq", "ledger_hash").get(id=account_id)
    file = _marker(account_id)
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_suffix(".new")
    draft.write_text(json.dumps({"seq": seq, "hash": head}), encoding="utf-8")
    draft.replace(file)


def is_older_than_marked(account_id: int) -> bool:
    """Say whether the journal does not contain what this machine has seen of it: then it is a copy of earlier days."""
    try:
        marked = json.loads(_marker(account_id).read_text(encoding="utf-8"))
        seq, head = int(marked["seq"]), str(marked["hash"])
    except FileNotFoundError:
        return False
    except (ValueError, KeyError, TypeError) as error:
        # It is written in one piece: a marker that cannot be read was not left by us.
        log.warning("ledger.marker_unreadable", account=account_id, error=str(error))
        return False
    there = LedgerTransaction.objects.filter(account=account_id, seq=seq).values_list("hash", flat=True).first()
    return seq > 0 and there != head


def _crashes(account_id: int, *, now: datetime) -> int:
    """Count the short lives of the last minutes that ended without a word, the newest begun one left out."""
    rows = TraderStart.objects.filter(account=account_id, began_at__gt=now - _WITHIN).order_by("id")
    return sum(before.ended_at is None and after.began_at - before.began_at < _SHORT for before, after in pairwise(rows))


def _marker(account_id: int) -> Path:
    return Path(settings.TRADEAPP_DATA_DIR) / "ledger-heads" / f"{account_id}.json"
