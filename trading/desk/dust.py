"""What a book holds and nobody would buy: too little for an order. It can be neither sold nor, therefore, saved."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from trading.desk.desk import Desk
from trading.desk.rows import PositionRow
from trading.ledger import UNIT, ZERO, ceil_to


def can_be_sold(desk: Desk, position: PositionRow, *, free: Decimal | None = None) -> bool:
    """Say whether the exchange would take a sale of all whole lots, or of those that are free: dust stays where it is."""
    instrument, mark = desk.instrument(position.instrument_id), desk.mark(position.instrument_id)
    quantity = (position.quantity if free is None else free) // instrument.lot_size * instrument.lot_size
    return mark is not None and quantity >= instrument.quantity_min and quantity * mark >= instrument.notional_min


def loss_floor(desk: Desk, book_ids: Iterable[int]) -> Decimal:
    """Return the loss below which a hard stop of these books could neither sell nor cancel anything.

    Zero as long as there is something to sell or an entry to cancel. Otherwise the worth of the smallest orders in
    what is held: dust is worth less than that, so losing all of it is no reason to shut a book for a person.
    """
    wanted, floor = set(book_ids), ZERO
    coming = {row.book_id for row in desk.live if row.side == "buy"} | {row.book_id for row in desk.waiting if row.side == "buy"}
    if coming & wanted:
        return ZERO
    for book_id in wanted:
        for position in desk.positions_of(book_id):
            if position.quantity <= ZERO:
                continue
            if can_be_sold(desk, position):
                return ZERO
            floor += _smallest_order(desk, position)
    return floor


def _smallest_order(desk: Desk, position: PositionRow) -> Decimal:
    instrument, mark = desk.instrument(position.instrument_id), desk.mark(position.instrument_id)
    quantity = max(instrument.quantity_min, instrument.lot_size)
    return max(instrument.notional_min, ceil_to(quantity * (mark or ZERO), UNIT))
