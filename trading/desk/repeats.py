"""Recognise a machine that repeats itself: entries one after the other that give no position (S06, Knight)."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice, takewhile
from typing import Final

from trading.desk.rows import ENTER, OrderRow
from trading.ledger import ZERO
from trading.order_status import ABSENT, LIVE, REJECTED, WITHDRAWN

# A buy that rests is often cancelled unfilled by its own bot; only one that never came to rest counts.
_NEVER_RESTED: Final = (REJECTED, ABSENT)


def is_barren(order: OrderRow) -> bool:
    """Say whether an entry has ended, had every chance to give a position, and gave none."""
    if order.status in LIVE or order.filled_quantity > ZERO:
        return False
    return order.intent.kind == ENTER or order.status in _NEVER_RESTED


def leading_barren(newest_first: Iterable[OrderRow], limit: int) -> int:
    """Count the barren entries before the first that was not, up to a limit; what never left tells nothing."""
    sent = (order for order in newest_first if order.status != WITHDRAWN)
    return sum(1 for _ in takewhile(is_barren, islice(sent, limit)))
