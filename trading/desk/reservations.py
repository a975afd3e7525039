"""Hold capital for an order, use it up with its fills, give back what is left: exact at every step (I-08)."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from trading.desk.journal import Journal
from trading.desk.rows import InstrumentRow, OrderRow
from trading.ledger import NO_QUOTE_FEE, ZERO, Leg, Pocket, QuoteFee, worst_case
from trading.order_status import LIVE
from trading.orders import TradeReport
from trading.settlement import AVAILABLE, DEFICIT, RESERVED, repayment


class ReservationInexact(Exception):
    """Raised when a reservation is not the worst case of its order; the transaction must not commit."""


def obligation(order: OrderRow) -> Decimal:
    """Return what a live order may still cost; nothing once it has ended."""
    if order.status not in LIVE:
        return ZERO
    return worst_case(
        side=order.side, quantity=order.quantity, filled=order.filled_quantity, price=order.price, fee=quote_fee(order)
    )


def quote_fee(order: OrderRow, trade: TradeReport | None = None) -> QuoteFee:
    """Return what the fee of an order is reckoned from, after a trade of it that is about to be counted."""
    if not order.fee_ppm:
        return NO_QUOTE_FEE
    spent, paid = order.filled_quote, order.filled_fee
    if trade is not None:
        spent += trade.quote_quantity
        paid += fee_counted(order, trade)
    return QuoteFee(order.fee_ppm, spent, paid)


def fee_counted(order: OrderRow, trade: TradeReport) -> Decimal:
    """Answer how much of a trade's fee the order's reservation was made for; a rebate is a gift."""
    is_foreseen = order.fee_ppm > 0 and trade.fee_asset == order.instrument.quote
    return max(trade.fee, ZERO) if is_foreseen else ZERO


def opening(
    instrument: InstrumentRow, *, side: str, quantity: Decimal, price: Decimal | None, fee_ppm: int
) -> tuple[str, Decimal]:
    """Answer which asset a new order holds, and how much of it; a buy's fee in quote is held with it."""
    asset = instrument.quote if side == "buy" else instrument.base
    return asset, worst_case(side=side, quantity=quantity, filled=ZERO, price=price, fee=QuoteFee(fee_ppm))


def hold(journal: Journal, order: OrderRow, *, market_at: datetime) -> None:
    """Move the worst case of a new order from the book's free money to its reserved money."""
    held = order.reservation
    own, reserved = Pocket(AVAILABLE, order.book_id, held.asset), Pocket(RESERVED, order.book_id, held.asset)
    legs = [Leg(own, -held.initial), Leg(reserved, held.initial)]
    journal.post(kind="reserve", reference=order.client_order_id, legs=legs, market_at=market_at)


def hold_again(journal: Journal, order: OrderRow, *, market_at: datetime) -> None:
    """Reserve what an adopted order may still cost; what its book no longer has becomes its deficit (I-07)."""
    held, needed = order.reservation, obligation(order)
    own = Pocket(AVAILABLE, order.book_id, held.asset)
    there = min(max(journal.balance(own), ZERO), needed)
    legs = [
        Leg(own, -there),
        Leg(Pocket(DEFICIT, order.book_id, held.asset), there - needed),
        Leg(Pocket(RESERVED, order.book_id, held.asset), needed),
    ]
    journal.post(kind="adopt", reference=_next_reference(journal, order), legs=legs, market_at=market_at)
    held.initial += needed
    held.remaining += needed


def use(order: OrderRow, *, posted: Decimal, voided: Decimal) -> None:
    """Count what a fill took from the reservation and what it freed; the ledger legs are the fill's."""
    held = order.reservation
    held.posted += posted
    held.voided += voided
    held.remaining -= posted + voided
    check(order)


def void(journal: Journal, order: OrderRow, *, market_at: datetime) -> bool:
    """Give back what is left when the order has ended, a deficit first; False when nothing was left."""
    held = order.reservation
    left = held.remaining
    if left == ZERO:
        return False
    own, reserved = Pocket(AVAILABLE, order.book_id, held.asset), Pocket(RESERVED, order.book_id, held.asset)
    legs = [Leg(reserved, -left), Leg(own, left), *repayment(order.book_id, held.asset, left, journal.balance)]
    _, opened = opening(order.instrument, side=order.side, quantity=order.quantity, price=order.price, fee_ppm=order.fee_ppm)
    # An adopted order has given back once already.
    reference = order.client_order_id if held.initial == opened else _next_reference(journal, order)
    journal.post(kind="release", reference=reference, legs=legs, market_at=market_at)
    held.voided += left
    held.remaining = ZERO
    return True


def check(order: OrderRow) -> None:
    """Refuse a reservation that is not exactly its order's worst case (I-08)."""
    wanted = obligation(order)
    if order.status in LIVE and order.reservation.remaining != wanted:
        raise ReservationInexact(
            f"{order.client_order_id} reserves {order.reservation.remaining} where {wanted} is its worst case"
        )


def _next_reference(journal: Journal, order: OrderRow) -> str:
    """Name a second movement of the same kind for an order: the account's sequence makes it unique."""
    return f"{order.client_order_id}:{journal.account.ledger_seq + 1}"
