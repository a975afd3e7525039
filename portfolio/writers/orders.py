"""Move an order along its graph: T2, T3 and T5 of the write-ahead path."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from django.db.models import CharField, Exists, OuterRef, Q, Value
from django.db.models.functions import Cast, Concat

from portfolio.models import Account, Intent, Lease, Order
from portfolio.writers import accounts, audit, books, reservations
from portfolio.writers.desk import Desk
from portfolio.writers.ledger import Journal
from portfolio.writers.releases import after_end
from trading import order_status
from trading.ledger import ZERO, exactly
from trading.order_status import MoveRefused, may_move
from trading.orders import FINAL_STATUSES, ExchangeStatus, OrderReport

ORDER_ADOPTED = "ORDER_ADOPTED"
_ENTRIES = (Intent.Kind.ENTER, Intent.Kind.PLACE)


def mark_sending(order_id: int, *, epoch: int, now: datetime) -> bool:
    """Claim a READY order for sending, once in its life (T2). False: do not send.

    Takes no account lock. The trader whose lease has passed to another is refused by the epoch, entries of a
    killed account by the flag.
    """
    lease = Lease.objects.filter(name=Concat(Value("trader:"), Cast(OuterRef("account_id"), CharField())), epoch=epoch)
    is_killed_entry = Q(account__is_killed=True, intent__kind__in=_ENTRIES)
    sendable = Order.objects.filter(Exists(lease), id=order_id, status=order_status.READY, attempt=0).exclude(is_killed_entry)
    return bool(
        Order.objects.filter(id__in=sendable.values("id"), status=order_status.READY, attempt=0).update(
            status=order_status.SENDING, attempt=1, epoch=epoch, sent_at=now
        )
    )


def mark_unknown(order_id: int, code: str, message: str, *, now: datetime) -> bool:  # noqa: ARG001 - T3 is told the time, whatever it says.
    """Note that nobody knows whether the exchange has the order; its capital stays reserved (T3)."""
    updated = Order.objects.filter(id=order_id, status=order_status.SENDING).update(
        status=order_status.UNKNOWN, reason=code[:48], message=message[:300]
    )
    return bool(updated)


def mark_canceling(order_id: int, *, now: datetime) -> bool:
    """Note that a cancel is about to be sent."""
    cancellable = order_status.sources(order_status.CANCELLING) | {order_status.CANCELLING}
    moved = Order.objects.filter(id=order_id, status__in=cancellable, cancel_requested_at__isnull=False)
    return bool(moved.update(status=order_status.CANCELLING, cancel_sent_at=now))


@exactly
def mark_rejected(account: Account, order_id: int, code: str, message: str, *, now: datetime) -> Order:
    """End an order that is proven never to have lived; its capital is free again (T3)."""
    order = _load(account, order_id)
    order.reason, order.message = code[:48], message[:300]
    return _end_without_fills(account, order, order_status.REJECTED, now=now)


@exactly
def mark_absent(account: Account, order_id: int, *, now: datetime) -> Order:
    """End an order whose absence the resolve rule has proven."""
    return _end_without_fills(account, _load(account, order_id), order_status.ABSENT, now=now)


def mark_open(account: Account, order_id: int, report: OrderReport, *, now: datetime) -> Order:
    """Record the exchange's answer to a new order (T3)."""
    return apply_report(account, order_id, report, now=now)


@exactly
def apply_report(account: Account, order_id: int, report: OrderReport, *, now: datetime) -> Order:
    """Apply what the exchange says about an order; older news than we have is ignored.

    An order ends only when the exchange calls it final and every one of its fills is posted (T5). Until then a
    final status is kept in `final_status` and the order stays live, its capital reserved.
    """
    order = _load(account, order_id)
    _check_echo(order, report)
    if order.status not in order_status.LIVE:
        return _adopt(account, order, report, now=now)
    if report.executed_quantity < max(order.executed_quantity, order.filled_quantity):
        return order
    order.exchange_order_id = report.exchange_order_id or order.exchange_order_id
    order.executed_quantity = report.executed_quantity
    order.executed_quote = report.executed_quote
    order.acknowledged_at = order.acknowledged_at or now
    if report.status in FINAL_STATUSES:
        order.final_status = report.status.value
    if end_if_complete(account, order, market_at=report.market_at, now=now):
        return order
    before = order.status
    live = order_status.PARTIAL if order.executed_quantity > ZERO else order_status.OPEN
    if may_move(order.status, live):
        order.status = live
    order.save(
        update_fields=[
            "status", "exchange_order_id", "executed_quantity", "executed_quote", "acknowledged_at", "final_status",
        ]
    )  # fmt: skip
    if order.status != before:
        accounts.changed(account)
    return order


def end_if_complete(account: Account, order: Order, *, market_at: datetime, now: datetime) -> bool:
    """End an order that is final with all its fills posted, and do what its end calls for."""
    if order.filled_quantity == order.quantity:
        # Nothing can follow a complete fill, whether the exchange has told its status or not.
        order.executed_quantity = order.filled_quantity
        end(account, order, order_status.FILLED, market_at=market_at, now=now)
        return True
    if not order.final_status or order.filled_quantity != order.executed_quantity:
        return False
    if order.executed_quote > ZERO and order.filled_quote != order.executed_quote:
        # I-15: the figures of the fills do not add up to the order's; it stays open to be read again.
        return False
    status = order.final_status
    if status == ExchangeStatus.REJECTED and order.filled_quantity > ZERO:
        status = order_status.CANCELED
    end(account, order, status, market_at=market_at, now=now)
    return True


def end(account: Account, order: Order, status: str, *, market_at: datetime, now: datetime) -> None:
    """Close an order, give back what it still reserved, then attach stops and release what waited."""
    if not may_move(order.status, status):
        raise MoveRefused(f"{order.client_order_id} cannot move from {order.status} to {status}")
    order.status, order.closed_at = status, now
    order.save()
    journal = Journal(account, now=now, book_ids=(order.book_id,))
    reservations.void(journal, order.reservation, market_at=market_at)
    journal.flush()
    after_end(account, order, market_at=market_at, now=now)
    accounts.changed(account)


@exactly
def request_cancels(
    account: Account,
    *,
    now: datetime,
    book_ids: Collection[int] | None = None,
    entries_only: bool = False,
    market_at: datetime | None = None,
) -> int:
    """Ask for the cancel of live orders; with `entries_only` resting sells and protective stops stay.

    Orders never sent are withdrawn at once. Waiting intents of the same kind are dropped. Answers how many.
    """
    desk = Desk(account, market_at=market_at or account.synced_through_at or now, now=now)
    count = 0
    for order in list(desk.live):
        if (book_ids is None or order.book_id in book_ids) and (not entries_only or order.side == "buy"):
            desk.cancel(order)
            count += 1
    for intent in list(desk.waiting):
        if (book_ids is None or intent.book_id in book_ids) and (not entries_only or intent.side == "buy"):
            desk.drop(intent, "CANCEL_REQUESTED")
            count += 1
    if count:
        desk.write()
        accounts.changed(account)
    return count


def _load(account: Account, order_id: int) -> Order:
    related = ("intent", "instrument", "reservation")
    return Order.objects.select_for_update(of=("self",)).select_related(*related).get(id=order_id, account=account)


def _check_echo(order: Order, report: OrderReport) -> None:
    """Refuse an answer that belongs to another order (E08)."""
    if report.client_order_id != order.client_order_id or report.side != order.side:
        raise MoveRefused(
            f"A report about {report.client_order_id} {report.side} was applied to {order.client_order_id} {order.side}"
        )


def _end_without_fills(account: Account, order: Order, status: str, *, now: datetime) -> Order:
    if order.status == status:
        return order
    if order.filled_quantity > ZERO or order.executed_quantity > ZERO:
        raise MoveRefused(f"{order.client_order_id} has fills and cannot be {status}")
    end(account, order, status, market_at=account.synced_through_at or order.market_at, now=now)
    return order


def _adopt(account: Account, order: Order, report: OrderReport, *, now: datetime) -> Order:
    """Take in news of an order that had ended: harmless when it agrees, an incident when it lives after all."""
    # The stream often tells of the beginning of an order whose end the answer to its request has told already.
    was_thought_unborn = order.status in (order_status.ABSENT, order_status.REJECTED, order_status.WITHDRAWN)
    is_alive = was_thought_unborn and report.status not in FINAL_STATUSES
    if not (is_alive or report.executed_quantity > order.filled_quantity) or order.reason == ORDER_ADOPTED:
        return order
    order.reason = ORDER_ADOPTED
    order.exchange_order_id = report.exchange_order_id
    order.executed_quantity = report.executed_quantity
    order.cancel_requested_at = now
    order.save()
    books.halt(order.book_id, ORDER_ADOPTED, now=now)
    audit.record(
        action="order.adopt",
        subject=f"order:{order.client_order_id}",
        before={"status": order.status},
        after={"exchange_status": report.status.value, "executed": str(report.executed_quantity)},
        now=now,
    )
    accounts.halt_entries(account, ORDER_ADOPTED, now=now)
    accounts.wake_trader(account.pk, "cancel")
    return order
