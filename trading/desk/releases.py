"""What follows when an order has ended: attach stops, release what waited for it."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Final

from trading.desk.desk import Desk
from trading.desk.dust import can_be_sold
from trading.desk.placing import attach_stop, is_looked_after, new_stop, release_waiting, replace_stop, sell_at_market
from trading.desk.rows import (
    ENTER,
    FLATTEN,
    ORDER_ADOPTED,
    SELLS_OF_EXIT,
    STOP,
    STOP_PROTECTIVE,
    STOP_WOULD_TRIGGER,
    IntentRow,
    OrderRow,
    PositionRow,
    is_stop,
)
from trading.desk.standing_down import sell_more
from trading.ledger import ZERO, exactly, plain
from trading.order_status import ABSENT, REJECTED, WITHDRAWN

LATE_AFTER_FLATTEN: Final = "LATE_AFTER_FLATTEN"
STOP_ABSENT: Final = "STOP_ABSENT"


@exactly
def after_fills(desk: Desk) -> None:
    """Release every waiting intent whose cancels are proven, and protect what a stop that failed has left bare.

    Start-up calls it; endings call it by themselves.
    """
    if desk.waiting:
        release_waiting(desk)
    for book_id in desk.books:
        for position in desk.positions_of(book_id):
            _protect_what_is_bare(desk, position)


def after_end(desk: Desk, order: OrderRow) -> None:
    """Do what the end of an order calls for: most ends call for nothing."""
    has_stop = order.intent.stop_price is not None and _leaves_something_to_protect(order)
    # A stop or an exit that filled has done its work, unless the position had grown beyond it.
    lost_stop = order.intent.kind == STOP or _took_a_stop_away(desk, order)
    is_late = _comes_after_a_flatten(desk, order)
    if not (has_stop or lost_stop or is_late or desk.waiting_of(order.book_id, order.instrument_id)):
        return
    is_sold = is_late and _sell_what_came_late(desk, order)
    if has_stop and not is_sold:
        attach_stop(desk, order.intent)
    release_waiting(desk)
    if _is_through(order):
        _sell_instead(desk, order)
    elif order.intent.kind == STOP and _is_missing(order):
        _protect_again(desk, order)
    if lost_stop or is_late:
        note_lost_stop(desk, order.book_id, order.instrument_id)
    position = desk.position(order.book_id, order.instrument_id)
    is_sale = order.intent.kind in SELLS_OF_EXIT or (order.intent.kind == STOP and not is_stop(order))
    if position is not None and is_sale:
        # A stop that failed while this sale was on its way was left to it.
        _protect_what_is_bare(desk, position)


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


def _protect_what_is_bare(desk: Desk, position: PositionRow) -> None:
    """Follow the newest stop of a position that is marked, if that one failed."""
    newest = desk.store.newest_stop(position.book_id, position.instrument_id) if position.is_unprotected else None
    if newest is None:
        return
    stop = desk.order_named(newest.client_order_id) or newest
    if _is_missing(stop) or _is_through(stop):
        _protect_again(desk, stop)


def _protect_again(desk: Desk, stop: OrderRow) -> None:
    """Ask anew for a stop that never came to stand, or for what a sale in its place has left: a new intent, nothing is resent.

    If the price has gone through it meanwhile, the exchange refuses the new one, and what it was to guard is sold.
    """
    if (position := _left_bare(desk, stop)) is not None:
        reason = STOP_ABSENT if stop.status == ABSENT else STOP_PROTECTIVE
        replace_stop(desk, _instead_of(stop, desk, position, reason=reason))


def _sell_instead(desk: Desk, stop: OrderRow) -> None:
    """Sell at the market what a stop was to guard that the exchange has refused, for the price is through it (E22).

    The position stays marked until it is sold.
    """
    position = _left_bare(desk, stop)
    if position is None:
        return
    sale = desk.admit(_instead_of(stop, desk, position, reason=STOP_WOULD_TRIGGER))
    refusal = sell_at_market(desk, sale)
    if refusal is not None:
        desk.drop(sale, refusal.code)
    position.is_unprotected = True
    desk.touch_position(position)
    facts = {"stop_price": plain(sale.stop_price or ZERO), "sale": sale.seq, "refusal": refusal.code if refusal else ""}
    desk.audit("stop.sell_instead", f"order:{stop.client_order_id}", after=facts)


def _is_missing(order: OrderRow) -> bool:
    """Say whether a stop never came to be, or a sale in the place of one has left something."""
    return order.status == ABSENT or (order.filled_quantity > ZERO and not is_stop(order))


def _is_through(order: OrderRow) -> bool:
    return is_stop(order) and order.status == REJECTED and order.reason == STOP_WOULD_TRIGGER


def _instead_of(stop: OrderRow, desk: Desk, position: PositionRow, *, reason: str) -> IntentRow:
    """Make the intent that follows a stop which failed, at the price by which the position is guarded now."""
    instrument_id, price = position.instrument_id, position.stop_price
    return new_stop(position.book_id, desk, instrument_id=instrument_id, stop_price=price, reason=reason, parent=stop.intent)


def _left_bare(desk: Desk, stop: OrderRow) -> PositionRow | None:
    """Return the position that the end of a stop has left bare; where its cancel was asked for, somebody wanted it gone."""
    book_id, instrument_id = stop.book_id, stop.instrument_id
    position = desk.position(book_id, instrument_id)
    if stop.cancel_requested_at is not None or position is None or position.stop_price is None:
        return None
    is_cared_for = is_looked_after(desk, book_id, instrument_id) or _waits_to_sell(desk, book_id, instrument_id)
    return None if is_cared_for or not _has_lots(desk, position) else position


def _waits_to_sell(desk: Desk, book_id: int, instrument_id: int) -> bool:
    return any(intent.side == "sell" for intent in desk.waiting_of(book_id, instrument_id))


def _comes_after_a_flatten(desk: Desk, order: OrderRow) -> bool:
    """Say whether a book was sold out after this order was made: what it bought, or held, is meant to be sold too."""
    if order.cancel_requested_at is None or _freed(order) <= ZERO:
        return False
    # What a sale held that was called dead before has been given back then.
    has_given_back = order.side == "sell" and order.reason == ORDER_ADOPTED
    return not has_given_back and order.intent.seq <= desk.books[order.book_id].flattened_seq


def _sell_what_came_late(desk: Desk, order: OrderRow) -> bool:
    """Sell what an order of before a flatten has brought or given back, and no more: the book may have begun anew.

    Answers whether it is being sold.
    """
    lots = int(_freed(order) // desk.instrument(order.instrument_id).lot_size)
    for intent in desk.waiting_of(order.book_id, order.instrument_id):
        if intent.kind == FLATTEN:
            desk.ask_more(intent, lots)
            return True
    position = desk.position(order.book_id, order.instrument_id)
    if position is None or not can_be_sold(desk, position):
        return False
    if order.side == "sell" and order.intent.kind not in SELLS_OF_EXIT and position.stop_price is not None:
        # A stop of dust outlives a hard stop; whoever replaced it now looks after the position.
        return False
    return sell_more(desk, position, reason=LATE_AFTER_FLATTEN, lots=lots)


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
