"""Move an order along its graph by what the exchange says: T3 and T5 of the write-ahead path."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from trading.desk import reservations
from trading.desk.claims import MESSAGE_LENGTH_MAX, REASON_LENGTH_MAX
from trading.desk.desk import Desk
from trading.desk.releases import after_end, call_off, note_lost_stop
from trading.desk.rows import ENTRIES, ORDER_ADOPTED, IntentRow, OrderRow
from trading.ledger import ZERO, exactly, plain
from trading.order_status import (
    ABSENT,
    CANCELED,
    FILLED,
    LIVE,
    OPEN,
    PARTIAL,
    REJECTED,
    WITHDRAWN,
    MoveRefused,
    may_adopt,
    may_move,
)
from trading.orders import FINAL_STATUSES, ExchangeStatus, OrderReport

# Ends of orders that the exchange never had, as far as we knew.
_UNBORN: Final = frozenset((ABSENT, REJECTED, WITHDRAWN))


def apply_report(desk: Desk, order_id: int, report: OrderReport) -> OrderRow:
    """Apply what the exchange says about an order; older news than we have is ignored.

    An order ends only when the exchange calls it final and every one of its fills is posted (T5). Until then a
    final status is kept in `final_status` and the order stays live, its capital reserved.
    """
    return take_report(desk, desk.order_by_id(order_id), report)


@exactly
def take_report(desk: Desk, order: OrderRow, report: OrderReport) -> OrderRow:
    """Apply a report to an order that the desk has locked."""
    desk.market_at = report.market_at
    _check_echo(order, report)
    if order.status not in LIVE:
        if not _is_alive_after_all(order, report):
            return order
        adopt(desk, order, exchange_status=report.status.value)
        order.final_status = ""
    if report.executed_quantity < max(order.executed_quantity, order.filled_quantity):
        return order
    order.exchange_order_id = report.exchange_order_id or order.exchange_order_id
    order.executed_quantity = report.executed_quantity
    order.executed_quote = report.executed_quote
    order.acknowledged_at = order.acknowledged_at or desk.now
    if report.status in FINAL_STATUSES:
        order.final_status = report.status.value
    desk.touch_order(order)
    if end_if_complete(desk, order):
        return order
    live = PARTIAL if order.executed_quantity > ZERO else OPEN
    if may_move(order.status, live):
        order.status = live
        desk.touch_account()
    return order


@exactly
def mark_rejected(desk: Desk, order_id: int, code: str, message: str) -> OrderRow:
    """End an order that is proven never to have lived; its capital is free again (T3)."""
    order = desk.order_by_id(order_id)
    if order.status != REJECTED:
        order.reason, order.message = code[:REASON_LENGTH_MAX], message[:MESSAGE_LENGTH_MAX]
        _end_without_fills(desk, order, REJECTED)
    return order


@exactly
def mark_absent(desk: Desk, order_id: int) -> OrderRow:
    """End an order whose absence the resolve rule has proven."""
    order = desk.order_by_id(order_id)
    if order.status != ABSENT:
        _end_without_fills(desk, order, ABSENT)
    return order


@exactly
def withdraw(desk: Desk, order_id: int, reason: str) -> bool:
    """Take back an order that was never sent and say why; False when the trader has claimed it."""
    order = desk.order_by_id(order_id)
    if not desk.withdraw(order):
        return False
    order.reason = reason[:REASON_LENGTH_MAX]
    desk.touch_order(order)
    desk.touch_account()
    after_end(desk, order)
    return True


@exactly
def request_cancels(
    desk: Desk, *, book_ids: Collection[int] | None = None, entries_only: bool = False, spares_exits: bool = False
) -> int:
    """Ask for the cancel of live orders; with `entries_only` resting sells and protective stops stay.

    With `spares_exits` resting sells go too, but protective stops and exits stay: a kill leaves nobody unprotected.
    Orders never sent are withdrawn at once. Waiting intents of the same kind are dropped. Answers how many.
    """

    def is_meant(row: OrderRow | IntentRow, kind: str) -> bool:
        is_spared = (entries_only and row.side != "buy") or (spares_exits and kind not in ENTRIES)
        return not is_spared and (book_ids is None or row.book_id in book_ids)

    orders = [row for row in desk.live if is_meant(row, row.intent.kind)]
    intents = [row for row in desk.waiting if is_meant(row, row.kind)]
    for position in sorted(call_off(desk, orders, intents, reason="CANCEL_REQUESTED")):
        note_lost_stop(desk, *position)
    if orders or intents:
        desk.touch_account()
    return len(orders) + len(intents)


def end_if_complete(desk: Desk, order: OrderRow) -> bool:
    """End an order that is final with all its fills posted, and do what its end calls for."""
    if order.filled_quantity == order.quantity:
        # Nothing can follow a complete fill, whether the exchange has told its status or not.
        order.executed_quantity = order.filled_quantity
        end(desk, order, FILLED)
        return True
    if not order.final_status or order.filled_quantity != order.executed_quantity:
        return False
    if order.executed_quote > ZERO and order.filled_quote != order.executed_quote:
        # I-15: the figures of the fills do not add up to the order's; it stays open to be read again.
        return False
    status = order.final_status
    if status == ExchangeStatus.REJECTED and order.filled_quantity > ZERO:
        status = CANCELED
    end(desk, order, status)
    return True


def end(desk: Desk, order: OrderRow, status: str) -> None:
    """Close an order, give back what it still reserved, then attach stops and release what waited."""
    if not may_move(order.status, status):
        raise MoveRefused(f"{order.client_order_id} cannot move from {order.status} to {status}")
    order.status, order.closed_at = status, desk.now
    desk.left(order)
    if reservations.void(desk.journal, order, market_at=desk.market_at):
        desk.touch_reservation(order)
    desk.touch_account()
    after_end(desk, order)


def adopt(desk: Desk, order: OrderRow, *, exchange_status: str) -> None:
    """Take back an order that had ended and lives after all: reserve again, have it cancelled, stop its book's entries.

    Its end was proven wrong, so the account's other figures are in doubt too: entries halt until a person has looked.
    """
    if not may_adopt(order.status):
        raise MoveRefused(f"{order.client_order_id} is {order.status} and cannot be adopted")
    before = order.status
    if before in _UNBORN:
        order.final_status = ""
    order.status = PARTIAL if order.filled_quantity > ZERO else OPEN
    order.reason, order.closed_at = ORDER_ADOPTED, None
    order.cancel_requested_at = order.cancel_requested_at or desk.now
    reservations.hold_again(desk.journal, order, market_at=desk.market_at)
    desk.touch_order(order)
    desk.touch_reservation(order)
    desk.returned(order)
    desk.wake("cancel")
    desk.halt_book(order.book_id, ORDER_ADOPTED)
    desk.halt_entries(ORDER_ADOPTED)
    desk.audit(
        "order.adopt",
        f"order:{order.client_order_id}",
        before={"status": before},
        after={"exchange_status": exchange_status, "reserved": plain(order.reservation.remaining)},
    )


def _is_alive_after_all(order: OrderRow, report: OrderReport) -> bool:
    """Say whether news of an ended order is an incident; it is harmless when it agrees with the end."""
    # The stream often tells of the beginning of an order whose end the answer to its request has told already.
    was_thought_unborn = order.status in _UNBORN
    is_alive = was_thought_unborn and report.status not in FINAL_STATUSES
    return is_alive or report.executed_quantity > order.filled_quantity


def _check_echo(order: OrderRow, report: OrderReport) -> None:
    """Refuse an answer that belongs to another order (E08)."""
    if report.client_order_id != order.client_order_id or report.side != order.side:
        raise MoveRefused(
            f"A report about {report.client_order_id} {report.side} was applied to {order.client_order_id} {order.side}"
        )


def _end_without_fills(desk: Desk, order: OrderRow, status: str) -> None:
    if order.filled_quantity > ZERO or order.executed_quantity > ZERO:
        raise MoveRefused(f"{order.client_order_id} has fills and cannot be {status}")
    desk.touch_order(order)
    desk.market_at = desk.account.synced_through_at or order.market_at
    end(desk, order, status)
