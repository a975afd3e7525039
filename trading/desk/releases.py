"""What follows when an order has ended: attach stops, release what waited for it."""

from __future__ import annotations

from trading.desk.desk import Desk, is_stop
from trading.desk.placing import attach_stop, is_protected, release_waiting
from trading.desk.rows import ENTER, SELLS_OF_EXIT, OrderRow
from trading.ledger import ZERO, exactly
from trading.order_status import FILLED


@exactly
def after_fills(desk: Desk) -> None:
    """Release every waiting intent whose cancels are proven. Start-up calls it; endings call it by themselves."""
    if desk.waiting:
        release_waiting(desk)


def after_end(desk: Desk, order: OrderRow) -> None:
    """Do what the end of an order calls for: most ends call for nothing."""
    has_stop = order.intent.stop_price is not None and _leaves_something_to_protect(order)
    lost_stop = order.status != FILLED and (is_stop(order) or _took_a_stop_away(desk, order))
    if not (has_stop or lost_stop or desk.waiting_of(order.book_id, order.instrument_id)):
        return
    if has_stop:
        attach_stop(desk, order.intent)
    release_waiting(desk)
    if lost_stop:
        _note_lost_stop(desk, order)


def _leaves_something_to_protect(order: OrderRow) -> bool:
    if order.intent.kind == ENTER:
        return order.filled_quantity > ZERO
    return order.intent.kind in SELLS_OF_EXIT


def _took_a_stop_away(desk: Desk, order: OrderRow) -> bool:
    """Say whether an exit that did not sell all may have cost the position its stop."""
    return order.intent.kind in SELLS_OF_EXIT and desk.store.has_had_stop(order.book_id, order.instrument_id)


def _note_lost_stop(desk: Desk, order: OrderRow) -> None:
    """Mark a position that has lost its stop, unless another stands or follows; a stop we cancelled is not lost."""
    position = desk.position(order.book_id, order.instrument_id)
    was_asked_for = is_stop(order) and order.cancel_requested_at is not None
    if position is None or was_asked_for or is_protected(desk, order):
        return
    if position.quantity // desk.instrument(order.instrument_id).lot_size > ZERO:
        position.is_unprotected = True
        desk.touch_position(position)
