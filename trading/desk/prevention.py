"""Which of two orders of one account gives way when they meet: the exchange's backstop behind our own rule (I-39, I-40)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final

from trading.desk.rows import FLATTEN, STOP, OrderRow, is_stop

# Beside the filters of an instrument: the modes that its exchange allows for it.
SELF_TRADE_PREVENTION: Final = "SELF_TRADE_PREVENTION"
EXPIRE_TAKER: Final = "EXPIRE_TAKER"
EXPIRE_MAKER: Final = "EXPIRE_MAKER"
# What protects must sell: another book's bid, which is an entry, ends instead.
_FIRST_IN_LINE: Final = frozenset((STOP, FLATTEN))


def prevention_of(kind: str, filters: Mapping[str, Any]) -> str:
    """Return the mode that an order of this kind of intent asks for; empty where the exchange allows none that we want."""
    allowed: Collection[str] = filters.get(SELF_TRADE_PREVENTION, {}).get("modes", ())
    wanted = (EXPIRE_MAKER, EXPIRE_TAKER) if kind in _FIRST_IN_LINE else (EXPIRE_TAKER,)
    return next((mode for mode in wanted if mode in allowed), "")


def clears_its_way(kind: str, filters: Mapping[str, Any]) -> bool:
    """Say whether an order of this kind sells through the account's own bids, which end in its way."""
    return prevention_of(kind, filters) == EXPIRE_MAKER


def others(orders: Iterable[OrderRow], *, book_id: int, instrument_id: int, side: str) -> list[OrderRow]:
    """Return the orders of other books on one side of an instrument; stops rest nowhere until they trigger."""
    return [
        order
        for order in orders
        if order.book_id != book_id and order.instrument_id == instrument_id and order.side == side and not is_stop(order)
    ]
