"""Cancel an order that has nobody who answers for it."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from django.db import transaction

from portfolio.models import Order
from portfolio.writers import accounts, audit
from portfolio.writers.orphans import cancel_one

if TYPE_CHECKING:
    from django.contrib.auth.models import User


class UnableToCancel(Exception):
    """Raised when there is nothing to cancel; carries a reason code."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def cancel_order(*, order_id: int, by: User | None, reason: str, now: datetime, request_id: str = "") -> Order:
    """Have the trader cancel one order; its capital is free once the exchange says that it ended."""
    order = Order.objects.filter(id=order_id).first()
    if order is None:
        raise UnableToCancel("ORDER_NOT_FOUND", f"There is no order {order_id}.")
    with transaction.atomic():
        account = accounts.lock(order.account_id)
        if not cancel_one(account, order.client_order_id, reason="OPERATOR_CANCEL", now=now):
            raise UnableToCancel("ORDER_ENDED", f"{order.client_order_id} has ended: there is nothing to cancel.")
        audit.record(
            action="order.cancel",
            subject=f"order:{order.pk}",
            actor=by,
            before={"status": order.status},
            after={"reason": reason},
            now=now,
            request_id=request_id,
        )
        accounts.wake_trader(account.pk, "cancel")
    order.refresh_from_db()
    return order
