"""Move money between a master account and its sub-accounts: within limits, and only what no bot owns."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from django.db import transaction
from django.db.models import Sum

from portfolio.models import Account, AccountTransfer, LedgerAccount
from portfolio.writers import accounts, audit, transfers
from portfolio.writers.flows import value_in_quote
from trading.ledger import UNIT, ZERO, exactly, plain

if TYPE_CHECKING:
    from django.contrib.auth.models import User

DAY: Final = timedelta(hours=24)
State = AccountTransfer.State


class UnableToTransfer(Exception):
    """Raised when a transfer is refused; carries a reason code."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@exactly
def request_transfer(
    *,
    sender_id: int,
    receiver_id: int,
    asset: str,
    amount: Decimal,
    by: User | None,
    now: datetime,
    reason: str = "",
) -> AccountTransfer:
    """Write a transfer down; the master's trader sends it, once, and reads what became of it."""
    with transaction.atomic():
        master_id = _master_of(sender_id, receiver_id)
        family = transfers.lock_family(master_id, sender_id, receiver_id)
        master, sender, receiver = (family[number] for number in (master_id, sender_id, receiver_id))
        _demand_amount(sender, asset, amount)
        value = value_in_quote(sender, asset, amount)
        if value <= ZERO:
            raise UnableToTransfer("TRANSFER_UNPRICED", f"Nobody knows what {asset} is worth, so no limit can hold it.")
        _demand_limits(master, value, now=now)
        row = AccountTransfer(
            master=master,
            sender=sender,
            receiver=receiver,
            asset=asset,
            amount=amount,
            value=value,
            requested_by=by,
            reason=reason[:200],
        )
        transfers.record(row, now=now)
        audit.record(
            action="transfer.request",
            subject=f"transfer:{row.pk}",
            actor=by,
            after={"from": sender.name, "to": receiver.name, "asset": asset, "amount": plain(amount), "reason": reason[:200]},
            now=now,
        )
        return row


@exactly
def set_transfer_limits(
    *, account_id: int, per_transfer: Decimal | None, per_day: Decimal | None, by: User | None, now: datetime
) -> Account:
    """Set how much a transfer may move, and all transfers of 24 hours together; without limits nothing moves."""
    with transaction.atomic():
        master = accounts.lock(account_id)
        if master.master_id is not None:
            raise UnableToTransfer("TRANSFER_NOT_MASTER", f"{master.name} is a sub-account: limits belong to its master.")
        if any(limit is not None and limit <= ZERO for limit in (per_transfer, per_day)):
            raise UnableToTransfer("TRANSFER_LIMIT", "A limit is an amount above zero.")
        before = {"per_transfer": str(master.transfer_max), "per_day": str(master.transfer_max_day)}
        master.transfer_max, master.transfer_max_day = per_transfer, per_day
        accounts.changed(master, "transfer_max", "transfer_max_day")
        audit.record(
            action="transfer.limits",
            subject=f"account:{master.pk}",
            actor=by,
            before=before,
            after={"per_transfer": str(per_transfer), "per_day": str(per_day)},
            now=now,
        )
        return master


def _master_of(sender_id: int, receiver_id: int) -> int:
    """Answer the master of both; accounts of different families, markets or modes have no way between them."""
    found = {account.pk: account for account in Account.objects.filter(id__in=(sender_id, receiver_id))}
    if sender_id == receiver_id or len(found) < 2:
        raise UnableToTransfer("TRANSFER_SAME_ACCOUNT", "Name two different accounts.")
    sender, receiver = found[sender_id], found[receiver_id]
    masters = {account.master_id or account.pk for account in (sender, receiver)}
    if len(masters) > 1:
        raise UnableToTransfer("TRANSFER_STRANGERS", f"{sender.name} and {receiver.name} have no master in common.")
    if (sender.market_id, sender.mode) != (receiver.market_id, receiver.mode):
        raise UnableToTransfer("TRANSFER_STRANGERS", f"{sender.name} and {receiver.name} are not on one market.")
    return masters.pop()


def _demand_amount(sender: Account, asset: str, amount: Decimal) -> None:
    if not amount.is_finite() or amount <= ZERO or amount % UNIT != ZERO:
        raise UnableToTransfer("TRANSFER_AMOUNT", "Move an amount above zero with at most eight decimals.")
    pocket = LedgerAccount.objects.filter(account=sender, book=None, kind=LedgerAccount.Kind.UNALLOCATED, asset=asset).first()
    there = pocket.balance if pocket else ZERO
    if amount > there:
        raise UnableToTransfer(
            "CAPITAL_INSUFFICIENT",
            f"{sender.name} has {plain(there)} {asset} unallocated: first lower a bot's share to free the rest.",
        )


def _demand_limits(master: Account, value: Decimal, *, now: datetime) -> None:
    if master.transfer_max is None or master.transfer_max_day is None:
        raise UnableToTransfer("TRANSFER_LIMIT_UNSET", f"{master.name} has no limits for transfers: set them first.")
    if value > master.transfer_max:
        raise UnableToTransfer(
            "TRANSFER_LIMIT",
            f"{plain(value)} {master.quote_asset} is more than the {plain(master.transfer_max)} of one transfer.",
        )
    recent = AccountTransfer.objects.filter(master=master, recorded_at__gt=now - DAY)
    spent = recent.exclude(state__in=(State.REFUSED, State.ABSENT)).aggregate(sum=Sum("value"))["sum"] or ZERO
    if spent + value > master.transfer_max_day:
        raise UnableToTransfer(
            "TRANSFER_LIMIT_DAY",
            f"{plain(spent)} of {plain(master.transfer_max_day)} {master.quote_asset} have been moved in 24 hours.",
        )
