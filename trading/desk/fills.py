"""Post a trade: once, whatever its source, with its legs, its reservation and its position (T4)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from trading.desk import reservations
from trading.desk.desk import RECONCILE_RESIDUAL, Desk
from trading.desk.reports import adopt, end_if_complete
from trading.desk.rows import FillRow, InstrumentRow, OrderRow, PositionRow
from trading.desk.store import OwnerUnknown, TradeFacts
from trading.ledger import ZERO, exactly, plain, worst_case
from trading.order_status import LIVE, OPEN, PARTIAL, SENDING, UNKNOWN
from trading.orders import TradeReport
from trading.positions import FillFact, PositionFold, apply_fill, unapply_fill
from trading.settlement import Settlement, Trade, settle

HALT_REASON_LENGTH_MAX = 64


class Overfilled(Exception):
    """Raised when the trades of an order come to more than the order."""


class Posted(NamedTuple):
    """The fills that were news, and the trades whose order must first be read from the exchange."""

    fills: list[FillRow]
    unknown: list[TradeReport]


def post_fills(desk: Desk, trades: Sequence[TradeReport]) -> Posted:
    """Post trades on one desk, in the order of their time: a page of a history in one transaction."""
    posted = Posted([], [])
    desk.store.prefetch_trades(trades)
    for trade in sorted(trades, key=lambda row: (row.traded_at, row.trade_id)):
        try:
            fill = post_fill(desk, trade)
        except OwnerUnknown:
            posted.unknown.append(trade)
        else:
            posted.fills.extend([] if fill is None else [fill])
    return posted


@exactly
def post_fill(desk: Desk, trade: TradeReport) -> FillRow | None:
    """Post a trade; answer None when it is posted already (I-20).

    Raises OwnerUnknown when the caller must first read which client order id the trade's order carries.
    """
    facts = desk.store.trade_facts(trade)
    name = (facts.instrument.pk, trade.trade_id)
    if facts.is_posted or name in desk.posted:
        return None
    desk.market_at = trade.traded_at
    order, book_id = facts.order, facts.order.book_id if facts.order else facts.heir_id
    desk.journal.narrow(() if book_id is None else (book_id,))
    if order is not None:
        order = _take_in(desk, order, trade)
    settlement = settle(_terms(desk, facts.instrument, order, book_id, trade), desk.journal.balance)
    movement = desk.journal.post(
        kind="fill",
        reference=f"{facts.instrument.venue_symbol}:{trade.trade_id}",
        legs=settlement.legs,
        market_at=trade.traded_at,
        facts=_ledger_facts(trade, order, settlement),
    )
    fill = _fill(desk, facts.instrument, order, book_id, trade, settlement.fact)
    if book_id is not None:
        _fold(desk, book_id, facts, fill, settlement.fact, trade)
        desk.touch_book(book_id)
    desk.changes.fills.append((fill, movement))
    desk.posted.add(name)
    desk.account.trades_posted += 1
    desk.touch_account("trades_posted")
    # Before anything is released: an entry that waits must meet the halt.
    _raise_alarms(desk, book_id, settlement)
    if order is not None:
        _count(desk, order, trade, settlement)
    return fill


def fact_of(fill: FillRow) -> FillFact:
    """Return what a stored fill did to its position."""
    base, quote = fill.quantity, fill.quote_quantity
    sign = 1 if fill.side == "buy" else -1
    if fill.fee_asset == fill.instrument.base and fill.side == "buy":
        base -= fill.fee
    else:
        quote += sign * fill.fee_quote
    return FillFact(fill.side, base, quote, fill.fee_quote)


def _take_in(desk: Desk, order: OrderRow, trade: TradeReport) -> OrderRow:
    """Have the desk know the order of a trade; one that had ended is adopted first."""
    order = desk.know(order)
    if order.filled_quantity + trade.quantity > order.quantity:
        raise Overfilled(f"Trade {trade.trade_id} would fill {order.client_order_id} beyond {plain(order.quantity)}")
    if order.status not in LIVE:
        adopt(desk, order, exchange_status="traded")
    return order


def _terms(desk: Desk, instrument: InstrumentRow, order: OrderRow | None, book_id: int | None, trade: TradeReport) -> Trade:
    reserved = reserved_after = ZERO
    if order is not None:
        reserved = order.reservation.remaining
        filled = order.filled_quantity + trade.quantity
        fee = reservations.quote_fee(order, trade)
        reserved_after = worst_case(side=order.side, quantity=order.quantity, filled=filled, price=order.price, fee=fee)
    fee_mark = None
    if trade.fee and trade.fee_asset not in (instrument.base, instrument.quote):
        fee_mark = desk.store.fee_mark(trade.fee_asset, instrument.quote)
    return Trade(
        book_id=book_id,
        side=trade.side,
        base=instrument.base,
        quote=instrument.quote,
        quantity=trade.quantity,
        price=trade.price,
        quote_quantity=trade.quote_quantity,
        fee=trade.fee,
        fee_asset=trade.fee_asset,
        reserved=reserved,
        reserved_after=reserved_after,
        fee_mark=fee_mark,
    )


def _ledger_facts(trade: TradeReport, order: OrderRow | None, settlement: Settlement) -> dict[str, str]:
    facts = {"order": order.client_order_id if order else trade.client_order_id or ""}
    if settlement.is_fee_pending:
        # The job that settles pending fees finds it here; empty while nobody knows the price.
        facts["fee_owed"] = "" if settlement.fee_owed is None else plain(settlement.fee_owed)
    return facts


def _fill(
    desk: Desk, instrument: InstrumentRow, order: OrderRow | None, book_id: int | None, trade: TradeReport, fact: FillFact
) -> FillRow:
    return desk.store.make_fill(
        instrument=instrument,
        trade_id=trade.trade_id,
        order=order,
        book_id=book_id,
        side=trade.side,
        price=trade.price,
        quantity=trade.quantity,
        quote_quantity=trade.quote_quantity,
        fee=trade.fee,
        fee_asset=trade.fee_asset,
        fee_quote=fact.fee_quote,
        is_maker=trade.is_maker,
        traded_at=trade.traded_at,
        posted_at=desk.now,
    )


def _fold(desk: Desk, book_id: int, facts: TradeFacts, fill: FillRow, fact: FillFact, trade: TradeReport) -> None:
    """Fold the fill into the position in the order of trade time, not of arrival (I-21)."""
    instrument = facts.instrument
    position = facts.position or desk.store.make_position(book_id=book_id, instrument_id=instrument.pk)
    position = desk.know_position(position)
    before = position.quantity
    folded = PositionFold(position.quantity, position.cost, position.realised, position.fees)
    if desk.arrivals.is_late(position, facts.newest, (trade.traded_at, trade.trade_id)):
        folded = _fold_late(desk, position, folded, fill, fact, trade)
    else:
        folded, fill.realised = apply_fill(folded, fact)
    position.quantity, position.cost = folded.quantity, folded.cost
    position.realised, position.fees = folded.realised, folded.fees
    was_open, is_open = before >= instrument.lot_size, folded.quantity >= instrument.lot_size
    if is_open and not was_open:
        position.opened_at = fill.traded_at
    if not is_open:
        position.opened_at, position.stop_price, position.is_unprotected = None, None, False
    position.version += 1
    desk.touch_position(position)


def _fold_late(
    desk: Desk, position: PositionRow, folded: PositionFold, late: FillRow, late_fact: FillFact, trade: TradeReport
) -> PositionFold:
    """Take out what came after the late fill, fold it in its place, and correct what the later ones realised."""
    later, new = desk.arrivals.fills_after(position, trade, [row for row, _ in desk.changes.fills])
    facts = [fact_of(row) for row in later]
    for row, fact in zip(reversed(later), reversed(facts), strict=True):
        folded = unapply_fill(folded, fact, row.realised)
    folded, late.realised = apply_fill(folded, late_fact)
    for row, fact in zip(later, facts, strict=True):
        folded, realised = apply_fill(folded, fact)
        if row.realised != realised:
            row.realised = realised
            if row.trade_id not in new:
                desk.changes.fills_corrected[row.instrument.pk, row.trade_id] = row
    return folded


def _count(desk: Desk, order: OrderRow, trade: TradeReport, settlement: Settlement) -> None:
    """Count the fill on its order and reservation, and end the order if it was the last one missing."""
    order.filled_quantity += trade.quantity
    order.filled_quote += trade.quote_quantity
    order.filled_fee += reservations.fee_counted(order, trade)
    order.exchange_order_id = order.exchange_order_id or trade.exchange_order_id
    order.acknowledged_at = order.acknowledged_at or desk.now
    # Counted before the end is looked at: the end voids what is left.
    if order.status in (SENDING, UNKNOWN, OPEN):
        order.status = PARTIAL
    if order.final_status and order.filled_quantity > order.executed_quantity:
        # The exchange said less when it called the order final: it must be read again.
        order.executed_quantity = order.filled_quantity
    reservations.use(order, posted=settlement.posted, voided=settlement.voided)
    desk.touch_order(order)
    desk.touch_reservation(order)
    end_if_complete(desk, order)


def _raise_alarms(desk: Desk, book_id: int | None, settlement: Settlement) -> None:
    if settlement.shortfalls:
        desk.halt_entries(RECONCILE_RESIDUAL)
    if book_id is None:
        return
    if settlement.shortfalls:
        missing = " ".join(f"{plain(amount)} {asset}" for asset, amount in sorted(settlement.shortfalls.items()))
        desk.halt_book(book_id, f"LEDGER_SHORTFALL {missing}"[:HALT_REASON_LENGTH_MAX])
    if settlement.is_fee_pending:
        desk.halt_book(book_id, "FEE_PENDING")
