"""Take a book out of the market: entries first, then whatever can be sold; what cannot be sold keeps its stop."""

from __future__ import annotations

from decimal import Decimal

from trading.desk.desk import Desk
from trading.desk.dust import can_be_sold
from trading.desk.placing import place, sale_ahead
from trading.desk.rows import FLATTEN, IntentRow, PositionRow
from trading.ledger import exactly
from trading.order_status import UNKNOWN


@exactly
def stand_down(desk: Desk, book_id: int, *, reason: str) -> int:
    """Cancel a book's entries and sell all it can sell once the cancels are proven; answer how many sells were asked for.

    Safe to repeat: a position that is being sold already is left alone.
    """
    desk.note_flatten(book_id)
    for order in list(desk.live):
        if order.book_id == book_id and order.side == "buy":
            desk.cancel(order)
    for waiting in list(desk.waiting):
        if waiting.book_id == book_id and waiting.side == "buy":
            desk.drop(waiting, reason)
    holding = [position for position in desk.positions_of(book_id) if can_be_sold(desk, position)]
    return sum(sell_out(desk, position, reason=reason) for position in holding if not is_being_sold(desk, position))


def is_being_sold(desk: Desk, position: PositionRow) -> bool:
    """Say whether a sale of the whole position is on its way; one of unknown fate is, unless more is free to be sold."""
    book_id, instrument_id = position.book_id, position.instrument_id
    sales = [order for order in desk.live_of(book_id, instrument_id) if order.intent.kind == FLATTEN]
    if any(row.kind == FLATTEN for row in desk.waiting_of(book_id, instrument_id)):
        return True
    if not sales or any(order.status != UNKNOWN for order in sales):
        return bool(sales)
    return not can_be_sold(desk, position, free=desk.available(book_id, desk.instrument(instrument_id).base))


def sell_out(desk: Desk, position: PositionRow, *, reason: str) -> bool:
    """Ask for the sale of a position, behind the sale that is on its way if there is one; answer whether there is anything."""
    return _sell(desk, _sale(desk, position, reason=reason))


def sell_more(desk: Desk, position: PositionRow, *, reason: str, lots: int) -> bool:
    """Sell so many lots of a position, behind the sale that is on its way if there is one; what stays keeps its stop.

    Answers whether there is anything to sell.
    """
    return _sell(desk, _sale(desk, position, reason=reason, lots=lots, stop_price=position.stop_price))


def _sell(desk: Desk, intent: IntentRow) -> bool:
    desk.admit(intent)
    if sale_ahead(desk.live_of(intent.book_id, intent.instrument_id), intent) is not None:
        # It may sell a part alone: what it leaves, or gives back, is sold after it.
        desk.wait(intent)
        return True
    refusal = place(desk, intent)
    if refusal is not None:
        desk.forget(intent)
    return refusal is None


def _sale(desk: Desk, position: PositionRow, *, reason: str, lots: int = 0, stop_price: Decimal | None = None) -> IntentRow:
    return desk.store.make_intent(
        book_id=position.book_id,
        kind=FLATTEN,
        instrument=desk.instrument(position.instrument_id),
        side="sell",
        lots=lots,
        stop_price=stop_price,
        reason=reason,
        market_at=desk.market_at,
    )
