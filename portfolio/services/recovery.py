"""Let a trader that stays down trade again: a person has looked at why."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from django.db import transaction

from portfolio.models import Account, TraderStart
from portfolio.writers import accounts, audit

if TYPE_CHECKING:
    from django.contrib.auth.models import User

# Halts that only a person ends; all others end by themselves when their reason is gone.
BY_A_PERSON = (
    "CRASH_LOOP", "LEDGER_BROKEN", "ORDER_ADOPTED", "ORDER_NOT_ON_RECORD", "FOREIGN_INSTANCE", "KEY_INVALID", "EXCHANGE_RESET",
    "ACCOUNT_NOT_OURS",
)  # fmt: skip


class UnableToResume(Exception):
    """Raised when there is nothing that a person could end; carries a reason code."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def resume_trading(account_id: int, *, by: User | None, reason: str, now: datetime, request_id: str = "") -> Account:
    """End a halt that waits for a person; what is unexplained in the ledger still halts entries."""
    with transaction.atomic():
        account = accounts.lock(account_id)
        if account.state_reason not in BY_A_PERSON:
            raise UnableToResume(
                "NOT_HALTED", f"Account {account.name} is {account.state} {account.state_reason}: nothing to end."
            )
        before = {"state": account.state, "reason": account.state_reason}
        # Lives that were looked at count no more.
        TraderStart.objects.filter(account=account, ended_at__isnull=True).update(ended_at=now)
        accounts.lift_halt(account, now=now)
        audit.record(
            action="account.resume",
            subject=f"account:{account.pk}",
            actor=by,
            before=before,
            after={"reason": reason},
            now=now,
            request_id=request_id,
        )
        accounts.wake_trader(account.pk, "kill")
        return account
