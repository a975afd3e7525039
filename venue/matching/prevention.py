"""Self-trade prevention: what an order that takes would meet of its own account, and what becomes of both."""

from collections.abc import Iterable
from dataclasses import dataclass

from venue.matching.taking import Take
from venue.orders import Order


@dataclass(frozen=True, slots=True)
class Step:
    """One thing on the way through the book: a fill at a price, or an own order that is met there."""

    price: int
    quantity: int
    own: Order | None = None


def steps(order: Order, open_orders: Iterable[Order], plan: Take) -> list[Step]:
    """Lay out fills and meetings in the order in which a taker comes to them; own orders come first at a price."""
    own = [] if order.prevention == "NONE" else _facing(order, open_orders)
    found: list[Step] = []
    left = plan.quantity
    for price, offered in plan.levels:
        while own and left and _is_reached(order, own[0], price):
            met = own.pop(0)
            quantity = min(left, met.remaining)
            found.append(Step(met.price, quantity, met))
            if order.prevention in ("EXPIRE_TAKER", "EXPIRE_BOTH"):
                return found
            left -= quantity if order.prevention == "DECREMENT" else 0
        if part := min(offered, left):
            found.append(Step(price, part))
            left -= part
    return found


def _facing(order: Order, open_orders: Iterable[Order]) -> list[Order]:
    """Return the own orders on the other side, the one that is met first in front."""
    facing = [
        other
        for other in open_orders
        if other.symbol == order.symbol and other.side != order.side and not other.waits_for_trigger
    ]
    sign = 1 if order.is_buy else -1
    return sorted(facing, key=lambda other: (sign * other.price, other.order_id))


def _is_reached(order: Order, other: Order, price: int) -> bool:
    return other.price <= price if order.is_buy else other.price >= price
