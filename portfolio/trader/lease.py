"""The right to trade an account: a row with an epoch that only grows, and every write checks it."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Final

import psutil
from django.db import transaction

from marketdata.sql import rows
from portfolio.models import Account, Lease
from portfolio.writers import accounts

LEASE_SECONDS: Final = 12
RENEW_SECONDS: Final = 2.0


class LeaseHeld(Exception):
    """Raised when another trader that may be alive holds the lease."""


class LeaseLost(Exception):
    """Raised when the epoch has moved on: somebody else trades this account now."""


def acquire(account_id: int, *, now: datetime) -> int:
    """Take the lease and answer its new epoch; the account's lock keeps every older write on one side of it."""
    with transaction.atomic():
        accounts.lock(account_id)
        lease, _ = Lease.objects.get_or_create(name=_name(account_id), defaults={"expires_at": now})
        # A session of this very process that could not release it, because the database was gone, is over.
        if lease.expires_at > now and lease.holder != holder() and not _is_dead(lease.holder):
            raise LeaseHeld(f"{lease.holder} trades account {account_id} until {lease.expires_at:%H:%M:%S}.")
        lease.holder, lease.epoch = holder(), lease.epoch + 1
        lease.expires_at = now + timedelta(seconds=LEASE_SECONDS)
        lease.save()
        return lease.epoch


def renew(account_id: int, epoch: int, *, now: datetime) -> None:
    """Keep the lease."""
    mine = Lease.objects.filter(name=_name(account_id), epoch=epoch)
    if not mine.update(expires_at=now + timedelta(seconds=LEASE_SECONDS)):
        raise LeaseLost(f"Account {account_id} is traded by another process now.")


def release(account_id: int, epoch: int, *, now: datetime) -> None:
    """Let the next trader begin at once."""
    Lease.objects.filter(name=_name(account_id), epoch=epoch).update(expires_at=now, holder="")


@contextmanager
def fenced(account_id: int, epoch: int) -> Iterator[Account]:
    """Open a money transaction that a trader with an old epoch cannot enter."""
    with transaction.atomic():
        account = accounts.lock(account_id)
        if not _is_mine(account_id, epoch):
            raise LeaseLost(f"Account {account_id} is traded by another process now.")
        yield account


def holder() -> str:
    """Name this process so that another one on this machine can tell whether it still lives."""
    process = psutil.Process()
    return f"{socket.gethostname()[:32]}/{os.getpid()}/{int(process.create_time())}"


def _is_dead(name: str) -> bool:
    """Say whether a holder on this machine is gone; of other machines only the clock can tell."""
    host, _, rest = name.partition("/")
    number, _, began = rest.partition("/")
    if not name:
        return True
    if host != socket.gethostname()[:32] or not number.isdigit():
        return False
    try:
        process = psutil.Process(int(number))
        is_same = str(int(process.create_time())) == began
        return not is_same or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def _is_mine(account_id: int, epoch: int) -> bool:
    # A statement of its own, after the account's lock: together with it, it would see the lease as it was before the wait.
    return bool(rows("SELECT 1 FROM portfolio_lease WHERE name = %s AND epoch = %s", _name(account_id), epoch))


def _name(account_id: int) -> str:
    return f"trader:{account_id}"
