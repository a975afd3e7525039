"""Take in what the exchange has told of many orders, on one desk: trades first, then states (T3 and T4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from trading.desk.desk import Desk
from trading.desk.fills import Posted, post_fills
from trading.desk.releases import after_doubt
from trading.desk.reports import apply_report, mark_rejected, take_report
from trading.orders import OrderReport, TradeReport


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back for one order: its state with the trades it brought, or why there is none."""

    order_id: int
    report: OrderReport | None
    trades: tuple[TradeReport, ...] = ()
    is_refused: bool = False
    code: str = ""
    message: str = ""

    @property
    def is_unknown(self) -> bool:
        """Say whether nobody knows what became of the order; it is noted by a claim, without a desk."""
        return self.report is None and not self.is_refused


def apply_answers(desk: Desk, answers: Sequence[Answer]) -> Posted:
    """Apply answers in their order, each order's trades before its state; of the unknown the claims were made before."""
    known = [answer for answer in answers if not answer.is_unknown]
    desk.lock_orders(order_ids=[answer.order_id for answer in answers])
    for answer in answers:
        if answer.is_unknown:
            after_doubt(desk, desk.order_by_id(answer.order_id))
    trades = [trade for answer in known for trade in answer.trades]
    if trades:
        desk.store.prefetch_trades(trades)
    posted = Posted([], [])
    for answer in known:
        _take(posted, post_fills(desk, answer.trades))
        if answer.report is None:
            mark_rejected(desk, answer.order_id, answer.code, answer.message)
        else:
            apply_report(desk, answer.order_id, answer.report)
    return posted


def apply_news(desk: Desk, news: Sequence[OrderReport | TradeReport]) -> Posted:
    """Apply what the stream tells, in the order it came; a report of an order that is not on record is nobody's."""
    desk.lock_orders(names=sorted({event.client_order_id for event in news if isinstance(event, OrderReport)}))
    trades = [event for event in news if isinstance(event, TradeReport)]
    if trades:
        desk.store.prefetch_trades(trades)
    posted, together = Posted([], []), list[TradeReport]()
    for event in news:
        if isinstance(event, TradeReport):
            together.append(event)
            continue
        _take(posted, post_fills(desk, together))
        together = []
        if (order := desk.order_named(event.client_order_id)) is not None:
            take_report(desk, order, event)
    _take(posted, post_fills(desk, together))
    return posted


def _take(posted: Posted, more: Posted) -> None:
    posted.fills.extend(more.fills)
    posted.unknown.extend(more.unknown)
