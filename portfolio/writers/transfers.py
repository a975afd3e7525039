"""Post a transfer between accounts of one family: out of reach when asked for, and in both ledgers or in neither at its end."""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from django.db.models import Q

from portfolio.models import Account, AccountTransfer, Book
from portfolio.selectors.numbers import account_overview
from portfolio.writers import accounts, audit, books, capital
from portfolio.writers.allocations import post_moves
from portfolio.writers.flows import EXTERNAL_FLOW
from portfolio.writers.ledger import Journal
from trading.ledger import ZERO, Leg, Pocket, exactly, plain
from trading.settlement import IN_TRANSIT, UNALLOCATED

State = AccountTransfer.State
# Wakes the courier of the master's trader.
WORD: Final = "transfer"
# So long after its end the streams may still tell of a transfer.
ECHO_TIME: Final = timedelta(hours=1)
# A cut may have been read so long before the clock of another process says it was.
_CLOCK_MARGIN: Final = timedelta(seconds=1)


def lock_family(master_id: int, *others: int) -> dict[int, Account]:
    """Lock accounts of one family, the master first and the others by number, so that two such locks never cross."""
    order = [master_id, *sorted(set(others) - {master_id})]
    return {account_id: accounts.lock(account_id) for account_id in order}


@exactly
def record(transfer: AccountTransfer, *, now: datetime) -> None:
    """Write a transfer down and take its amount out of the sender's reach; the sender is locked."""
    sender = transfer.sender
    transfer.client_id, transfer.recorded_at = f"t{sender.deploy}{secrets.token_hex(8)}", now
    transfer.save()
    _move_capital(transfer, -transfer.recalled, now=now)
    _post(sender, transfer, "begin", {UNALLOCATED: -transfer.amount, IN_TRANSIT: transfer.amount}, now=now)
    accounts.changed(sender)
    accounts.wake_trader(transfer.master_id, WORD)


def claim(transfer_id: int, *, now: datetime) -> bool:
    """Mark a transfer as being sent before a byte of it leaves; only one claim ever succeeds."""
    rows = AccountTransfer.objects.filter(id=transfer_id, state=State.RECORDED, attempts=0)
    return bool(rows.update(state=State.SENDING, attempts=1, sent_at=now))


def mark_unknown(transfer_id: int) -> None:
    """Note that nobody has answered for a transfer: from now on it is only read."""
    AccountTransfer.objects.filter(id=transfer_id, state=State.SENDING).update(state=State.UNKNOWN)


@exactly
def complete(transfer_id: int, *, exchange_id: str, now: datetime) -> AccountTransfer:
    """Post a transfer that happened in both ledgers at once; safe to repeat. The master is locked."""
    seen, both = _locked(transfer_id)
    if seen.state not in AccountTransfer.OPEN:
        return seen
    sender, receiver = both[seen.sender_id], both[seen.receiver_id]
    _post(sender, seen, "out", {IN_TRANSIT: -seen.amount, EXTERNAL_FLOW: seen.amount}, now=now)
    _post(receiver, seen, "in", {EXTERNAL_FLOW: -seen.amount, UNALLOCATED: seen.amount}, now=now)
    accounts.add_flow(sender, -seen.value)
    accounts.add_flow(receiver, seen.value)
    seen.exchange_id = exchange_id
    _end(seen, State.DONE, "", now=now)
    for account in (sender, receiver):
        accounts.changed(account)
    return seen


@exactly
def give_back(transfer_id: int, *, state: str, outcome: str, now: datetime) -> AccountTransfer:
    """Return the amount of a transfer that is proven not to have happened; safe to repeat. The master is locked."""
    seen, both = _locked(transfer_id)
    if seen.state not in AccountTransfer.OPEN:
        return seen
    sender = both[seen.sender_id]
    _post(sender, seen, "back", {IN_TRANSIT: -seen.amount, UNALLOCATED: seen.amount}, now=now)
    seen.sender = sender
    _move_capital(seen, seen.recalled, now=now)
    _end(seen, state, outcome, now=now)
    accounts.changed(sender)
    return seen


def recognise(account: Account, *, asset: str, amount: Decimal, reference: str, now: datetime) -> bool:
    """Tell whether a flow that the account's stream told of is a transfer of ours, which posts itself."""
    side, echo = ("sender", "sender_echo") if amount < ZERO else ("receiver", "receiver_echo")
    mine = AccountTransfer.objects.filter(**{side: account}, asset=asset, amount=abs(amount))
    if mine.filter(**{echo: reference}).exists():
        return True
    awaited = mine.filter(Q(state__in=AccountTransfer.IN_FLIGHT) | Q(state=State.DONE, ended_at__gte=now - ECHO_TIME))
    found = awaited.filter(**{echo: ""}).order_by("id").first()
    if found is None:
        return False
    setattr(found, echo, reference[:96])
    found.save(update_fields=[echo])
    return True


def on_the_way(account: Account) -> dict[str, Decimal]:
    """Return by how much the exchange's balances may differ from the ledger, because of what is in flight (I-37).

    The sender's side holds the amount IN_TRANSIT and may have lost it already; the receiver's may have it before its
    ledger has. There is one transfer in flight in a family, so there is one explanation.
    """
    flights = AccountTransfer.objects.filter(state__in=AccountTransfer.IN_FLIGHT)
    mine = flights.filter(Q(sender=account) | Q(receiver=account))
    return {row.asset: -row.amount if row.sender_id == account.pk else row.amount for row in mine}


def has_moved_since(account: Account, moment: datetime) -> bool:
    """Tell whether a transfer of the account was sent or ended after a moment: a cut read before it concludes nothing."""
    mine = AccountTransfer.objects.filter(Q(sender=account) | Q(receiver=account))
    since = moment - _CLOCK_MARGIN
    return mine.filter(Q(sent_at__gte=since) | Q(ended_at__gte=since)).exists()


def _locked(transfer_id: int) -> tuple[AccountTransfer, dict[int, Account]]:
    known = AccountTransfer.objects.get(id=transfer_id)
    both = lock_family(known.master_id, known.sender_id, known.receiver_id)
    # Read again: whoever held the locks may have ended it.
    return AccountTransfer.objects.get(id=transfer_id), both


def _move_capital(transfer: AccountTransfer, moved: Decimal, *, now: datetime) -> None:
    """Take capital out of the sender's bot (below zero) on its way, or give back what did not leave."""
    if moved == ZERO:
        return
    assert transfer.recalled_from_id is not None
    account, book = transfer.sender, Book.objects.get(id=transfer.recalled_from_id)
    market_at, worth = account.synced_through_at or now, _book_worth(account, book)
    step = "recall" if moved < ZERO else "return"
    post_moves(account, {book.pk: moved}, reference=f"{transfer.client_id}:{step}", market_at=market_at, now=now)
    capital.shrink_day(book, worth_before=worth, moved=moved, market_at=market_at)
    sized_by = book.base_equity + moved if moved > ZERO else max(min(book.base_equity, worth + moved), ZERO)
    books.add_capital(book, moved, base_equity=sized_by)


def _book_worth(account: Account, book: Book) -> Decimal:
    """Return what a book is worth at the marks."""
    return next(row.equity for row in account_overview(account.pk).books if row.book_id == book.pk)


def _post(account: Account, transfer: AccountTransfer, step: str, moves: dict[str, Decimal], *, now: datetime) -> None:
    journal = Journal(account, now=now, book_ids=())
    journal.post(
        kind="transfer",
        reference=f"{transfer.client_id}:{step}",
        legs=[Leg(Pocket(kind, None, transfer.asset), amount) for kind, amount in moves.items()],
        market_at=account.synced_through_at or now,
        facts={"from": transfer.sender_id, "to": transfer.receiver_id},
    )
    journal.flush()


def _end(transfer: AccountTransfer, state: str, outcome: str, *, now: datetime) -> None:
    before = transfer.state
    transfer.state, transfer.outcome, transfer.ended_at = state, outcome[:200], now
    transfer.save(update_fields=["state", "outcome", "exchange_id", "ended_at"])
    audit.record(
        action="transfer.end",
        subject=f"transfer:{transfer.pk}",
        before={"state": before},
        after={"state": state, "outcome": outcome[:200], "asset": transfer.asset, "amount": plain(transfer.amount)},
        now=now,
    )
