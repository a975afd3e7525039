"""What follows when an order has ended: attach stops, release what waited for it."""

from __future__ import annotations

from datetime import datetime

from portfolio.models import Account, Intent, Order
from portfolio.writers.desk import SELLS_OF_EXIT, Desk, is_stop, waiting_exists
from portfolio.writers.placing import attach_stop, is_protected, release_waiting
from trading.ledger import ZERO, exactly
from trading.order_status import FILLED


@exactly
def after_fills(account: Account, *, now: datetime, market_at: datetime | None = None) -> None:
    """Release every waiting intent whose cancels are proven. Start-up calls it; endings call it by themselves."""
    desk = Desk(account, market_at=market_at or account.synced_through_at or now, now=now)
    if desk.waiting:
        release_waiting(desk)
        desk.write()


def after_end(account: Account, order: Order, *, market_at: datetime, now: datetime) -> None:
    """Do what the end of an order calls for: most ends call for nothing and cost one query."""
    intent = order.intent
    has_stop = intent.stop_price is not None and _leaves_something_to_protect(order)
    lost_stop = order.status != FILLED and (is_stop(order) or _took_a_stop_away(order))
    if not (has_stop or lost_stop or waiting_exists(order.book_id, order.instrument_id)):
        return
    desk = Desk(account, market_at=market_at, now=now)
    if has_stop:
        attach_stop(desk, intent)
    release_waiting(desk)
    if lost_stop:
        _note_lost_stop(desk, order)
    desk.write()


def _leaves_something_to_protect(order: Order) -> bool:
    if order.intent.kind == Intent.Kind.ENTER:
        return bool(order.filled_quantity > ZERO)
    return order.intent.kind in SELLS_OF_EXIT


def _took_a_stop_away(order: Order) -> bool:
    """Say whether an exit that did not sell all may have cost the position its stop."""
    stops = Intent.objects.filter(book=order.book_id, instrument=order.instrument_id, kind=Intent.Kind.STOP)
    return order.intent.kind in SELLS_OF_EXIT and stops.exists()


def _note_lost_stop(desk: Desk, order: Order) -> None:
    """Mark a position that has lost its stop, unless another stands or follows; a stop we cancelled is not lost."""
    position = desk.position(order.book_id, order.instrument_id)
    was_asked_for = is_stop(order) and order.cancel_requested_at is not None
    if position is None or was_asked_for or is_protected(desk, order):
        return
    if position.quantity // desk.instrument(order.instrument_id).lot_size > ZERO:
        position.is_unprotected = True
        desk.touch_position(position)
