"""What became of a live book's entries and orders, told as the arithmetic of backtests reads it; stored nowhere."""

from __future__ import annotations

from bisect import bisect
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, DefaultContext, localcontext
from itertools import accumulate
from operator import itemgetter
from typing import Final, NamedTuple

from django.db.models import F, QuerySet

from marketdata.candles import milliseconds
from marketdata.models import Instrument, Mark
from portfolio.models import Book, Fill, Order, Position
from portfolio.selectors.exact import ORDER_KINDS
from portfolio.selectors.trades import moved, passed_on
from trading.fill_ratios import OrderTally
from trading.ledger import ZERO, exactly
from trading.round_trips import RoundTrip, closed_trips
from trading.strategy import NO_SLOT, OrderKind

# A book may have millions of fills and orders; the newest are one look into an index.
FILLS_MAX: Final = 5_000
ORDERS_MAX: Final = 5_000
# The exchange took these, and they are over; what it refused, or never saw, never became an order.
_OVER: Final = (Order.Status.FILLED, Order.Status.CANCELED, Order.Status.EXPIRED)
_AMOUNTS: Final = ("quantity", "filled_quantity")


class LiveFill(NamedTuple):
    """A fill as round trips read it; a fee in a third asset is the quote that the book paid for it."""

    time: int
    side: str
    quantity: Decimal
    price: Decimal
    fee: Decimal
    fee_asset: str
    symbol: str
    slot: int
    reason: str
    stop_price: Decimal | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BookTrips:
    """The closed trades of a book's newest fills, and how far back those reach."""

    trips: Sequence[RoundTrip]
    fills: int
    since: datetime | None
    # There are older fills; a trade that began among them is left out.
    is_cut: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class BookOrders:
    """What became of a book's newest orders, by market and kind; those that live are in no tally."""

    tallies: Sequence[OrderTally]
    looked_at: int
    since: datetime | None
    is_cut: bool


def newest_trips(book: Book, *, is_grid: bool, fills_max: int) -> BookTrips:
    """Follow a book's newest fills into closed trades, with the stops that its entries came with: five queries at most."""
    newest = list(_rows(book.pk).order_by("-id")[: fills_max + 1])
    is_cut = len(newest) > fills_max
    fills = newest[:fills_max][::-1]
    passed = passed_on(book.account_id, book.pk, **({"ledger_seq__gt": vars(fills[0])["seq"]} if is_cut else {}))
    fills = _in_order(fills, passed)
    since, seen = fills[0].traded_at if fills else None, len(fills)
    held = _held_before(book.pk, fills) if is_cut else {}
    if not is_grid:
        fills, held = _from_flat(fills, held)
    return BookTrips(trips=_trips(fills, held, is_grid=is_grid), fills=seen, since=since, is_cut=is_cut)


def trips_between(book: Book, begin_at: datetime, end_at: datetime, *, is_grid: bool) -> list[RoundTrip]:
    """Follow what a book that was flat traded after one moment, up to another, into closed trades."""
    rows = _rows(book.pk).filter(traded_at__gt=begin_at, traded_at__lte=end_at)
    passed = passed_on(book.account_id, book.pk, market_at__gt=begin_at, market_at__lte=end_at)
    return _trips(_in_order(list(rows.order_by("id")), passed), {}, is_grid=is_grid)


def newest_orders(book_id: int, *, orders_max: int) -> BookOrders:
    """Count what became of a book's newest orders: one query."""
    rows = Order.objects.filter(book=book_id).order_by("-id")
    newest = list(rows.values_list("instrument__symbol", "intent__kind", "status", *_AMOUNTS, "market_at")[: orders_max + 1])
    is_cut, newest = len(newest) > orders_max, newest[:orders_max]
    tallies = _tallies([row[:-1] for row in newest])
    return BookOrders(tallies=tallies, looked_at=len(newest), since=newest[-1][-1] if newest else None, is_cut=is_cut)


def orders_between(book_id: int, begin_at: datetime, end_at: datetime) -> list[OrderTally]:
    """Count what became of the orders that a book asked for from one moment on, before another."""
    rows = Order.objects.filter(book=book_id, market_at__gte=begin_at, market_at__lt=end_at)
    return _tallies(list(rows.order_by("id").values_list("instrument__symbol", "intent__kind", "status", *_AMOUNTS)))


def last_prices(tallies: Sequence[OrderTally], market_id: int) -> dict[str, Decimal]:
    """Return the marks of the markets of some orders, as far as there are any."""
    marks = Mark.objects.filter(instrument__market=market_id, instrument__symbol__in={tally.symbol for tally in tallies})
    return dict(marks.values_list("instrument__symbol", "price"))


def _rows(book_id: int) -> QuerySet[Fill]:
    intent = {"kind": F("order__intent__kind"), "why": F("order__intent__reason"), "stop": F("order__intent__stop_price")}
    return Fill.objects.filter(book=book_id).annotate(slot=F("order__slot"), seq=F("ledger_transaction__seq"), **intent)


def _in_order(fills: Sequence[Fill], passed: Sequence[Fill]) -> list[Fill]:
    """Put fills in the order of their trades, and what passed between books after all that was booked before it.

    What passes does so at the close of a candle, and may follow fills of later seconds.
    """
    instruments = Instrument.objects.in_bulk({fill.instrument_id for fill in fills})
    for fill in fills:
        fill.instrument = instruments[fill.instrument_id]
    booked = sorted((vars(fill)["seq"], fill.traded_at) for fill in fills)
    newest = list(accumulate((traded_at for _, traded_at in booked), max))
    places = {id(fill): (fill.traded_at, False, fill.trade_id) for fill in fills}
    for one in passed:
        seq = vars(one)["seq"]
        before = bisect(booked, seq, key=itemgetter(0))
        places[id(one)] = (max([one.traded_at, *newest[before - 1 : before]]), True, seq)
    return sorted([*fills, *passed], key=lambda fill: places[id(fill)])


@exactly
def _held_before(book_id: int, fills: Sequence[Fill]) -> dict[int, Decimal]:
    """Return what was held before the first of these fills: what is held now, less what they brought."""
    held = dict(Position.objects.filter(book=book_id).values_list("instrument_id", "quantity"))
    for fill in fills:
        held[fill.instrument_id] = held.get(fill.instrument_id, ZERO) - moved(fill)
    return held


@exactly
def _from_flat(fills: Sequence[Fill], held: Mapping[int, Decimal]) -> tuple[list[Fill], dict[int, Decimal]]:
    """Leave out what belongs to trades that began before these fills; answer the rest, and the dust it begins with."""
    left, kept = dict(held), []
    cut = {fill.instrument_id for fill in fills if held.get(fill.instrument_id, ZERO) >= fill.instrument.lot_size}
    for fill in fills:
        if fill.instrument_id not in cut:
            kept.append(fill)
            continue
        left[fill.instrument_id] += moved(fill)
        if fill.side == "sell" and left[fill.instrument_id] < fill.instrument.lot_size:
            cut.remove(fill.instrument_id)
    return kept, left


def _trips(fills: Sequence[Fill], held: Mapping[int, Decimal], *, is_grid: bool) -> list[RoundTrip]:
    instruments = {fill.instrument_id: fill.instrument for fill in fills}
    lot_sizes = {one.symbol: one.lot_size for one in instruments.values()}
    dust = {one.symbol: held.get(number, ZERO) for number, one in instruments.items()}
    # Shares of what a grid paid are rounded, as they are in a backtest.
    with localcontext(DefaultContext):
        return closed_trips([_told(fill) for fill in fills], lot_sizes, is_grid=is_grid, held=dust)


def _told(fill: Fill) -> LiveFill:
    base, facts = fill.instrument.base, vars(fill)
    is_in_base = fill.side == "buy" and fill.fee_asset == base
    # What passed between books came from no order.
    kind = ORDER_KINDS.get(facts.get("kind") or "")
    return LiveFill(
        time=milliseconds(fill.traded_at),
        side=fill.side,
        quantity=fill.quantity,
        price=fill.price,
        fee=fill.fee if is_in_base else fill.fee_quote,
        fee_asset=base if is_in_base else fill.instrument.quote,
        symbol=fill.instrument.symbol,
        slot=facts["slot"] if kind == OrderKind.LIMIT else NO_SLOT,
        reason=facts["why"] or "",
        stop_price=facts["stop"] if kind == OrderKind.ENTRY else None,
    )


def _tallies(rows: Sequence[tuple[str, str, str, Decimal, Decimal]]) -> list[OrderTally]:
    found: dict[tuple[str, str], list[tuple[Decimal, Decimal]]] = defaultdict(list)
    for symbol, kind, status, quantity, filled in rows:
        if status in _OVER:
            found[symbol, ORDER_KINDS[kind].name].append((quantity, filled))
    return [
        OrderTally(
            symbol=symbol,
            kind=kind,
            orders=len(amounts),
            filled=sum(filled == quantity for quantity, filled in amounts),
            quantity=sum((quantity for quantity, _ in amounts), ZERO),
            quantity_filled=sum((filled for _, filled in amounts), ZERO),
        )
        for (symbol, kind), amounts in sorted(found.items())
    ]
