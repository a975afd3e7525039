"""Give a book the coins that it owes: bought at the mark from the operator's pool or from another book, by the ledger alone."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from trading.desk.desk import Desk
from trading.desk.mode_rules import fold_in
from trading.desk.rows import InstrumentRow, is_stop
from trading.ledger import UNIT, ZERO, Leg, Pocket, ceil_to, exactly, plain
from trading.positions import FillFact
from trading.risk import UNPRICED
from trading.settlement import AVAILABLE, DEFICIT, UNALLOCATED

DEFICIT_COVERED: Final = "DEFICIT_COVERED"
NO_DEFICIT: Final = "DEFICIT_NONE"
ORDERS_LIVE: Final = "DEFICIT_ORDERS_LIVE"
SOURCE_SHORT: Final = "DEFICIT_SOURCE_SHORT"
CAPITAL: Final = "CAPITAL_INSUFFICIENT"


class UnableToCover(Exception):
    """Raised when a deficit cannot be covered like this; carries a reason code and its facts."""

    def __init__(self, code: str, message: str, facts: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.facts = facts or {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Covered:
    """Coins that came to a book at their mark and paid its deficit; a source of None is the operator."""

    book_id: int
    source_id: int | None
    instrument_id: int
    quantity: Decimal
    mark: Decimal
    value: Decimal
    # What the book and its source made by it.
    realised: Decimal
    realised_source: Decimal
    ledger_seq: int


@exactly
def cover(desk: Desk, *, book_id: int, instrument_id: int, quantity: Decimal | None, source_id: int | None) -> Covered:
    """Cover a deficit in coins, or this much of it; the book pays their worth at the mark from its free money."""
    instrument, mark = desk.instrument(instrument_id), desk.mark(instrument_id)
    owed = -desk.journal.balance(Pocket(DEFICIT, book_id, instrument.base))
    quantity = owed if quantity is None else quantity
    if not ZERO < quantity <= owed:
        raise UnableToCover(NO_DEFICIT, f"The book owes {plain(owed)} {instrument.base}, not {plain(quantity)}.")
    _refuse_live_orders(desk, instrument, (book_id, source_id))
    if mark is None or desk.price_trouble(instrument_id):
        raise UnableToCover(
            UNPRICED, f"Nobody knows what {instrument.base} is worth now: {instrument.symbol} has no price to trust."
        )
    # Rounded against the book that owes.
    value = ceil_to(quantity * mark, UNIT)
    source, purse = Pocket(UNALLOCATED, None, instrument.base), Pocket(UNALLOCATED, None, instrument.quote)
    if source_id is not None:
        source, purse = Pocket(AVAILABLE, source_id, instrument.base), Pocket(AVAILABLE, source_id, instrument.quote)
    own = Pocket(AVAILABLE, book_id, instrument.quote)
    _refuse_shortage(desk, source, quantity, SOURCE_SHORT)
    _refuse_shortage(desk, own, value, CAPITAL)
    movement = desk.journal.post(
        kind="cover",
        reference=f"cover:{desk.account.ledger_seq + 1}",
        legs=[
            Leg(source, -quantity),
            Leg(Pocket(DEFICIT, book_id, instrument.base), quantity),
            Leg(own, -value),
            Leg(purse, value),
        ],
        market_at=desk.market_at,
        facts={"from": source_id, "to": book_id, "mark": plain(mark), "value": plain(value)},
    )
    realised_source = ZERO
    if source_id is not None:
        realised_source = _fold(desk, source_id, instrument, FillFact("sell", quantity, value, ZERO))
    return Covered(
        book_id=book_id,
        source_id=source_id,
        instrument_id=instrument_id,
        quantity=quantity,
        mark=mark,
        value=value,
        realised=_fold(desk, book_id, instrument, FillFact("buy", quantity, value, ZERO)),
        realised_source=realised_source,
        ledger_seq=movement.seq,
    )


def _refuse_live_orders(desk: Desk, instrument: InstrumentRow, book_ids: tuple[int | None, ...]) -> None:
    """Refuse while a trade may still be on its way: it belongs before the cover, and what is owed may change by it."""
    for order in desk.live:
        if order.book_id in book_ids and order.instrument_id == instrument.pk and not is_stop(order):
            name = desk.books[order.book_id].name
            raise UnableToCover(
                ORDERS_LIVE,
                f"{name} still has order {order.client_order_id} in {instrument.symbol}: wait for its end, or cancel it.",
                {"order": order.client_order_id},
            )


def _refuse_shortage(desk: Desk, pocket: Pocket, needed: Decimal, code: str) -> None:
    there = desk.journal.balance(pocket)
    if needed > there:
        whose = "The operator" if pocket.book_id is None else desk.books[pocket.book_id].name
        facts = {"asset": pocket.asset, "needed": plain(needed), "free": plain(there)}
        raise UnableToCover(code, f"{whose} has {plain(there)} {pocket.asset} free, and {plain(needed)} are needed.", facts)


def _fold(desk: Desk, book_id: int, instrument: InstrumentRow, fact: FillFact) -> Decimal:
    position = desk.position_or_new(book_id, instrument.pk)
    realised = fold_in(desk, position, fact)
    if position.quantity < instrument.lot_size:
        position.opened_at, position.stop_price, position.is_unprotected = None, None, False
    desk.touch_book(book_id)
    return realised
