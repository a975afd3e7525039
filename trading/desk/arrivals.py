"""Which trades come late, and what was posted after them: trades are folded in the order of their time, not of arrival."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from trading.desk.rows import FillRow, PositionRow
from trading.desk.store import Store
from trading.orders import TradeReport


class Arrivals:
    """What one desk knows of the order of the trades that it posts."""

    def __init__(self, store: Store) -> None:
        """Know nothing yet."""
        self._store = store
        # By position: the newest fill by (time, number), and the fills that a late one has made load.
        self._newest: dict[tuple[int, int], tuple[datetime, int]] = {}
        self._fills: dict[tuple[int, int], FillRow] = {}
        # The positions from or to which something passed on this desk.
        self._passed: set[tuple[int, int]] = set()

    def pass_on(self, position: PositionRow) -> None:
        """Note that coins passed by the ledger alone: whatever is told later comes after, whenever it was traded."""
        self._passed.add((position.book_id, position.instrument_id))

    def is_late(self, position: PositionRow, newest: tuple[datetime, int] | None, key: tuple[datetime, int]) -> bool:
        """Say whether a fill comes before one that is posted; from now on it counts as posted itself."""
        place = (position.book_id, position.instrument_id)
        if place in self._passed:
            raise ValueError("What passed on a desk is written and recorded before a trade of its position is posted")
        known = self._newest.get(place) or newest
        self._newest[place] = key if known is None else max(known, key)
        return known is not None and known > key

    def fills_after(
        self, position: PositionRow, trade: TradeReport, unwritten: Iterable[FillRow]
    ) -> tuple[list[FillRow], frozenset[int]]:
        """Return the fills of a position after a trade, oldest first, and the numbers of those not written yet."""
        place, key = (position.book_id, position.instrument_id), (trade.traded_at, trade.trade_id)
        new = [row for row in unwritten if (row.book_id, row.instrument.pk) == place and (row.traded_at, row.trade_id) > key]
        # A second late fill must meet what the first has corrected.
        stored = [
            self._fills.setdefault((row.instrument.pk, row.trade_id), row) for row in self._store.fills_after(*place, trade)
        ]
        rows = sorted([*stored, *new], key=lambda row: (row.traded_at, row.trade_id))
        return rows, frozenset(row.trade_id for row in new)
