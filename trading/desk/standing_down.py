"""Take a book out of the market: entries first, then whatever can be sold; what cannot be sold keeps its stop."""

from __future__ import annotations

from trading.desk.desk import Desk
from trading.desk.placing import place
from trading.desk.rows import FLATTEN, PositionRow
from trading.ledger import exactly


@exactly
def stand_down(desk: Desk, book_id: int, *, reason: str) -> int:
    """Cancel a book's entries and sell all it can sell once the cancels are proven; answer how many sells were asked for.

    Safe to repeat: a position that is being sold already is left alone.
    """
    for order in list(desk.live):
        if order.book_id == book_id and order.side == "buy":
            desk.cancel(order)
    for waiting in list(desk.waiting):
        if waiting.book_id == book_id and waiting.side == "buy":
            desk.drop(waiting, reason)
    return sum(_sell(desk, position, reason) for position in desk.positions_of(book_id))


def can_be_sold(desk: Desk, position: PositionRow) -> bool:
    """Say whether the exchange would take a sale of all whole lots: dust stays where it is."""
    instrument, mark = desk.instrument(position.instrument_id), desk.mark(position.instrument_id)
    quantity = position.quantity // instrument.lot_size * instrument.lot_size
    return mark is not None and quantity >= instrument.quantity_min and quantity * mark >= instrument.notional_min


def is_being_sold(desk: Desk, position: PositionRow) -> bool:
    """Say whether a sale of the position is on its way."""
    book_id, instrument_id = position.book_id, position.instrument_id
    live = desk.live_of(book_id, instrument_id, side="sell")
    waiting = desk.waiting_of(book_id, instrument_id)
    return any(order.intent.kind == FLATTEN for order in live) or any(row.kind == FLATTEN for row in waiting)


def _sell(desk: Desk, position: PositionRow, reason: str) -> bool:
    if not can_be_sold(desk, position) or is_being_sold(desk, position):
        return False
    intent = desk.store.make_intent(
        book_id=position.book_id,
        kind=FLATTEN,
        instrument=desk.instrument(position.instrument_id),
        side="sell",
        lots=0,
        reason=reason,
        market_at=desk.market_at,
    )
    desk.admit(intent)
    refusal = place(desk, intent)
    if refusal is not None:
        desk.forget(intent)
    return refusal is None
