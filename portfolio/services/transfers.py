"""Move money between a master account and its sub-accounts: within limits, and only what is free."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from django.db import transaction
from django.db.models import Sum

from marketdata.models import Instrument
from portfolio.asking import demand_confirmation
from portfolio.models import Account, AccountTransfer, Book, Credential
from portfolio.selectors.families import Free, free_of
from portfolio.selectors.gates import trader_gate
from portfolio.selectors.rows import residuals
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


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferWish:
    """What somebody asks to be moved; `recall` takes what is missing from the free cash of the sender's one bot."""

    sender_id: int
    receiver_id: int
    asset: str
    amount: Decimal
    recall: bool = False
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferPreview:
    """What a transfer would do now; without a code it would be taken."""

    sender: Account
    receiver: Account
    asset: str
    amount: Decimal
    value: Decimal
    free: Free
    receiver_before: Decimal
    recalled: Decimal
    left_today: Decimal | None
    code: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Checked:
    value: Decimal
    recalled: Decimal
    book: Book | None


@exactly
def request_transfer(
    *,
    sender_id: int,
    receiver_id: int,
    asset: str,
    amount: Decimal,
    by: User | None,
    now: datetime,
    recall: bool = False,
    reason: str = "",
    request_id: str = "",
) -> AccountTransfer:
    """Write a transfer down; the master's trader sends it, once, and reads what became of it."""
    wish = TransferWish(
        sender_id=sender_id, receiver_id=receiver_id, asset=asset, amount=amount, recall=recall, reason=reason[:200]
    )
    return request_transfers([wish], by=by, now=now, request_id=request_id)[0]


@exactly
def request_transfers(
    wishes: Sequence[TransferWish], *, by: User | None, now: datetime, request_id: str = ""
) -> list[AccountTransfer]:
    """Write transfers of one family down, all or none; they are sent one after the other."""
    with transaction.atomic():
        demand_confirmation("move money between accounts")
        return [_record(wish, by=by, now=now, request_id=request_id) for wish in wishes]


@exactly
def preview_transfer(wish: TransferWish, *, now: datetime) -> TransferPreview:
    """Show what a transfer would do now, or why it would be refused; raises for accounts that have no way between them."""
    master_id = _master_of(wish.sender_id, wish.receiver_id)
    rows = {row.pk: row for row in Account.objects.select_related("market").filter(id__in={master_id, *_ends(wish)})}
    master, sender, receiver = (rows[number] for number in (master_id, *_ends(wish)))
    code = message = ""
    value = recalled = ZERO
    try:
        checked = _check(wish, master, sender, receiver, now=now)
        value, recalled = checked.value, checked.recalled
    except UnableToTransfer as refused:
        code, message = refused.code, str(refused)
    return TransferPreview(
        sender=sender,
        receiver=receiver,
        asset=wish.asset,
        amount=wish.amount,
        value=value,
        free=free_of(sender, wish.asset),
        receiver_before=free_of(receiver, wish.asset).unallocated,
        recalled=recalled,
        left_today=left_today(master, now=now),
        code=code,
        message=message,
    )


@exactly
def set_transfer_limits(
    *,
    account_id: int,
    per_transfer: Decimal | None,
    per_day: Decimal | None,
    by: User | None,
    now: datetime,
    may_raise: bool = True,
    request_id: str = "",
) -> Account:
    """Set how much a transfer may move, and all transfers of 24 hours together; without limits nothing moves.

    Whoever may operate may lower; raising takes `may_raise`.
    """
    with transaction.atomic():
        master = accounts.lock(account_id)
        if master.master_id is not None:
            raise UnableToTransfer("TRANSFER_NOT_MASTER", f"{master.name} is a sub-account: limits belong to its master.")
        if any(limit is not None and not (limit.is_finite() and limit > ZERO) for limit in (per_transfer, per_day)):
            raise UnableToTransfer("TRANSFER_LIMIT", "A limit is an amount above zero.")
        if _is_raised(master.transfer_max, per_transfer) or _is_raised(master.transfer_max_day, per_day):
            if not may_raise:
                raise UnableToTransfer("RISK_RAISE_NEEDS_ADMIN", "Only an administrator may raise limits of transfers.")
            demand_confirmation("raise limits of transfers")
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
            request_id=request_id,
        )
        return master


def left_today(master: Account, *, now: datetime) -> Decimal | None:
    """Return how much in quote may still move within 24 hours; None without a limit, which means nothing."""
    if master.transfer_max_day is None:
        return None
    recent = AccountTransfer.objects.filter(master=master, recorded_at__gt=now - DAY)
    spent: Decimal = recent.exclude(state__in=(State.REFUSED, State.ABSENT)).aggregate(sum=Sum("value"))["sum"] or ZERO
    left: Decimal = master.transfer_max_day - spent
    return max(left, ZERO)


def _record(wish: TransferWish, *, by: User | None, now: datetime, request_id: str) -> AccountTransfer:
    master_id = _master_of(wish.sender_id, wish.receiver_id)
    family = transfers.lock_family(master_id, *_ends(wish))
    master, sender, receiver = (family[number] for number in (master_id, *_ends(wish)))
    checked = _check(wish, master, sender, receiver, now=now)
    row = AccountTransfer(
        master=master,
        sender=sender,
        receiver=receiver,
        asset=wish.asset,
        amount=wish.amount,
        value=checked.value,
        recalled=checked.recalled,
        recalled_from=checked.book,
        requested_by=by,
        reason=wish.reason,
    )
    transfers.record(row, now=now)
    facts = {"from": sender.name, "to": receiver.name, "asset": wish.asset, "amount": plain(wish.amount), "reason": wish.reason}
    audit.record(
        action="transfer.request",
        subject=f"transfer:{row.pk}",
        actor=by,
        after=facts | ({"recalled": plain(checked.recalled)} if checked.recalled else {}),
        now=now,
        request_id=request_id,
    )
    return row


def _ends(wish: TransferWish) -> tuple[int, int]:
    return wish.sender_id, wish.receiver_id


def _master_of(sender_id: int, receiver_id: int) -> int:
    """Answer the master of both; accounts of different families, markets or modes have no way between them."""
    if sender_id == receiver_id:
        raise UnableToTransfer("TRANSFER_SAME_ACCOUNT", "Name two different accounts.")
    found: Mapping[int, Account] = {account.pk: account for account in Account.objects.filter(id__in=(sender_id, receiver_id))}
    missing = sorted({sender_id, receiver_id} - found.keys())
    if missing:
        raise UnableToTransfer("ACCOUNT_UNKNOWN", f"There is no account {missing[0]}.")
    sender, receiver = found[sender_id], found[receiver_id]
    if sender.mode != receiver.mode:
        raise UnableToTransfer(
            "TRANSFER_MODES", f"{sender.name} is {sender.mode} and {receiver.name} is {receiver.mode}: money never crosses that."
        )
    masters = {account.master_id or account.pk for account in (sender, receiver)}
    if len(masters) > 1:
        raise UnableToTransfer("TRANSFER_STRANGERS", f"{sender.name} and {receiver.name} have no master in common.")
    if sender.market_id != receiver.market_id:
        raise UnableToTransfer("TRANSFER_STRANGERS", f"{sender.name} and {receiver.name} are not on one market.")
    return masters.pop()


def _check(wish: TransferWish, master: Account, sender: Account, receiver: Account, *, now: datetime) -> _Checked:
    """Refuse what cannot be moved now: amount, then what is free, then limits, then who would have to carry it."""
    if not wish.amount.is_finite() or wish.amount <= ZERO or wish.amount % UNIT != ZERO:
        raise UnableToTransfer("TRANSFER_AMOUNT", "Move an amount above zero with at most eight decimals.")
    _demand_asset(sender, wish.asset)
    recalled, book = _demand_free(sender, wish)
    value = value_in_quote(sender, wish.asset, wish.amount)
    if value <= ZERO:
        raise UnableToTransfer("TRANSFER_UNPRICED", f"Nobody knows what {wish.asset} is worth, so no limit can hold it.")
    _demand_limits(master, value, now=now)
    for account in (sender, receiver):
        if not account.is_enabled:
            raise UnableToTransfer("ACCOUNT_DISABLED", f"{account.name} is not in use: nobody would look after the money.")
        if residuals(account.pk):
            raise UnableToTransfer(
                "RECONCILE_RESIDUAL", f"{account.name} holds something unexplained: explain that first, then move money."
            )
    _demand_carrier(master, now=now)
    return _Checked(value=value, recalled=recalled, book=book if recalled else None)


def _demand_asset(sender: Account, asset: str) -> None:
    if asset != sender.quote_asset and not Instrument.objects.filter(market=sender.market_id, base=asset).exists():
        raise UnableToTransfer("ASSET_UNKNOWN", f"{sender.market} knows no asset {asset!r}.")


def _demand_free(sender: Account, wish: TransferWish) -> tuple[Decimal, Book | None]:
    """Answer how much of the amount the sender's bot gives back, and which bot that is."""
    free = free_of(sender, wish.asset)
    missing = max(wish.amount - free.unallocated, ZERO)
    if missing == ZERO:
        return ZERO, None
    there = f"{sender.name} has {plain(free.unallocated)} {wish.asset} unallocated"
    if free.book is None or missing > free.in_book:
        more = f" and {plain(free.in_book)} that its bot does not use" if free.book is not None else ""
        raise UnableToTransfer("CAPITAL_INSUFFICIENT", f"{there}{more}: first lower a bot's share, or have it sell.")
    if not wish.recall:
        raise UnableToTransfer(
            "CAPITAL_INSUFFICIENT", f"{there}; its bot could give back {plain(free.in_book)}: ask for it with `recall`."
        )
    return missing, free.book


def _demand_limits(master: Account, value: Decimal, *, now: datetime) -> None:
    left = left_today(master, now=now)
    if master.transfer_max is None or left is None:
        raise UnableToTransfer("TRANSFER_LIMIT_UNSET", f"{master.name} has no limits for transfers: set them first.")
    quote = master.quote_asset
    if value > master.transfer_max:
        raise UnableToTransfer(
            "TRANSFER_LIMIT", f"{plain(value)} {quote} is more than the {plain(master.transfer_max)} of one transfer."
        )
    if value > left:
        assert master.transfer_max_day is not None
        moved = plain(master.transfer_max_day - left)
        raise UnableToTransfer(
            "TRANSFER_LIMIT_DAY", f"{moved} of {plain(master.transfer_max_day)} {quote} have been moved in 24 hours."
        )


def _demand_carrier(master: Account, *, now: datetime) -> None:
    """Refuse while nobody would send it: money that is out of reach should be on its way."""
    if not Credential.objects.filter(account=master, role=Credential.Role.TRANSFER, trouble="").exists():
        raise UnableToTransfer("TRANSFER_KEY_MISSING", f"{master.name} has no key that may move money: store one first.")
    if not trader_gate(master, now=now).is_open:
        raise UnableToTransfer(
            "TRADER_AWAY", f"The trader of {master.name} carries transfers and gives no sign of life. Start it: `manage.py up`."
        )


def _is_raised(before: Decimal | None, after: Decimal | None) -> bool:
    return after is not None and (before is None or after > before)
