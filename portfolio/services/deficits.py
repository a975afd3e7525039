"""Cover what a book owes in coins since an order of it that was called dead lived after all (I-07)."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from django.db import transaction

from portfolio.models import Book, DeficitCover, Fill
from portfolio.selectors.deficits import instrument_of
from portfolio.writers import accounts, audit
from portfolio.writers.store import open_desk
from trading.desk.covering import NO_DEFICIT, UnableToCover, cover
from trading.ledger import exactly, plain

if TYPE_CHECKING:
    from django.contrib.auth.models import User

__all__ = ["UnableToCover", "cover_deficit"]


@exactly
def cover_deficit(
    *,
    account_id: int,
    book_id: int,
    asset: str,
    source_id: int | None,
    amount: Decimal | None,
    by: User | None,
    reason: str,
    now: datetime,
    request_id: str = "",
) -> DeficitCover:
    """Buy coins at the mark for a book that owes them, from the operator's pool or another book; no amount means all.

    The book stays halted: a person who has looked at it starts its bot again.
    """
    with transaction.atomic():
        account = accounts.lock(account_id)
        books = set(Book.objects.filter(account=account).values_list("id", flat=True))
        if book_id not in books or source_id not in books | {None}:
            raise UnableToCover("BOOK_NOT_FOUND", "The account has no such book.")
        if source_id == book_id:
            raise UnableToCover("DEFICIT_SOURCE_SHORT", "A book cannot lend to itself.")
        instrument = instrument_of(account, book_id, asset)
        if instrument is None:
            raise UnableToCover(
                NO_DEFICIT, f"{asset} is not a coin that the book could owe. What it owes in quote its next income pays."
            )
        newest = Fill.objects.filter(book__in={book_id, source_id} - {None}, instrument=instrument).order_by("-traded_at")
        moments = [account.synced_through_at, newest.values_list("traded_at", flat=True).first()]
        # Not before a trade that is posted: positions are folded in the order of time.
        market_at = max((moment for moment in moments if moment is not None), default=now)
        desk = open_desk(account, market_at=market_at, now=now)
        done = cover(desk, book_id=book_id, instrument_id=instrument.pk, quantity=amount, source_id=source_id)
        desk.touch_account()
        desk.write()
        row = DeficitCover.objects.create(
            book_id=book_id,
            source_id=source_id,
            instrument=instrument,
            quantity=done.quantity,
            mark=done.mark,
            value=done.value,
            realised=done.realised,
            realised_source=done.realised_source,
            ledger_seq=done.ledger_seq,
            market_at=market_at,
        )
        audit.record(
            action="deficit.cover",
            subject=f"book:{book_id}",
            actor=by,
            after={
                "asset": asset,
                "amount": plain(done.quantity),
                "mark": plain(done.mark),
                "value": plain(done.value),
                "source": source_id,
                "reason": reason,
            },
            now=now,
            request_id=request_id,
        )
        return row
