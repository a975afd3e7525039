"""Pages of rows, newest first, by a cursor that is the last id seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from django.db.models import Model, QuerySet

from portfolio.models import (
    Account,
    Alarm,
    AuditEntry,
    Book,
    DecisionRecord,
    Fill,
    LedgerAccount,
    LedgerTransaction,
    Order,
    Reconciliation,
    Reservation,
)

Row = TypeVar("Row", bound=Model)


@dataclass(frozen=True, slots=True)
class Page(Generic[Row]):
    """Some rows, and where the next page begins."""

    items: Sequence[Row]
    next_cursor: str | None


def accounts() -> QuerySet[Account]:
    """Return the accounts, those in use first, newest first."""
    return Account.objects.select_related("market").order_by("-is_enabled", "-id")


def shown_account() -> Account | None:
    """Return the account that pages show unless another one is asked for: a master in use, of the exchange that was there first.

    Of several on one exchange it is the newest, and the newest of all where none is in use.
    """
    masters = accounts().filter(master=None)
    return masters.filter(is_enabled=True).order_by("market_id", "-id").first() or masters.first()


def orders(*, account_id: int, book_id: int | None, status: str, cursor: int | None, limit: int) -> Page[Order]:
    """Return orders; `status` is one of theirs, `live`, or empty for all."""
    rows = Order.objects.filter(account=account_id).select_related("book", "instrument", "intent")
    if book_id is not None:
        rows = rows.filter(book=book_id)
    if status:
        rows = rows.filter(status__in=Order.LIVE) if status == "live" else rows.filter(status=status)
    return _page(rows, cursor, limit)


def fills(*, account_id: int, book_id: int | None, cursor: int | None, limit: int) -> Page[Fill]:
    """Return fills with their order and book."""
    rows = Fill.objects.filter(account=account_id).select_related("book", "instrument", "order")
    return _page(rows if book_id is None else rows.filter(book=book_id), cursor, limit)


def decisions(*, book_id: int, cursor: int | None, limit: int, is_acting: bool = False) -> Page[DecisionRecord]:
    """Return a book's decisions; `is_acting` leaves out those that only say why nothing happened."""
    rows = DecisionRecord.objects.filter(book=book_id).select_related("instrument")
    return _page(rows.exclude(action="hold") if is_acting else rows, cursor, limit)


def latest_decisions(account_id: int) -> dict[int, DecisionRecord]:
    """Return the newest decision of each book."""
    rows = DecisionRecord.objects.filter(book__account=account_id).select_related("instrument")
    found: dict[int, DecisionRecord] = {}
    for book_id in Book.objects.filter(account=account_id).values_list("id", flat=True):
        newest = rows.filter(book=book_id).order_by("-bar_closed_at", "-leg", "-id").first()
        if newest is not None:
            found[book_id] = newest
    return found


def ledger(*, account_id: int, cursor: int | None, limit: int) -> Page[LedgerTransaction]:
    """Return ledger transactions with their entries."""
    rows = LedgerTransaction.objects.filter(account=account_id).prefetch_related("entries__ledger_account__book")
    return _page(rows, cursor, limit)


def pockets(account_id: int) -> QuerySet[LedgerAccount]:
    """Return every pocket of an account, the outside world's too."""
    rows = LedgerAccount.objects.filter(account=account_id).select_related("book")
    return rows.order_by("kind", "book__number", "asset")


def reservations(account_id: int) -> QuerySet[Reservation]:
    """Return what live orders hold."""
    rows = Reservation.objects.filter(order__account=account_id, remaining__gt=0)
    return rows.select_related("order__book", "order__instrument", "order__intent").order_by("-id")


def reconciliations(*, account_id: int, cursor: int | None, limit: int) -> Page[Reconciliation]:
    """Return comparisons with the exchange, with their lines."""
    return _page(Reconciliation.objects.filter(account=account_id).prefetch_related("lines"), cursor, limit)


def alarms(*, account_id: int | None, is_open: bool, cursor: int | None, limit: int) -> Page[Alarm]:
    """Return the newest alarms, of one account or of all; `is_open` leaves out what a person has acknowledged."""
    rows = Alarm.objects.select_related("account", "book", "acknowledged_by")
    rows = rows if account_id is None else rows.filter(account=account_id)
    return _page(rows.filter(acknowledged_at=None) if is_open else rows, cursor, limit)


def audit(*, cursor: int | None, limit: int) -> Page[AuditEntry]:
    """Return who changed what."""
    return _page(AuditEntry.objects.all(), cursor, limit)


def _page(rows: QuerySet[Row], cursor: int | None, limit: int) -> Page[Row]:
    if cursor is not None:
        rows = rows.filter(pk__lt=cursor)
    found = list(rows.order_by("-pk")[: limit + 1])
    items = found[:limit]
    return Page(items, str(items[-1].pk) if len(found) > limit else None)
