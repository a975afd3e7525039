"""Charge books for fees that the pool has paid for them while nobody knew the price, or the book had no free quote."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from django.db.models import Sum

from marketdata.models import Mark
from portfolio.models import Account, Book, Fill, LedgerAccount, LedgerTransaction, Position
from portfolio.selectors.passings import chronicle, passings
from portfolio.writers import accounts, alarms, audit, books
from portfolio.writers.alarms import Source
from portfolio.writers.ledger import Journal
from trading.ledger import UNIT, Leg, Pocket, ceil_to, exactly
from trading.positions import fold
from trading.settlement import AVAILABLE, FEE_POOL

FEE_PENDING: Final = "FEE_PENDING"
FEE_SETTLED: Final = "fee_settled"
# Below so many days of fees the operator is told to fill the pool.
POOL_DAYS_MIN: Final = 3
_MEASURED: Final = timedelta(days=7)


@exactly
def settle_pending(account: Account, *, now: datetime) -> int:
    """Charge what can be priced and paid on a locked account; a book with nothing pending may enter again."""
    count = 0
    for book in Book.objects.filter(account=account, is_halted=True, halt_reason=FEE_PENDING):
        pending = list(_pending(book))
        settled = [fill for fill in pending if _settle(account, book, fill, now=now)]
        if settled:
            for instrument_id in {fill.instrument_id for fill in settled}:
                _refold(book, instrument_id)
            count += len(settled)
        if len(settled) == len(pending):
            Book.objects.filter(id=book.pk).update(is_halted=False, halt_reason="")
            alarms.clear(account.pk, Source.BOOK, book_id=book.pk, now=now)
            audit.record(action="fees.settled", subject=f"book:{book.pk}", after={"fills": len(settled)}, now=now)
            books.raise_versions([book.pk])
    if count:
        accounts.changed(account)
    return count


def pools_running_low(account_id: int, *, market_at: datetime) -> list[str]:
    """Return the assets whose pool would not last for three more days of fees like the last seven's."""
    spent = (
        Fill.objects.filter(account=account_id, traded_at__gt=market_at - _MEASURED, fee__gt=0, book__isnull=False)
        .values_list("fee_asset")
        .annotate(total=Sum("fee"))
    )
    pools = dict(LedgerAccount.objects.filter(account=account_id, kind=FEE_POOL).values_list("asset", "balance"))
    days = Decimal(_MEASURED.days)
    return sorted(asset for asset, total in spent if asset in pools and pools[asset] * days < POOL_DAYS_MIN * total)


def _pending(book: Book) -> Iterable[Fill]:
    rows = Fill.objects.filter(book=book, ledger_transaction__facts__has_key="fee_owed")
    references = LedgerTransaction.objects.filter(account=book.account_id, kind=FEE_SETTLED).values("reference")
    return rows.exclude(ledger_transaction__reference__in=references).select_related("instrument", "ledger_transaction")


def _settle(account: Account, book: Book, fill: Fill, *, now: datetime) -> bool:
    """Have the book pay the pool, all of it or nothing yet; rounded in the pool's favour."""
    owed = _owed(account, fill)
    journal = Journal(account, now=now, book_ids=(book.pk,))
    quote = fill.instrument.quote
    own, pool = Pocket(AVAILABLE, book.pk, quote), Pocket(FEE_POOL, None, quote)
    if owed is None or journal.balance(own) < owed:
        return False
    journal.post(
        kind=FEE_SETTLED,
        reference=fill.ledger_transaction.reference,
        legs=[Leg(own, -owed), Leg(pool, owed)],
        market_at=account.synced_through_at or fill.traded_at,
    )
    journal.flush()
    fill.fee_quote += owed
    fill.save(update_fields=["fee_quote"])
    return True


def _owed(account: Account, fill: Fill) -> Decimal | None:
    """Return what the book still owes for a fill; None while nobody knows the price of the fee's asset."""
    said = fill.ledger_transaction.facts["fee_owed"]
    if said:
        return Decimal(said)
    marks = Mark.objects.filter(
        instrument__market=account.market_id, instrument__base=fill.fee_asset, instrument__quote=fill.instrument.quote
    )
    price = marks.values_list("price", flat=True).first()
    return None if price is None else ceil_to(fill.fee * price, UNIT)


def _refold(book: Book, instrument_id: int) -> None:
    """Fold the position again: a fee that came later belongs to the fill that caused it."""
    rows = Fill.objects.filter(book=book, instrument=instrument_id).select_related("instrument", "ledger_transaction")
    passed = passings(book.account_id, book_id=book.pk).get((book.pk, instrument_id), ())
    story = chronicle(rows, passed)
    folded, realised = fold(chapter.fact for chapter in story)
    moved = []
    for (_, row), gain in zip(story, realised, strict=True):
        if row is not None and row.realised != gain:
            row.realised = gain
            moved.append(row)
    Fill.objects.bulk_update(moved, ["realised"])
    position = Position.objects.select_for_update().get(book=book, instrument=instrument_id)
    position.cost, position.realised, position.fees = folded.cost, folded.realised, folded.fees
    position.version += 1
    position.save()
