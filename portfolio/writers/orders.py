"""Move an order along its graph: T2, T3 and T5 of the write-ahead path. The rules are `trading.desk`'s."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import cast

from portfolio.models import Account, Order
from portfolio.writers.claiming import claim_order, claim_orders
from portfolio.writers.store import open_desk
from trading.desk import claims, reports
from trading.desk.rows import ORDER_ADOPTED
from trading.orders import OrderReport

__all__ = [
    "ORDER_ADOPTED", "apply_report", "mark_absent", "mark_canceling", "mark_canceling_many", "mark_open", "mark_rejected",
    "mark_sending", "mark_sending_many", "mark_unknown", "request_cancels", "withdraw",
]  # fmt: skip


def mark_sending(order_id: int, *, epoch: int, now: datetime) -> bool:
    """Claim a READY order for sending, once in its life (T2). False: do not send.

    Takes no account lock. The trader whose lease has passed to another is refused by the epoch, entries of a
    killed account by the flag.
    """
    return claim_order(order_id, claims.sending(epoch=epoch, now=now))


def mark_sending_many(order_ids: Collection[int], *, epoch: int, now: datetime) -> set[int]:
    """Claim READY orders for sending (T2); answer which are ours to send. Runs inside the caller's transaction."""
    return claim_orders(order_ids, claims.sending(epoch=epoch, now=now))


def mark_unknown(order_id: int, code: str, message: str, *, now: datetime) -> bool:  # noqa: ARG001 - T3 is told the time, whatever it says.
    """Note that nobody knows whether the exchange has the order; its capital stays reserved (T3)."""
    return claim_order(order_id, claims.unknown(code, message))


def mark_canceling(order_id: int, *, now: datetime, epoch: int | None = None) -> bool:
    """Note that a cancel is about to be sent; with an epoch only by the trader that holds the lease."""
    return claim_order(order_id, claims.cancelling(now=now, epoch=epoch))


def mark_canceling_many(order_ids: Collection[int], *, now: datetime, epoch: int) -> set[int]:
    """Note that cancels of these are about to be sent; answer which may be. Runs inside the caller's transaction."""
    return claim_orders(order_ids, claims.cancelling(now=now, epoch=epoch))


def mark_rejected(account: Account, order_id: int, code: str, message: str, *, now: datetime) -> Order:
    """End an order that is proven never to have lived; its capital is free again (T3)."""
    desk = open_desk(account, now=now)
    order = reports.mark_rejected(desk, order_id, code, message)
    desk.write()
    return cast("Order", order)


def mark_absent(account: Account, order_id: int, *, now: datetime) -> Order:
    """End an order whose absence the resolve rule has proven."""
    desk = open_desk(account, now=now)
    order = reports.mark_absent(desk, order_id)
    desk.write()
    return cast("Order", order)


def withdraw(account: Account, order_id: int, reason: str, *, now: datetime) -> bool:
    """Take back an order that was never sent and say why; False when the trader has claimed it."""
    desk = open_desk(account, now=now)
    is_withdrawn = reports.withdraw(desk, order_id, reason)
    desk.write()
    return is_withdrawn


def mark_open(account: Account, order_id: int, report: OrderReport, *, now: datetime) -> Order:
    """Record the exchange's answer to a new order (T3)."""
    return apply_report(account, order_id, report, now=now)


def apply_report(account: Account, order_id: int, report: OrderReport, *, now: datetime) -> Order:
    """Apply what the exchange says about an order; older news than we have is ignored.

    An order ends only when the exchange calls it final and every one of its fills is posted (T5). An order that
    had ended and lives after all is adopted: live again, reserved again, its cancel asked for, entries halted.
    """
    desk = open_desk(account, market_at=report.market_at, now=now)
    order = reports.apply_report(desk, order_id, report)
    desk.write()
    return cast("Order", order)


def request_cancels(
    account: Account,
    *,
    now: datetime,
    book_ids: Collection[int] | None = None,
    entries_only: bool = False,
    spares_exits: bool = False,
    market_at: datetime | None = None,
) -> int:
    """Ask for the cancel of live orders; with `entries_only` resting sells and protective stops stay.

    With `spares_exits` resting sells go too, but protective stops and exits stay. Orders never sent are withdrawn at once.
    Waiting intents of the same kind are dropped. Answers how many.
    """
    desk = open_desk(account, market_at=market_at, now=now)
    count = reports.request_cancels(desk, book_ids=book_ids, entries_only=entries_only, spares_exits=spares_exits)
    desk.write()
    return count
