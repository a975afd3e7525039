"""Hold capital for an order, use it up with its fills, give back what is left: exact at every step (I-08)."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from portfolio.models import Order, Reservation
from portfolio.writers.ledger import Journal
from trading.ledger import ZERO, Leg, Pocket, worst_case
from trading.order_status import LIVE
from trading.settlement import AVAILABLE, RESERVED


class ReservationInexact(Exception):
    """Raised when a reservation is not the worst case of its order; the transaction must not commit."""


def obligation(order: Order) -> Decimal:
    """Return what a live order may still cost; nothing once it has ended."""
    if order.status not in LIVE:
        return ZERO
    return worst_case(side=order.side, quantity=order.quantity, filled=order.filled_quantity, price=order.price)


def draft(order: Order) -> Reservation:
    """Make the reservation of a new order, not saved yet."""
    asset = order.instrument.quote if order.side == "buy" else order.instrument.base
    amount = obligation(order)
    return Reservation(order=order, asset=asset, initial=amount, remaining=amount)


def hold(journal: Journal, reservation: Reservation, *, market_at: datetime) -> None:
    """Move the worst case from the book's free money to its reserved money."""
    order = reservation.order
    journal.post(
        kind="reserve",
        reference=order.client_order_id,
        legs=_legs(order.book_id, reservation.asset, reservation.initial),
        market_at=market_at,
    )


def use(reservation: Reservation, *, posted: Decimal, voided: Decimal) -> None:
    """Count what a fill took from the reservation and what it freed; the ledger legs are the fill's."""
    reservation.posted += posted
    reservation.voided += voided
    reservation.remaining -= posted + voided
    check(reservation)
    reservation.save(update_fields=["posted", "voided", "remaining"])


def void(journal: Journal, reservation: Reservation, *, market_at: datetime) -> None:
    """Give back what is left when the order has ended; a second call finds nothing."""
    left = reservation.remaining
    if left != ZERO:
        order = reservation.order
        legs = _legs(order.book_id, reservation.asset, -left)
        journal.post(kind="release", reference=order.client_order_id, legs=legs, market_at=market_at)
        reservation.voided += left
        reservation.remaining = ZERO
        if reservation.pk is not None:
            reservation.save(update_fields=["voided", "remaining"])


def check(reservation: Reservation) -> None:
    """Refuse a reservation that is not exactly its order's worst case (I-08)."""
    wanted = obligation(reservation.order)
    if reservation.order.status in LIVE and reservation.remaining != wanted:
        raise ReservationInexact(
            f"{reservation.order.client_order_id} reserves {reservation.remaining} where {wanted} is its worst case"
        )


def _legs(book_id: int, asset: str, amount: Decimal) -> list[Leg]:
    return [Leg(Pocket(AVAILABLE, book_id, asset), -amount), Leg(Pocket(RESERVED, book_id, asset), amount)]
