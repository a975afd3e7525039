"""Turn intents into orders: at once, after the cancels they need, or not at all."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Final

from trading.desk.admission import entry_refusal, filter_refusal, price_inside_rivals, standing_refusal, takes
from trading.desk.desk import Desk
from trading.desk.prevention import clears_its_way, others
from trading.desk.refusals import Refusal
from trading.desk.rows import (
    ENTER,
    EXIT,
    FLATTEN,
    IMMEDIATE_OR_CANCEL,
    LIMIT,
    LIMIT_MAKER,
    MARKET,
    SELLS_OF_EXIT,
    STOP,
    STOP_LOSS,
    STOP_PROTECTIVE,
    WAITING,
    InstrumentRow,
    IntentRow,
    OrderRow,
    is_stop,
)
from trading.ledger import ZERO, plain
from trading.order_status import UNKNOWN

_CARING: Final = SELLS_OF_EXIT | {STOP}


def place(desk: Desk, intent: IntentRow) -> Refusal | None:
    """Order, or have the intent wait for the cancels it needs; a refusal changes nothing but those cancels.

    The caller numbers and saves a new intent, and drops a waiting one that is refused.
    """
    if intent.kind in SELLS_OF_EXIT:
        return _place_exit(desk, intent)
    if intent.kind == STOP:
        return _place_stop(desk, intent)
    return _place_entry(desk, intent)


def attach_stop(desk: Desk, parent: IntentRow) -> None:
    """Protect what a book holds after an entry or a partial exit with the one stop its intent asked for."""
    stop = new_stop(parent.book_id, desk, instrument_id=parent.instrument_id, stop_price=parent.stop_price, parent=parent)
    replace_stop(desk, stop)


def new_stop(
    book_id: int,
    desk: Desk,
    *,
    instrument_id: int,
    stop_price: Decimal | None,
    reason: str = STOP_PROTECTIVE,
    parent: IntentRow | None = None,
) -> IntentRow:
    """Make the intent of a protective stop for all whole lots; it belongs to its parent's decision."""
    return desk.store.make_intent(
        book_id=book_id,
        kind=STOP,
        instrument=desk.instrument(instrument_id),
        side="sell",
        lots=0,
        stop_price=stop_price,
        reason=reason,
        market_at=desk.market_at,
        parent=parent,
    )


def replace_stop(desk: Desk, stop: IntentRow) -> Refusal | None:
    """Put a stop in the place of every other stop of the position, live or waiting."""
    for waiting in desk.waiting_of(stop.book_id, stop.instrument_id):
        if waiting.kind == STOP:
            desk.drop(waiting, "STOP_REPLACED")
    desk.admit(stop)
    refusal = place(desk, stop)
    if refusal is not None:
        desk.drop(stop, refusal.code)
    _note_stop(desk, stop)
    return refusal


def release_waiting(desk: Desk) -> None:
    """Place what waits and is no longer held up, oldest first; what comes to wait meanwhile gets its turn too."""
    seen: set[int] = set()
    while (intent := next((row for row in desk.waiting if row.seq not in seen), None)) is not None:
        seen.add(intent.seq)
        refusal = place(desk, intent)
        if refusal:
            desk.drop(intent, refusal.code)
        if intent.kind == STOP:
            _note_stop(desk, intent)
        if refusal and intent.kind in SELLS_OF_EXIT and intent.stop_price is not None:
            # The exit took the old stop away, so what is left gets the new one all the same.
            attach_stop(desk, intent)


def _place_exit(desk: Desk, intent: IntentRow) -> Refusal | None:
    for waiting in desk.waiting_of(intent.book_id, intent.instrument_id):
        if waiting.side == "sell" and waiting is not intent:
            if waiting.kind in SELLS_OF_EXIT:
                return Refusal("EXIT_PENDING", {"waiting_intent": waiting.seq})
            desk.drop(waiting, "EXIT_REPLACED")
    live = desk.live_of(intent.book_id, intent.instrument_id)
    if (sale := sale_ahead(live, intent)) is not None:
        # One that waits, waits for this very sale: what came late is sold after it.
        return None if intent.state == WAITING else Refusal("EXIT_PENDING", {"order": sale.client_order_id})
    if refusal := _nothing_to_sell(desk, intent, live):
        return refusal
    held_up = False
    for order in live:
        if order.side == "sell" or intent.kind == FLATTEN:
            desk.cancel(order)
            held_up |= order in desk.live and not _may_be_passed(intent, order)
    _keep_stop_price(desk, intent)
    if held_up or _is_held_in_doubt(desk, intent):
        desk.wait(intent)
        return None
    return sell_at_market(desk, intent)


def sale_ahead(live: Iterable[OrderRow], intent: IntentRow) -> OrderRow | None:
    """Return the sale among live orders of a position for whose end another sale has to wait, if there is one."""
    return next((order for order in live if order.intent.kind in SELLS_OF_EXIT and not _may_be_passed(intent, order)), None)


def _may_be_passed(intent: IntentRow, order: OrderRow) -> bool:
    """Say whether a sale need not wait for the end of an order: what nobody can answer for may take hours to resolve.

    A flatten sells what is free meanwhile; what such an order brings or gives back later is sold then.
    """
    return intent.kind == FLATTEN and order.status == UNKNOWN


def _is_held_in_doubt(desk: Desk, intent: IntentRow) -> bool:
    """Say whether a flatten has nothing to sell yet because sales of unknown fate hold it all."""
    doubtful = [
        order for order in desk.live_of(intent.book_id, intent.instrument_id, side="sell") if _may_be_passed(intent, order)
    ]
    instrument = desk.instrument(intent.instrument_id)
    free = desk.available(intent.book_id, instrument.base)
    return bool(doubtful) and _sale_refusal(desk, intent, _lots_to_sell(intent, instrument, free), free) is not None


def _nothing_to_sell(desk: Desk, intent: IntentRow, live: list[OrderRow]) -> Refusal | None:
    """Refuse before any cancel is asked for: an old stop is better than none."""
    instrument = desk.instrument(intent.instrument_id)
    held = desk.available(intent.book_id, instrument.base)
    held += sum((order.quantity - order.filled_quantity for order in live if order.side == "sell"), ZERO)
    return _sale_refusal(desk, intent, _lots_to_sell(intent, instrument, held), held)


def sell_at_market(desk: Desk, intent: IntentRow) -> Refusal | None:
    """Sell what is free of a position, as much of it as the intent asks for, unless the exchange would not take it."""
    instrument = desk.instrument(intent.instrument_id)
    available = desk.available(intent.book_id, instrument.base)
    lots = _lots_to_sell(intent, instrument, available)
    if refusal := _sale_refusal(desk, intent, lots, available):
        return refusal
    bids = _bids_in_the_way(desk, intent, instrument)
    quantity = lots * instrument.lot_size
    if bids:
        # A market sell could reach a bid of ours; one tick above it, it cannot (I-39). Exits are never refused for it.
        price = max(bids) + instrument.tick_size
        desk.order(intent, order_type=LIMIT, time_in_force=IMMEDIATE_OR_CANCEL, quantity=quantity, price=price)
    else:
        desk.order(intent, order_type=MARKET, quantity=quantity)
    return None


def _lots_to_sell(intent: IntentRow, instrument: InstrumentRow, held: Decimal) -> int:
    there = int(held // instrument.lot_size)
    lots = min(intent.lots, there) if intent.lots else there
    return min(lots, int(instrument.quantity_max // instrument.lot_size))


def _sale_refusal(desk: Desk, intent: IntentRow, lots: int, held: Decimal) -> Refusal | None:
    instrument = desk.instrument(intent.instrument_id)
    if lots <= 0:
        return Refusal("POSITION_EMPTY", {"held": plain(held)})
    mark = desk.mark(intent.instrument_id)
    refusal = filter_refusal(instrument, lots=lots, price=None)
    if refusal is None and mark is not None and lots * instrument.lot_size * mark < instrument.notional_min:
        refusal = Refusal("FILTER_MIN_NOTIONAL", {"notional": plain(lots * instrument.lot_size * mark)})
    return refusal


def _bids_in_the_way(desk: Desk, intent: IntentRow, instrument: InstrumentRow) -> list[Decimal]:
    """Return the bids that a market sell must not reach; none where the exchange ends them in its way."""
    if clears_its_way(intent.kind, instrument.filters):
        return []
    bids = others(desk.live, book_id=intent.book_id, instrument_id=intent.instrument_id, side="buy")
    if intent.kind != EXIT:
        bids += desk.live_of(intent.book_id, intent.instrument_id, side="buy")
    return [order.price for order in bids if order.price is not None and not takes(order)]


def _place_stop(desk: Desk, intent: IntentRow) -> Refusal | None:
    held_up = False
    for order in desk.live_of(intent.book_id, intent.instrument_id, side="sell"):
        if is_stop(order):
            desk.cancel(order)
        held_up |= order in desk.live and (is_stop(order) or order.cancel_requested_at is not None)
    if held_up or _waits_behind(desk, intent):
        desk.wait(intent)
        return None
    instrument = desk.instrument(intent.instrument_id)
    lots = desk.lots_available(intent.book_id, instrument)
    if lots <= 0:
        return Refusal("POSITION_EMPTY", {"available": plain(desk.available(intent.book_id, instrument.base))})
    refusal = filter_refusal(instrument, lots=lots, price=intent.stop_price)
    if refusal is None:
        desk.order(intent, order_type=STOP_LOSS, quantity=lots * instrument.lot_size, stop_price=intent.stop_price)
    return refusal


def _place_entry(desk: Desk, intent: IntentRow) -> Refusal | None:
    cancelling = any(order.cancel_requested_at for order in desk.live_of(intent.book_id, intent.instrument_id))
    if cancelling or _waits_behind(desk, intent):
        # What the cancels free is counted when they are proven; what can be refused for good is refused now.
        instrument = desk.instrument(intent.instrument_id)
        refusal = standing_refusal(desk, intent) or filter_refusal(instrument, lots=intent.lots, price=intent.limit_price)
        if refusal is None:
            desk.wait(intent)
        return refusal
    # Two bots may trade one coin: an entry that would reach another's resting sell stays one tick inside it.
    intent.limit_price = price_inside_rivals(desk, intent)
    refusal = entry_refusal(desk, intent)
    if refusal is None:
        instrument = desk.instrument(intent.instrument_id)
        is_taker = intent.kind == ENTER
        desk.order(
            intent,
            order_type=LIMIT if is_taker else LIMIT_MAKER,
            time_in_force=IMMEDIATE_OR_CANCEL if is_taker else "",
            quantity=intent.lots * instrument.lot_size,
            price=intent.limit_price,
        )
    return refusal


def _waits_behind(desk: Desk, intent: IntentRow) -> bool:
    """Say whether an older intent of the same book and instrument still waits: a bot's decisions keep their order."""
    older = desk.waiting_of(intent.book_id, intent.instrument_id)
    return any(waiting.seq < intent.seq for waiting in older)


def _keep_stop_price(desk: Desk, intent: IntentRow) -> None:
    position = desk.position(intent.book_id, intent.instrument_id)
    if position is not None and position.stop_price != intent.stop_price:
        position.stop_price = intent.stop_price
        desk.touch_position(position)


def _note_stop(desk: Desk, stop: IntentRow) -> None:
    """Keep the position's word on its protection true: a stop that cannot be placed, or waits, does not protect (I-47)."""
    position = desk.position(stop.book_id, stop.instrument_id)
    if position is None:
        return
    instrument = desk.instrument(stop.instrument_id)
    holds = position.quantity // instrument.lot_size > ZERO
    position.stop_price = stop.stop_price if holds else None
    position.is_unprotected = holds and not is_looked_after(desk, stop.book_id, stop.instrument_id)
    desk.touch_position(position)


def is_looked_after(desk: Desk, book_id: int, instrument_id: int) -> bool:
    """Say whether a stop of the position stands, or a sale is on the way; what waits may wait for long."""
    return any(order.intent.kind in _CARING for order in desk.live_of(book_id, instrument_id))
