"""Trades from flat to flat: derived from fills whenever they are asked for, stored nowhere."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

from django.db.models import F

from portfolio.models import Fill
from trading.ledger import ZERO, exactly


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
    bought: Decimal = ZERO
    cost: Decimal = ZERO
    proceeds: Decimal = ZERO
    fees: Decimal = ZERO
    profit: Decimal = ZERO


@exactly
def trades(*, account_id: int, book_id: int | None = None) -> list[Trade]:
    """Return an account's or a book's trades, newest first. Less than one lot left is dust, and ends a trade."""
    rows = Fill.objects.filter(account=account_id).annotate(why=F("order__intent__reason"))
    if book_id is not None:
        rows = rows.filter(book=book_id)
    found: list[Trade] = []
    running: dict[tuple[int | None, int], _Open] = {}
    dust: defaultdict[tuple[int | None, int], Decimal] = defaultdict(lambda: ZERO)
    for fill in rows.select_related("book", "instrument").order_by("id"):
        place = (fill.book_id, fill.instrument_id)
        trade = running.setdefault(place, _Open(fill, fill.traded_at, held=dust.pop(place, ZERO)))
        _add(trade, fill)
        if fill.side == "sell" and trade.held < fill.instrument.lot_size:
            found.append(_told(trade, closed_at=fill.traded_at))
            dust[place] = running.pop(place).held
    found += [_told(trade, closed_at=None) for trade in running.values()]
    return sorted(found, key=lambda trade: (trade.closed_at or datetime.max.replace(tzinfo=UTC), trade.opened_at), reverse=True)


def _add(trade: _Open, fill: Fill) -> None:
    trade.last = fill
    fee_in_base = fill.fee if fill.fee_asset == fill.instrument.base else ZERO
    if fill.side == "buy":
        trade.held += fill.quantity - fee_in_base
        trade.bought += fill.quantity
        trade.cost += fill.quote_quantity
    else:
        trade.held -= fill.quantity + fee_in_base
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
