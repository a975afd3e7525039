"""Post a trade of a locked account (T4). The rules are `trading.desk`'s."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import cast

from portfolio.models import Account, Fill
from portfolio.writers.store import open_desk
from trading.desk import fills
from trading.desk.fills import fact_of
from trading.desk.store import OwnerUnknown
from trading.orders import TradeReport

__all__ = ["OwnerUnknown", "fact_of", "post_fill", "post_fills"]


def post_fill(account: Account, trade: TradeReport, *, now: datetime) -> Fill | None:
    """Post a trade once, whatever its source; answer None when it is posted already (I-20).

    Raises OwnerUnknown when the caller must first read which client order id the trade's order carries.
    """
    desk = open_desk(account, market_at=trade.traded_at, now=now)
    fill = fills.post_fill(desk, trade)
    desk.write()
    return cast("Fill | None", fill)


def post_fills(account: Account, trades: Sequence[TradeReport], *, now: datetime) -> tuple[list[Fill], list[TradeReport]]:
    """Post a page of trades in the order of their time, written together; repeats are skipped.

    Answers the fills that were news, and the trades whose order must first be read from the exchange.
    """
    if not trades:
        return [], []
    desk = open_desk(account, market_at=trades[0].traded_at, now=now)
    posted = fills.post_fills(desk, trades)
    desk.write()
    return cast("list[Fill]", posted.fills), posted.unknown
