"""Close books whose exchange began anew, and open new ones for what it holds now: nothing is reconciled across the two (E45)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from django.db import transaction

from portfolio.jobs.risk import market_time
from portfolio.models import Account, Book, HistoryCursor
from portfolio.selectors.risk import newest_limits, values_of
from portfolio.services.accounts import open_account
from portfolio.services.credentials import move_credentials
from portfolio.writers import accounts, audit, risk
from portfolio.writers.store import open_desk
from trading.desk.forgetting import forget_orders
from trading.ledger import plain
from trading.orders import raise_deploy

if TYPE_CHECKING:
    from django.contrib.auth.models import User

EXCHANGE_RESET: Final = "EXCHANGE_RESET"
BOOKS_CLOSED: Final = "BOOKS_CLOSED"
_NAME_LENGTH_MAX: Final = 64
_FAMILY: Final = ("master", "venue_name", "transfer_max", "transfer_max_day", "target_percent", "target_band_percent")


class UnableToClose(Exception):
    """Raised when books are not to be closed; carries a reason code."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def close_books(account_id: int, *, by: User | None, reason: str, now: datetime) -> Account:
    """Close the books of an account that was halted because its exchange forgot them: for ever, as they were.

    Its orders end, for nobody will ever tell more of them; its balances stay what they were before the reset, and its name
    becomes free for the books that follow.
    """
    with transaction.atomic():
        account = accounts.lock(account_id)
        if account.state_reason != EXCHANGE_RESET:
            raise UnableToClose("NOT_RESET", f"{account.name} is {account.state} {account.state_reason}: nothing to close.")
        desk = open_desk(account, market_at=market_time(account) or now, now=now)
        ended = forget_orders(desk, EXCHANGE_RESET)
        desk.write()
        before = {"name": account.name, "state": account.state, "reason": account.state_reason}
        account.name, account.is_enabled = _closed_name(account.name, now), False
        accounts.changed(account, "name", "is_enabled")
        accounts.set_state(account, Account.State.HALTED, BOOKS_CLOSED, now=now)
        audit.record(
            action="account.close",
            subject=f"account:{account.pk}",
            actor=by,
            before=before,
            after={"name": account.name, "reason": reason, "orders_ended": ended, "ledger": account.ledger_hash},
            now=now,
        )
        return account


def open_successor(
    closed: Account,
    *,
    name: str,
    balances: Mapping[str, Decimal],
    newest_trades: Mapping[str, int],
    by: User | None,
    now: datetime,
) -> Account:
    """Open the account that follows: what the exchange holds now is the operator's deposit, limits and keys come along.

    `newest_trades` says by symbol which trades are in these balances already.
    """
    with transaction.atomic():
        market_at = market_time(closed) or now
        account = open_account(
            name=name,
            market=closed.market,
            mode=closed.mode,
            deploy=raise_deploy(closed.deploy),
            quote_asset=closed.quote_asset,
            balances=balances,
            books=[],
            now=now,
            market_at=market_at,
            venue_uid=closed.venue_uid,
        )
        account = accounts.lock(account.pk)
        for symbol, trade_id in newest_trades.items():
            HistoryCursor.objects.create(account=account, symbol=symbol, trade_id=trade_id, read_at=now)
        # Whoever stopped the account did not mean to stop it until the next reset.
        account.is_killed, account.killed_at, account.killed_reason = closed.is_killed, closed.killed_at, closed.killed_reason
        _take_the_place(closed, account)
        accounts.changed(account, "is_killed", "killed_at", "killed_reason", *_FAMILY)
        move_credentials(before=closed, after=account, by=by, now=now)
        audit.record(
            action="account.follow",
            subject=f"account:{account.pk}",
            actor=by,
            before={"account": closed.pk, "deploy": closed.deploy},
            after={"deploy": account.deploy, "balances": {asset: plain(amount) for asset, amount in balances.items()}},
            now=now,
        )
        return account


def copy_limits(*, before: Account, after: Account, by: User | None, now: datetime) -> None:
    """Give the account that follows, and its books by name, the limits that an operator had set."""
    names = dict(Book.objects.filter(account=before).values_list("id", "name"))
    books = {book.name: book for book in Book.objects.filter(account=after)}
    with transaction.atomic():
        account = accounts.lock(after.pk)
        for old in Book.objects.filter(account=before, name__in=books):
            Book.objects.filter(pk=books[old.name].pk).update(orders_per_minute=old.orders_per_minute)
        for row in newest_limits(before.pk):
            name = None if row.book_id is None else names[row.book_id]
            if name is None or name in books:
                book_id = None if name is None else books[name].pk
                reason = f"as before {before.name}"
                risk.record_limits(account, book_id=book_id, values=values_of(row), by=by, reason=reason, now=now)


def _take_the_place(closed: Account, account: Account) -> None:
    """Put the account that follows where the closed one stood in its family: under its master, or above its sub-accounts."""
    for name in _FAMILY:
        setattr(account, name, getattr(closed, name))
    # The exchange has one account of that number, so the family has one, too.
    closed.master = None
    accounts.changed(closed, "master")
    Account.objects.filter(master=closed).update(master=account)


def _closed_name(name: str, now: datetime) -> str:
    """Name closed books by the day, and by the second where a day has seen more than one reset."""
    for shape in ("%Y-%m-%d", "%Y-%m-%d %H:%M:%S"):
        end = f" until {now:{shape}}"
        closed = name[: _NAME_LENGTH_MAX - len(end)] + end
        if not Account.objects.filter(name=closed).exists():
            return closed
    raise UnableToClose("NAME_TAKEN", f"There are closed books named {closed} already: wait a second.")
