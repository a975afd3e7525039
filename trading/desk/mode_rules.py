"""What the operator's mode means for a book: who may enter now, and how what is in play passes on."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from trading.desk.desk import Desk
from trading.desk.dust import can_be_sold
from trading.desk.placing import new_stop, replace_stop
from trading.desk.reports import request_cancels
from trading.desk.rows import PositionRow
from trading.desk.standing_down import is_being_sold, stand_down
from trading.handover import Act, Action, BookFacts
from trading.ledger import ZERO, Leg, Pocket, exactly, plain
from trading.order_status import SENDING, UNKNOWN
from trading.positions import FillFact, PositionFold, apply_fill
from trading.settlement import AVAILABLE, DEFICIT, RESERVED

HANDED_OVER: Final = "MODE_HANDED_OVER"


@dataclass(frozen=True, slots=True, kw_only=True)
class HandedOn:
    """A holding that passed from one book to another at its mark; money did not move, worth did."""

    book_before_id: int
    book_after_id: int
    instrument_id: int
    quantity: Decimal
    mark: Decimal
    value: Decimal
    realised: Decimal
    # What the giving book was worth before it gave.
    worth_before: Decimal
    ledger_seq: int


@exactly
def book_facts(desk: Desk, book_id: int, *, incoming: frozenset[int], traded: Mapping[int, Collection[int]]) -> BookFacts:
    """Say what is in play for a book that leaves; `traded` names the instruments of each book."""
    live = [order for order in desk.live if order.book_id == book_id]
    waiting = [intent for intent in desk.waiting if intent.book_id == book_id]
    holdings = [position for position in desk.positions_of(book_id) if can_be_sold(desk, position)]
    heir = _heir(incoming)
    entries = sum(order.side == "buy" for order in live) + sum(intent.side == "buy" for intent in waiting)
    return BookFacts(
        entries=entries,
        exits=len(live) + len(waiting) - entries,
        unknown=sum(order.status in (UNKNOWN, SENDING) for order in live),
        sellable=len(holdings),
        being_sold=sum(is_being_sold(desk, position) for position in holdings),
        can_be_handed_on=sum(_passes_on(position, heir, traded) for position in holdings),
    )


@exactly
def perform(desk: Desk, action: Action, *, incoming: frozenset[int], traded: Mapping[int, Collection[int]]) -> list[HandedOn]:
    """Do what a hand-over asks for one book; answer the holdings that passed on."""
    assert action.book_id is not None
    book_id, heir = action.book_id, _heir(incoming)
    if action.act == Act.CANCEL_ENTRIES:
        request_cancels(desk, book_ids=[book_id], entries_only=True)
    elif action.act == Act.CANCEL_ALL:
        request_cancels(desk, book_ids=[book_id])
    elif action.act == Act.SELL:
        stand_down(desk, book_id, reason=HANDED_OVER)
    elif action.act == Act.HAND_ON and heir is not None:
        holdings = [row for row in desk.positions_of(book_id) if can_be_sold(desk, row) and _passes_on(row, heir, traded)]
        return [_hand_on(desk, position, heir) for position in holdings]
    return []


@exactly
def worth_of(desk: Desk, book_id: int) -> Decimal:
    """Answer what a book is worth at the marks; a holding without a price counts at its cost."""
    quote = desk.account.quote_asset
    money = (desk.journal.balance(Pocket(kind, book_id, quote)) for kind in (AVAILABLE, RESERVED, DEFICIT))
    total = sum(money, ZERO)
    for position in desk.positions_of(book_id):
        mark = desk.mark(position.instrument_id)
        total += position.cost if mark is None else position.quantity * mark
    return total


def _heir(incoming: frozenset[int]) -> int | None:
    """Answer who takes holdings over: only one can."""
    return next(iter(incoming)) if len(incoming) == 1 else None


def _passes_on(position: PositionRow, heir: int | None, traded: Mapping[int, Collection[int]]) -> bool:
    return heir is not None and position.instrument_id in traded.get(heir, ())


def _hand_on(desk: Desk, position: PositionRow, heir: int) -> HandedOn:
    """Pass a whole holding, dust included, to another book at its mark, and put its stop there (I-47)."""
    instrument, mark = desk.instrument(position.instrument_id), desk.mark(position.instrument_id)
    assert mark is not None, "only what has a price can be sold, and so can be handed on"
    giver, quantity, stop_price = position.book_id, position.quantity, position.stop_price
    worth_before = worth_of(desk, giver)
    value = quantity * mark
    movement = desk.journal.post(
        kind="hand_over",
        reference=f"hand_over:{desk.account.ledger_seq + 1}",
        legs=[
            Leg(Pocket(AVAILABLE, giver, instrument.base), -quantity),
            Leg(Pocket(AVAILABLE, heir, instrument.base), quantity),
        ],
        market_at=desk.market_at,
        facts={"from": giver, "to": heir, "mark": plain(mark), "value": plain(value)},
    )
    taker = desk.position_or_new(heir, position.instrument_id)
    realised = fold_in(desk, position, FillFact("sell", quantity, value, ZERO))
    fold_in(desk, taker, FillFact("buy", quantity, value, ZERO))
    position.stop_price, position.is_unprotected = None, False
    if taker.opened_at is None:
        taker.opened_at = desk.market_at
    stop_price = taker.stop_price or stop_price
    if stop_price is not None:
        stop = new_stop(heir, desk, instrument_id=position.instrument_id, stop_price=stop_price, reason=HANDED_OVER)
        replace_stop(desk, stop)
    for book_id in (giver, heir):
        desk.touch_book(book_id)
    return HandedOn(
        book_before_id=giver,
        book_after_id=heir,
        instrument_id=position.instrument_id,
        quantity=quantity,
        mark=mark,
        value=value,
        realised=realised,
        worth_before=worth_before,
        ledger_seq=movement.seq,
    )


def fold_in(desk: Desk, position: PositionRow, fact: FillFact) -> Decimal:
    """Fold what passed by the ledger alone into a position as if it had been traded; answer what was gained by it."""
    before = PositionFold(position.quantity, position.cost, position.realised)
    after, realised = apply_fill(before, fact)
    position.quantity, position.cost, position.realised = after.quantity, after.cost, after.realised
    position.version += 1
    desk.touch_position(position)
    desk.pass_on(position)
    return realised
