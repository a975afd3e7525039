"""End what an exchange has forgotten: it began anew, so nothing more will ever be told of any order (E45)."""

from __future__ import annotations

from trading.desk import reservations
from trading.desk.claims import REASON_LENGTH_MAX
from trading.desk.desk import Desk
from trading.ledger import exactly
from trading.order_status import CANCELED


@exactly
def forget_orders(desk: Desk, reason: str) -> int:
    """End every live order and drop what waits; no stop and no sale follows. Answers how many orders ended.

    What an order had reserved is free again: whatever it would have bought or sold went with the exchange.
    """
    for waiting in list(desk.waiting):
        desk.drop(waiting, reason)
    living = list(desk.live)
    for order in living:
        order.reason = reason[:REASON_LENGTH_MAX]
        desk.touch_order(order)
        if desk.withdraw(order):
            continue
        order.status, order.closed_at = CANCELED, desk.now
        desk.left(order)
        if reservations.void(desk.journal, order, market_at=desk.market_at):
            desk.touch_reservation(order)
    desk.touch_account()
    return len(living)
