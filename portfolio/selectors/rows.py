"""Rows for pages and processes, newest first, in pages by id."""

from __future__ import annotations

from decimal import Decimal

from portfolio.models import (
    Account,
    DecisionRecord,
    Fill,
    Intent,
    LedgerAccount,
    Order,
    Reconciliation,
)


def accounts_to_trade() -> list[int]:
    """Return the accounts that need a trader."""
    return list(Account.objects.filter(is_enabled=True).order_by("id").values_list("id", flat=True))


def open_orders(account_id: int, *, book_id: int | None = None) -> list[Order]:
    """Return the live orders, newest first, with book, instrument, intent and reservation."""
    rows = Order.objects.filter(account=account_id, status__in=Order.LIVE)
    if book_id is not None:
        rows = rows.filter(book=book_id)
    return list(rows.select_related("book", "instrument", "intent", "reservation").order_by("-id"))


def waiting_intents(account_id: int) -> list[Intent]:
    """Return the intents that wait for cancels, oldest first."""
    rows = Intent.objects.filter(book__account=account_id, state=Intent.State.WAITING)
    return list(rows.select_related("book", "instrument").order_by("seq"))


def fills(account_id: int, *, book_id: int | None = None, before_id: int | None = None, limit: int = 100) -> list[Fill]:
    """Return fills, newest first, with their book, instrument and order."""
    rows = Fill.objects.filter(account=account_id) if book_id is None else Fill.objects.filter(book=book_id)
    if before_id is not None:
        rows = rows.filter(id__lt=before_id)
    return list(rows.select_related("book", "instrument", "order__intent").order_by("-id")[:limit])


def decisions(book_id: int, *, before_id: int | None = None, limit: int = 100) -> list[DecisionRecord]:
    """Return a book's decisions, newest first, with their instrument."""
    rows = DecisionRecord.objects.filter(book=book_id)
    if before_id is not None:
        rows = rows.filter(id__lt=before_id)
    return list(rows.select_related("instrument").order_by("-bar_closed_at", "-leg", "-id")[:limit])


def latest_reconciliation(account_id: int) -> Reconciliation | None:
    """Return the newest comparison that reached a verdict, with its lines prefetched."""
    rows = Reconciliation.objects.filter(account=account_id).exclude(outcome=Reconciliation.Outcome.UNSTABLE)
    return rows.prefetch_related("lines").order_by("-id").first()


def residuals(account_id: int) -> dict[str, Decimal]:
    """Return what is in suspense by asset; empty when everything is explained."""
    rows = LedgerAccount.objects.filter(account=account_id, kind=LedgerAccount.Kind.SUSPENSE).exclude(balance=0)
    return dict(rows.order_by("asset").values_list("asset", "balance"))
