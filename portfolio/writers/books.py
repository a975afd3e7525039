"""Change a book: its capital, its flows, its halt."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal

from django.db.models import F, Max

from portfolio.models import Account, Book
from portfolio.writers import alarms, audit
from portfolio.writers.alarms import Cause, Source
from trading.ledger import ZERO


def open_book(account: Account, *, name: str, position_cap_percent: Decimal, now: datetime) -> Book:
    """Open a book of that name under the account's next number, or answer the one there is with its cap set."""
    book = Book.objects.filter(account=account, name=name).first()
    if book is None:
        highest = Book.objects.filter(account=account).aggregate(highest=Max("number"))["highest"] or 0
        book = Book(account=account, number=highest + 1, name=name, opened_at=now)
    book.position_cap_percent = position_cap_percent
    book.version += 1
    book.save()
    return book


def raise_versions(book_ids: Iterable[int]) -> None:
    """Raise the versions of books whose numbers changed."""
    Book.objects.filter(id__in=set(book_ids)).update(version=F("version") + 1)


def halt(book_id: int, reason: str, *, now: datetime) -> None:
    """Stop a book's entries until a person looks; the first reason stays."""
    halted = Book.objects.filter(id=book_id, is_halted=False).update(is_halted=True, halt_reason=reason, version=F("version") + 1)
    if halted:
        audit.record(action="book.halt", subject=f"book:{book_id}", after={"reason": reason}, now=now)
        account_id = Book.objects.values_list("account_id", flat=True).get(id=book_id)
        alarms.raise_alarm(account_id, Cause(Source.BOOK, reason, book_id), now=now)


def add_capital(book: Book, moved: Decimal, *, base_equity: Decimal) -> None:
    """Count capital moved into or out of a book and what it is sized by from now on."""
    book.net_flows += moved
    book.base_equity = base_equity
    book.version += 1
    book.save(update_fields=["net_flows", "base_equity", "version"])


def set_pending(book: Book, amount: Decimal, *, now: datetime) -> None:
    """Remember what a plan still moves into the book (above zero) or out of it (below); nothing ends the waiting."""
    since_at = None if amount == ZERO else book.pending_since_at if book.pending * amount > ZERO else now
    book.pending, book.pending_since_at = amount, since_at
    book.version += 1
    book.save(update_fields=["pending", "pending_since_at", "version"])


def forget_pending(account: Account) -> None:
    """Drop what plans still have to move: another mode deals capital out now."""
    rows = Book.objects.filter(account=account).exclude(pending=ZERO)
    rows.update(pending=ZERO, pending_since_at=None, version=F("version") + 1)
