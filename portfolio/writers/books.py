"""Change a book: its capital, its flows, its halt."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal

from django.db.models import F

from portfolio.models import Book
from portfolio.writers import audit


def raise_versions(book_ids: Iterable[int]) -> None:
    """Raise the versions of books whose numbers changed."""
    Book.objects.filter(id__in=set(book_ids)).update(version=F("version") + 1)


def halt(book: Book, reason: str, *, now: datetime) -> None:
    """Stop a book's entries until a person looks; the first reason stays."""
    halted = Book.objects.filter(id=book.pk, is_halted=False).update(is_halted=True, halt_reason=reason, version=F("version") + 1)
    if halted:
        audit.record(action="book.halt", subject=f"book:{book.pk}", after={"reason": reason}, now=now)


def add_capital(book: Book, moved: Decimal, *, base_equity: Decimal) -> None:
    """Count capital moved into or out of a book and what it is sized by from now on."""
    book.net_flows += moved
    book.base_equity = base_equity
    book.version += 1
    book.save(update_fields=["net_flows", "base_equity", "version"])
