"""What books owe in coins, and who could give them."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from decimal import Decimal

from marketdata.models import Instrument, Mark
from portfolio.models import Account, LedgerAccount
from trading.ledger import UNIT, ZERO, ceil_to, exactly

Kind = LedgerAccount.Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Who has some of the coins free; the operator has no book."""

    book_id: int | None
    name: str
    free: Decimal
    # How much of the deficit it could cover now, by its coins and the debtor's cash.
    most: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Deficit:
    """What a book owes in one coin, what that costs at the mark, and what it has to pay with."""

    book_id: int
    bot: str
    asset: str
    symbol: str
    amount: Decimal
    mark: Decimal | None
    cost: Decimal | None
    cash: Decimal
    sources: tuple[Source, ...]


def instrument_of(account: Account, book_id: int, asset: str) -> Instrument | None:
    """Return the pair in which a book owes a coin: the one whose position is below zero, else any in the account's quote."""
    pairs = Instrument.objects.filter(market=account.market_id, base=asset)
    owing = pairs.filter(position__book=book_id, position__quantity__lt=ZERO).first()
    return owing or pairs.filter(quote=account.quote_asset).order_by("id").first()


@exactly
def deficits(account: Account) -> list[Deficit]:
    """Return every deficit in coins, largest book number last."""
    rows = list(LedgerAccount.objects.filter(account=account).select_related("book"))
    owing = [row for row in rows if row.kind == Kind.DEFICIT and row.balance and row.asset != account.quote_asset]
    if not owing:
        return []
    free: dict[tuple[int | None, str], Decimal] = defaultdict(lambda: ZERO)
    names = {row.book_id: row.book.name for row in rows if row.book is not None}
    for row in rows:
        if row.kind in (Kind.AVAILABLE, Kind.UNALLOCATED):
            free[row.book_id, row.asset] += row.balance
    found = []
    for row in sorted(owing, key=lambda row: (row.book_id or 0, row.asset)):
        assert row.book_id is not None
        instrument = instrument_of(account, row.book_id, row.asset)
        if instrument is not None:
            found.append(_deficit(row.book_id, instrument, -row.balance, names, free))
    return found


def _deficit(
    book_id: int,
    instrument: Instrument,
    amount: Decimal,
    names: dict[int | None, str],
    free: dict[tuple[int | None, str], Decimal],
) -> Deficit:
    mark = Mark.objects.filter(instrument=instrument).values_list("price", flat=True).first()
    cash = free[book_id, instrument.quote]
    payable = amount if not mark else min(amount, max(cash, ZERO) // (mark * UNIT) * UNIT)
    holders = {None: "Unallocated"} | {pk: name for pk, name in names.items() if pk != book_id}
    sources = (
        Source(book_id=pk, name=name, free=free[pk, instrument.base], most=min(payable, free[pk, instrument.base]))
        for pk, name in holders.items()
    )
    return Deficit(
        book_id=book_id,
        bot=names[book_id],
        asset=instrument.base,
        symbol=instrument.symbol,
        amount=amount,
        mark=mark,
        cost=None if mark is None else ceil_to(amount * mark, UNIT),
        cash=cash,
        sources=tuple(source for source in sources if source.free > ZERO),
    )
