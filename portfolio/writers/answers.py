"""Record what the exchange has told of many orders of a locked account, written together. The rules are `trading.desk`'s."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import cast

from portfolio.models import Account, Fill, Order
from portfolio.writers.claiming import claim_order
from portfolio.writers.store import open_desk
from trading.desk import answers, claims
from trading.desk.answers import Answer
from trading.desk.desk import Desk
from trading.desk.fills import Posted
from trading.orders import OrderReport, TradeReport

__all__ = ["Answer", "Told", "apply_answers", "apply_news"]


@dataclass(frozen=True, slots=True)
class Told:
    """The fills that were news, the trades whose order must first be read, and the orders as they stand now."""

    fills: list[Fill]
    unknown: list[TradeReport]
    orders: dict[int, Order] = field(default_factory=dict)


def apply_answers(account: Account, given: Sequence[Answer], *, now: datetime) -> Told:
    """Apply answers on one desk: trades, states, refusals and that nobody knows (T3 and T4)."""
    for answer in given:
        if answer.is_unknown:
            # Before any row is locked and read: the desk must find what the claim has written.
            claim_order(answer.order_id, claims.unknown(answer.code, answer.message))
    newest = max((answer.report.market_at for answer in given if answer.report is not None), default=None)
    desk = open_desk(account, market_at=newest, now=now)
    posted = answers.apply_answers(desk, given)
    desk.write()
    return _told(desk, posted, [answer.order_id for answer in given])


def apply_news(account: Account, news: Sequence[OrderReport | TradeReport], *, now: datetime) -> Told:
    """Apply what the stream tells on one desk; old news and repeats change nothing."""
    moments = [event.traded_at if isinstance(event, TradeReport) else event.market_at for event in news]
    desk = open_desk(account, market_at=max(moments, default=None), now=now)
    posted = answers.apply_news(desk, news)
    desk.write()
    return _told(desk, posted, [])


def _told(desk: Desk, posted: Posted, order_ids: Sequence[int]) -> Told:
    orders = {order_id: cast("Order", desk.order_by_id(order_id)) for order_id in order_ids}
    return Told(cast("list[Fill]", posted.fills), posted.unknown, orders)
