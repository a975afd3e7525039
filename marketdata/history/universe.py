"""Which symbols were the most traded at a moment, judged by nothing later."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from marketdata.history.catalog import NoHistory, series
from marketdata.history.columns import candle_columns
from trading.bars import INTERVALS
from trading.strategy import CLOSE, VOLUME

DAY = "1d"


class Member(NamedTuple):
    """A symbol of the universe and what was traded of it a day, in its quote asset."""

    symbol: str
    quote_volume: float


def universe(root: Path, *, at_ms: int, days: int, size: int, exchange: str = "binance", quote: str = "USDT") -> list[Member]:
    """Rank the symbols by their mean daily volume over the last whole days before a moment, and answer the largest.

    A symbol that misses one of these days is left out: it was not there yet, not there any more, or cannot be judged.
    """
    end = at_ms - at_ms % INTERVALS[DAY]
    begin = end - days * INTERVALS[DAY]
    names = {one.symbol for one in series(root) if one.exchange == exchange and one.symbol.endswith(quote)}
    members = []
    for name in sorted(names):
        try:
            found = candle_columns(root, symbol=name, interval=DAY, begin_ms=begin, end_ms=end, exchange=exchange)
        except NoHistory:
            continue
        if len(found) == days:
            members.append(Member(name, float(np.mean(found.values[CLOSE] * found.values[VOLUME]))))
    return sorted(members, key=lambda member: (-member.quote_volume, member.symbol))[:size]
