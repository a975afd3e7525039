"""What follows when an order has ended: attach stops, release what waited for it."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Final

from trading.desk.desk import Desk, is_stop
from trading.desk.dust import can_be_sold
from trading.desk.placing import attach_stop, is_looked_after, new_stop, release_waiting, replace_stop
from trading.desk.rows import ENTER, FLATTEN, SELLS_OF_EXIT, STOP, IntentRow, OrderRow, PositionRow
from trading.desk.standing_down import sell_more
from trading.ledger import ZERO, exactly
from trading.order_status import ABSENT, WITHDRAWN

LATE_AFTER_FLATTEN: Final = "LATE_AFTER_FLATTEN"
STOP_ABSENT: Final = "STOP_ABSENT"


@exactly
def after_fills(desk: Desk) -> None:
    """Release every waiting intent whose cancels are proven, and protect what an absent stop has left bare.

    Start-up calls it; endings call it by themselves.
    """
    if desk.waiting:
        release_waiting(desk)
    for book_id in desk.books:
        for position in desk.positions_of(book_id):
            stop = desk.store.newest_stop(book_id, position.instrument_id) if position.is_unprotected else None
            if stop is not None:
                _protect_again(desk, stop)


def after_end(desk: Desk, order: OrderRow) -> None:
    """Do what the end of an order calls for: most ends call for nothing."""
    has_stop = order.intent.stop_price is not None and _leaves_something_to_protect(order)
    # A stop or an exit that filled has done its work, unless the position had grown beyond it.
    lost_stop = is_stop(order) or _took_a_stop_away(desk, order)
    is_late = _comes_after_a_flatten(desk, order)
    if not (has_stop or lost_stop or is_late or desk.waiting_of(order.book_id, order.instrument_id)):
        return
    is_sold = is_late and _sell_what_came_late(desk, order)
    if has_stop and not is_sold:
        attach_stop(desk, order.intent)
    release_waiting(desk)
    if is_stop(order):
        _protect_again(desk, order)
    if lost_stop or is_late:
        note_lost_stop(desk, order.book_id, order.instrument_id)


def after_doubt(desk: Desk, order: OrderRow) -> None:
    """Release a flatten that waited for an order of which nobody knows any more whether it lives."""
    if desk.waiting_of(order.book_id, order.instrument_id):
        release_waiting(desk)


def call_off(desk: Desk, orders: Iterable[OrderRow], intents: Iterable[IntentRow], *, reason: str) -> set[tuple[int, int]]:
    """Ask for the cancel of orders and give intents up; answer the positions that thereby lost a stop at once.

    Where the exchange must first take a cancel, its answer tells.
    """
    lost = set()
    for order in list(orders):
        desk.cancel(order)
        if is_stop(order) and order.status == WITHDRAWN:
            lost.add((order.book_id, order.instrument_id))
    for intent in list(intents):
        desk.drop(intent, reason)
        if intent.kind == STOP:
            lost.add((intent.book_id, intent.instrument_id))
    return lost


def note_lost_stop(desk: Desk, book_id: int, instrument_id: int) -> None:
    """Mark a position that has lost its stop, unless another stands, or its exit is on the way (I-47)."""
    position = desk.position(book_id, instrument_id)
    if position is None or is_looked_after(desk, book_id, instrument_id):
        return
    if _has_lots(desk, position):
        position.is_unprotected = True
        desk.touch_position(position)


def _protect_again(desk: Desk, stop: OrderRow) -> None:
    """Ask anew for a stop that is proven never to have reached the exchange: a new intent and a new order, nothing is resent.

    Where its cancel was asked for, somebody wanted it gone. If the price has gone through it meanwhile, the exchange
    refuses the new one like any other, and the position stays marked.
    """
    book_id, instrument_id = stop.book_id, stop.instrument_id
    position = desk.position(book_id, instrument_id)
    if stop.status != ABSENT or stop.cancel_requested_at is not None or position is None or position.stop_price is None:
        return
    is_cared_for = is_looked_after(desk, book_id, instrument_id) or _waits_to_sell(desk, book_id, instrument_id)
    if is_cared_for or not _has_lots(desk, position):
        return
    again = new_stop(
        book_id, desk, instrument_id=instrument_id, stop_price=position.stop_price, reason=STOP_ABSENT, parent=stop.intent
    )
    replace_stop(desk, again)


def _waits_to_sell(desk: Desk, book_id: int, instrument_id: int) -> bool:
    return any(intent.side == "sell" for intent in desk.waiting_of(book_id, instrument_id))


def _comes_after_a_flatten(desk: Desk, order: OrderRow) -> bool:
    """Say whether a book was sold out after this order was made: what it bought, or held, is meant to be sold too."""
    if order.cancel_requested_at is None or order.intent.kind in SELLS_OF_EXIT:
        return False
    return _freed(order) > ZERO and order.intent.seq <= desk.books[order.book_id].flattened_seq


def _sell_what_came_late(desk: Desk, order: OrderRow) -> bool:
    """Sell what an order of before a flatten has brought or given back, and no more: the book may have begun anew.

    Answers whether it is being sold.
    """
    if any(intent.kind == FLATTEN for intent in desk.waiting_of(order.book_id, order.instrument_id)):
        return True
    position = desk.position(order.book_id, order.instrument_id)
    if position is None or not can_be_sold(desk, position):
        return False
    if order.side == "sell" and position.stop_price is not None:
        # A stop of dust outlives a hard stop; whoever replaced it now looks after the position.
        return False
    instrument = desk.instrument(order.instrument_id)
    return sell_more(desk, position, reason=LATE_AFTER_FLATTEN, lots=int(_freed(order) // instrument.lot_size))


def _freed(order: OrderRow) -> Decimal:
    return order.filled_quantity if order.side == "buy" else order.quantity - order.filled_quantity


def _leaves_something_to_protect(order: OrderRow) -> bool:
    if order.intent.kind == ENTER:
        return order.filled_quantity > ZERO
    return order.intent.kind in SELLS_OF_EXIT


def _has_lots(desk: Desk, position: PositionRow) -> bool:
    return position.quantity // desk.instrument(position.instrument_id).lot_size > ZERO


def _took_a_stop_away(desk: Desk, order: OrderRow) -> bool:
    """Say whether an exit may have cost what is left of the position its stop."""
    if order.intent.kind not in SELLS_OF_EXIT:
        return False
    position = desk.position(order.book_id, order.instrument_id)
    if position is None or not _has_lots(desk, position):
        return False
    return position.stop_price is not None or desk.store.has_had_stop(order.book_id, order.instrument_id)
