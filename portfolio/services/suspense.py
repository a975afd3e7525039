"""Explain a difference between ledger and exchange: a person says what it was."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from django.db import transaction

from portfolio.models import Account, LedgerAccount, LedgerTransaction
from portfolio.writers import accounts, alarms, audit
from portfolio.writers.flows import value_in_quote
from portfolio.writers.ledger import Journal
from trading.ledger import ZERO, Leg, Pocket, exactly, plain
from trading.settlement import SUSPENSE, UNALLOCATED

if TYPE_CHECKING:
    from django.contrib.auth.models import User


class UnableToExplain(Exception):
    """Raised when the explanation does not fit the difference; carries a reason code."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@exactly
def explain_suspense(
    *,
    account_id: int,
    asset: str,
    amount: Decimal,
    kind: str,
    by: User | None,
    reason: str,
    now: datetime,
    request_id: str = "",
) -> LedgerTransaction:
    """Attribute a difference to the operator: a deposit he made, or a withdrawal (amount above zero either way).

    When nothing is left in suspense the halt of entries ends.
    """
    if kind not in ("deposit", "withdrawal") or amount <= ZERO:
        raise UnableToExplain("SUSPENSE_KIND", "Say deposit or withdrawal, and an amount above zero.")
    signed = amount if kind == "deposit" else -amount
    with transaction.atomic():
        account = accounts.lock(account_id)
        journal = Journal(account, now=now, book_ids=())
        pocket, operator = Pocket(SUSPENSE, None, asset), Pocket(UNALLOCATED, None, asset)
        there = journal.balance(pocket)
        if there * signed <= ZERO or abs(signed) > abs(there):
            raise UnableToExplain(
                "SUSPENSE_AMOUNT", f"Suspense holds {plain(there)} {asset}; that is not a {kind} of {plain(amount)}."
            )
        if journal.balance(operator) + signed < ZERO:
            raise UnableToExplain(
                "CAPITAL_INSUFFICIENT",
                f"Only {plain(journal.balance(operator))} {asset} is unallocated: first lower a bot's share to free the rest.",
            )
        header = journal.post(
            kind="explained",
            reference=f"{asset}:{account.ledger_seq + 1}",
            legs=[Leg(pocket, -signed), Leg(operator, signed)],
            market_at=account.synced_through_at or now,
            facts={"kind": kind, "reason": reason},
        )
        journal.flush()
        accounts.add_flow(account, value_in_quote(account, asset, signed))
        alarms.follow_residuals(account, now=now)
        _lift_halt(account, now=now)
        accounts.changed(account)
        audit.record(
            action="suspense.explain",
            subject=f"account:{account.pk}",
            actor=by,
            before={"suspense": plain(there)},
            after={"kind": kind, "asset": asset, "amount": plain(amount), "reason": reason},
            now=now,
            request_id=request_id,
        )
        return header


def _lift_halt(account: Account, *, now: datetime) -> None:
    left = LedgerAccount.objects.filter(account=account, kind=SUSPENSE).exclude(balance=0).exists()
    if not left and account.state == Account.State.ENTRIES_HALTED and account.state_reason == accounts.RECONCILE_RESIDUAL:
        accounts.set_state(account, Account.State.ACTIVE, "", now=now)
