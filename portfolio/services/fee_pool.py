"""Keep the pool that pays fees in a third asset filled."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from django.db import transaction

from portfolio.models import LedgerTransaction
from portfolio.writers import accounts, audit
from portfolio.writers.ledger import Journal
from trading.ledger import ZERO, Leg, Pocket, exactly, plain
from trading.settlement import FEE_POOL, UNALLOCATED

if TYPE_CHECKING:
    from django.contrib.auth.models import User


class UnableToFund(Exception):
    """Raised when the operator does not have what the pool is to get; carries a reason code."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@exactly
def fund_fee_pool(
    *, account_id: int, asset: str, amount: Decimal, by: User | None, now: datetime, request_id: str = ""
) -> LedgerTransaction:
    """Move unallocated money into the fee pool; an amount below zero takes it back."""
    with transaction.atomic():
        account = accounts.lock(account_id)
        journal = Journal(account, now=now, book_ids=())
        operator, pool = Pocket(UNALLOCATED, None, asset), Pocket(FEE_POOL, None, asset)
        payer = operator if amount > ZERO else pool
        if abs(amount) > journal.balance(payer):
            there = plain(journal.balance(payer))
            raise UnableToFund("CAPITAL_INSUFFICIENT", f"There is only {there} {asset} to move.")
        header = journal.post(
            kind="fee_pool",
            reference=f"{asset}:{account.ledger_seq + 1}",
            legs=[Leg(operator, -amount), Leg(pool, amount)],
            market_at=account.synced_through_at or now,
        )
        journal.flush()
        accounts.changed(account)
        audit.record(
            action="fee_pool.fund",
            subject=f"account:{account.pk}",
            actor=by,
            after={"asset": asset, "amount": plain(amount)},
            now=now,
            request_id=request_id,
        )
        return header
