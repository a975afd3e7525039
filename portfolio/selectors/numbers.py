"""What accounts, books and positions are worth, and what they have gained: computed here and nowhere else."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.db.models import Q

from marketdata.models import Instrument, Mark
from portfolio.models import Account, Allocation, Book, EquityPoint, LedgerAccount, Position
from trading.ledger import UNIT, ZERO, exactly

Kind = LedgerAccount.Kind
_POOLS = (Kind.UNALLOCATED, Kind.FEE_POOL, Kind.DUST, Kind.IN_TRANSIT)


@dataclass(frozen=True, slots=True, kw_only=True)
class PositionNumbers:
    """A position at its mark; unpriced figures are at cost."""

    position: Position
    mark: Decimal | None
    value: Decimal
    unrealised: Decimal
    average_cost: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class BookNumbers:
    """A book in quote: what it has, what it was given, what it made of it."""

    book_id: int
    number: int
    name: str
    version: int
    percent: Decimal
    target: Decimal
    base_equity: Decimal
    cash: Decimal
    reserved: Decimal
    holdings: Decimal
    equity: Decimal
    realised: Decimal
    unrealised: Decimal
    fees: Decimal
    net_flows: Decimal
    unpriced: tuple[str, ...]

    @property
    def pnl(self) -> Decimal:
        """Return what the book made: its worth less the capital it was given."""
        return self.equity - self.net_flows

    @property
    def return_ratio(self) -> Decimal | None:
        """Return the gain as a share of the capital the book is sized by."""
        return _ratio(self.pnl, self.base_equity)


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountOverview:
    """An account in quote; what is in suspense counts as nobody's and is in no figure but its own."""

    account_id: int
    version: int
    equity: Decimal
    unallocated: Decimal
    in_transit: Decimal
    pools: Decimal
    realised: Decimal
    unrealised: Decimal
    fees: Decimal
    net_flows: Decimal
    pools_pnl: Decimal
    suspense: dict[str, Decimal]
    unpriced: tuple[str, ...]
    books: tuple[BookNumbers, ...]

    @property
    def pnl(self) -> Decimal:
        """Return what the account made: its worth less deposits plus withdrawals."""
        return self.equity - self.net_flows

    @property
    def return_ratio(self) -> Decimal | None:
        """Return the gain as a share of the capital put in."""
        return _ratio(self.pnl, self.net_flows)


@exactly
def account_overview(account_id: int, *, prices: Mapping[int, Decimal] | None = None) -> AccountOverview:
    """Return an account with all its books at the marks, or at these prices by instrument: six queries."""
    account = Account.objects.get(id=account_id)
    worth = _Worth(account, prices)
    books = tuple(worth.book(book) for book in Book.objects.filter(account=account).order_by("number"))
    pools = sum((worth.value(row.asset, row.balance) for row in worth.rows if row.kind in _POOLS), ZERO)
    flows_books = sum((book.net_flows for book in books), ZERO)
    return AccountOverview(
        account_id=account.pk,
        version=account.version,
        equity=pools + sum((book.equity for book in books), ZERO),
        unallocated=sum(
            (row.balance for row in worth.rows if row.kind == Kind.UNALLOCATED and row.asset == account.quote_asset), ZERO
        ),
        in_transit=sum((worth.value(row.asset, row.balance) for row in worth.rows if row.kind == Kind.IN_TRANSIT), ZERO),
        pools=pools,
        realised=sum((book.realised for book in books), ZERO),
        unrealised=sum((book.unrealised for book in books), ZERO),
        fees=sum((book.fees for book in books), ZERO),
        net_flows=account.net_flows,
        pools_pnl=pools - (account.net_flows - flows_books),
        suspense={row.asset: row.balance for row in worth.rows if row.kind == Kind.SUSPENSE and row.balance},
        unpriced=tuple(sorted(worth.unpriced)),
        books=books,
    )


def book_numbers(account_id: int, *, prices: Mapping[int, Decimal] | None = None) -> list[BookNumbers]:
    """Return the figures of every book of an account."""
    return list(account_overview(account_id, prices=prices).books)


@exactly
def positions(account_id: int, *, book_id: int | None = None) -> list[PositionNumbers]:
    """Return the positions that hold anything, largest first."""
    rows = Position.objects.filter(book__account=account_id).exclude(quantity=0).select_related("book", "instrument")
    if book_id is not None:
        rows = rows.filter(book=book_id)
    found = list(rows)
    marks = dict(Mark.objects.filter(instrument__in={row.instrument_id for row in found}).values_list("instrument_id", "price"))
    numbers = []
    for row in found:
        mark = marks.get(row.instrument_id)
        value = row.cost if mark is None else row.quantity * mark
        numbers.append(
            PositionNumbers(
                position=row,
                mark=mark,
                value=value,
                unrealised=value - row.cost,
                average_cost=row.cost // (row.quantity * UNIT) * UNIT,
            )
        )
    return sorted(numbers, key=lambda row: (-row.value, row.position.pk))


def equity_series(
    account_id: int, *, book_id: int | None = None, since: datetime | None = None, limit: int = 2000
) -> list[EquityPoint]:
    """Return the newest points of an account's or a book's equity, oldest first."""
    rows = EquityPoint.objects.filter(account=account_id, book=book_id)
    if since is not None:
        rows = rows.filter(market_at__gte=since)
    return list(rows.order_by("-market_at")[:limit])[::-1]


class _Worth:
    """Balances, positions and prices of one account, read once."""

    def __init__(self, account: Account, prices: Mapping[int, Decimal] | None) -> None:
        self.quote = account.quote_asset
        self.rows = list(LedgerAccount.objects.filter(account=account).exclude(balance=0))
        self.unpriced: set[str] = set()
        self._positions: dict[int, list[Position]] = defaultdict(list)
        for position in Position.objects.filter(book__account=account).select_related("instrument"):
            self._positions[position.book_id].append(position)
        known = prices or {}
        priced = Instrument.objects.filter(Q(mark__isnull=False) | Q(pk__in=known), market=account.market_id, quote=self.quote)
        self._prices = {base: known.get(pk, mark) for pk, base, mark in priced.values_list("pk", "base", "mark__price")}
        newest = Allocation.objects.filter(book__account=account).order_by("book", "-plan").distinct("book")
        self._allocations = {row.book_id: row for row in newest}
        self._balances: dict[int, list[LedgerAccount]] = defaultdict(list)
        for row in self.rows:
            if row.book_id is not None and row.kind in (Kind.AVAILABLE, Kind.RESERVED, Kind.DEFICIT):
                self._balances[row.book_id].append(row)

    def price(self, asset: str) -> Decimal | None:
        """Return the price of an asset in quote."""
        return Decimal(1) if asset == self.quote else self._prices.get(asset)

    def value(self, asset: str, amount: Decimal) -> Decimal:
        """Value an amount; an unpriced asset counts as nothing and is named."""
        price = self.price(asset)
        if price is None:
            self.unpriced.add(asset)
            return ZERO
        return amount * price

    def book(self, book: Book) -> BookNumbers:
        """Add up one book."""
        cash = reserved = holdings = ZERO
        unpriced = set()
        for row in self._balances[book.pk]:
            if row.asset != self.quote:
                holdings += self.value(row.asset, row.balance)
                unpriced |= {row.asset} - self._prices.keys()
            elif row.kind == Kind.AVAILABLE:
                cash += row.balance
            else:
                # What is reserved and not there, for an order that was adopted, is a deficit: below zero.
                reserved += row.balance
        held = self._positions[book.pk]
        unrealised = sum((self.value(row.instrument.base, row.quantity) - row.cost for row in held), ZERO)
        allocation = self._allocations.get(book.pk)
        return BookNumbers(
            book_id=book.pk,
            number=book.number,
            name=book.name,
            version=book.version,
            percent=allocation.percent if allocation else ZERO,
            target=allocation.amount if allocation else ZERO,
            base_equity=book.base_equity,
            cash=cash,
            reserved=reserved,
            holdings=holdings,
            equity=cash + reserved + holdings,
            realised=sum((row.realised for row in held), ZERO),
            unrealised=unrealised,
            fees=sum((row.fees for row in held), ZERO),
            net_flows=book.net_flows,
            unpriced=tuple(sorted(unpriced)),
        )


def _ratio(part: Decimal, whole: Decimal) -> Decimal | None:
    if whole <= ZERO:
        return None
    # Towards zero, to eight decimals: a ratio is shown, never posted.
    sign = -1 if part < ZERO else 1
    return sign * (abs(part) // (whole * UNIT)) * UNIT
