"""Trades from flat to flat: derived from the newest fills whenever they are asked for, stored nowhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

from django.db.models import F, Q

from portfolio.models import Book, BookTransfer, DeficitCover, Fill, Position
from trading.desk.covering import DEFICIT_COVERED
from trading.desk.fills import fact_of
from trading.desk.mode_rules import HANDED_OVER
from trading.ledger import ZERO, exactly

# Pages ask for the newest trades; an account may have millions of fills.
FILLS_MAX: Final = 5_000
_Place = tuple[int | None, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trade:
    """A position from nothing to nothing but dust, or still open; `profit` is what its sells realised, net of fees."""

    book_id: int | None
    bot: str | None
    symbol: str
    opened_at: datetime
    closed_at: datetime | None
    quantity: Decimal
    cost: Decimal
    proceeds: Decimal
    fees: Decimal
    profit: Decimal
    reason: str


@dataclass(slots=True)
class _Open:
    last: Fill
    opened_at: datetime
    held: Decimal = ZERO
    is_cut: bool = False
    bought: Decimal = ZERO
    cost: Decimal = ZERO
    proceeds: Decimal = ZERO
    fees: Decimal = ZERO
    profit: Decimal = ZERO


@exactly
def trades(*, account_id: int, book_id: int | None = None, fills_max: int = FILLS_MAX) -> list[Trade]:
    """Return the trades of an account's or a book's newest fills, newest first. Less than one lot left is dust, and ends a trade.

    A trade whose beginning is older than those fills is left out: its figures would be wrong.
    """
    fills = _newest(account_id, book_id, fills_max)
    found: list[Trade] = []
    running: dict[_Place, _Open] = {}
    held = _held_before(fills) if len(fills) >= fills_max else {}
    for fill in fills:
        place = (fill.book_id, fill.instrument_id)
        trade = running.get(place)
        if trade is None:
            before = held.pop(place, ZERO)
            trade = running[place] = _Open(fill, fill.traded_at, held=before, is_cut=before >= fill.instrument.lot_size)
        _add(trade, fill)
        if fill.side == "sell" and trade.held < fill.instrument.lot_size:
            held[place] = running.pop(place).held
            if not trade.is_cut:
                found.append(_told(trade, closed_at=fill.traded_at))
    found += [_told(trade, closed_at=None) for trade in running.values() if not trade.is_cut]
    return sorted(found, key=lambda trade: (trade.closed_at or datetime.max.replace(tzinfo=UTC), trade.opened_at), reverse=True)


def _newest(account_id: int, book_id: int | None, count: int) -> Sequence[Fill]:
    """Return the newest fills, oldest first."""
    rows = Fill.objects.filter(account=account_id).annotate(why=F("order__intent__reason"))
    if book_id is not None:
        rows = rows.filter(book=book_id)
    fills = list(rows.select_related("book", "instrument").order_by("-id")[:count])[::-1]
    passed = passed_on(account_id, book_id, **({"market_at__gte": fills[0].traded_at} if len(fills) == count else {}))
    return sorted([*fills, *passed], key=lambda fill: fill.traded_at) if passed else fills


def passed_on(account_id: int, book_id: int | None, **span: Any) -> list[Fill]:
    """Return holdings that passed between books as the trades they amount to: a sale here, a purchase there, at the mark."""
    of_transfers = Q() if book_id is None else Q(book_before=book_id) | Q(book_after=book_id)
    of_covers = Q() if book_id is None else Q(book=book_id) | Q(source=book_id)
    rows = BookTransfer.objects.filter(of_transfers, hand_over__account=account_id, **span)
    rows = rows.select_related("book_before", "book_after", "instrument").order_by("id")
    found = []
    for row in rows:
        for book, side, realised in ((row.book_before, "sell", row.realised), (row.book_after, "buy", ZERO)):
            if book_id in (None, book.pk):
                found.append(_as_fill(row, book, side, realised, why=HANDED_OVER))
    covers = DeficitCover.objects.filter(of_covers, book__account=account_id, **span)
    covers = covers.select_related("book", "source", "instrument").order_by("id")
    for cover in covers:
        for holder, side, realised in ((cover.source, "sell", cover.realised_source), (cover.book, "buy", cover.realised)):
            if holder is not None and book_id in (None, holder.pk):
                found.append(_as_fill(cover, holder, side, realised, why=DEFICIT_COVERED))
    return found


def _as_fill(row: BookTransfer | DeficitCover, book: Book, side: str, realised: Decimal, *, why: str) -> Fill:
    facts = {"price": row.mark, "quantity": row.quantity, "quote_quantity": row.value, "realised": realised}
    fill = Fill(book=book, instrument=row.instrument, side=side, traded_at=row.market_at, **facts)
    fill.fee, fill.fee_asset, fill.fee_quote = ZERO, row.instrument.quote, ZERO
    vars(fill).update(why=why, seq=row.ledger_seq)
    return fill


def _held_before(fills: Sequence[Fill]) -> dict[_Place, Decimal]:
    """Return what was held before the first of these fills: what is held now, less what they brought."""
    books = {fill.book_id for fill in fills if fill.book_id is not None}
    rows = Position.objects.filter(book__in=books).values_list("book_id", "instrument_id", "quantity")
    held: dict[_Place, Decimal] = {(book, instrument): quantity for book, instrument, quantity in rows}
    for fill in fills:
        place = (fill.book_id, fill.instrument_id)
        if place in held:
            held[place] -= moved(fill)
    return held


def moved(fill: Fill) -> Decimal:
    """Return what a fill brought into its position, or took out of it."""
    base = fact_of(fill).base
    return base if fill.side == "buy" else -base


def _add(trade: _Open, fill: Fill) -> None:
    trade.last = fill
    trade.held += moved(fill)
    if fill.side == "buy":
        trade.bought += fill.quantity
        trade.cost += fill.quote_quantity
    else:
        trade.proceeds += fill.quote_quantity
        trade.profit += fill.realised
    trade.fees += fill.fee_quote


def _told(trade: _Open, *, closed_at: datetime | None) -> Trade:
    fill = trade.last
    return Trade(
        book_id=fill.book_id,
        bot=fill.book.name if fill.book else None,
        symbol=fill.instrument.symbol,
        opened_at=trade.opened_at,
        closed_at=closed_at,
        quantity=trade.bought,
        cost=trade.cost,
        proceeds=trade.proceeds,
        fees=trade.fees,
        profit=trade.profit,
        reason=getattr(fill, "why", None) or "",
    )
