"""Order books as changes: whoever has a snapshot and every change after it has the book of now."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from venue.matching.book import SymbolBook
from venue.ticker import levels

SHOWN_LEVELS = 20

Level = tuple[str, str]
Book = dict[Level, str]


class Depths:
    """Remembers what readers of a symbol's book may hold, so that the next change takes away all that is gone.

    Prices come and go between two events. An exchange tells each of them; this venue tells differences, so after a snapshot in
    between the next event tells every level, and takes away by name what the snapshot showed.
    """

    def __init__(self) -> None:
        self._told: dict[str, tuple[int, Book]] = {}
        self._read: dict[str, tuple[int, Book]] = {}

    def snapshot(self, book: SymbolBook, last_id: int, count: int) -> dict[str, Any]:
        """Return the best `count` bids and offers."""
        bids, asks = levels(book, count)
        symbol = book.listing.symbol
        read = _levels(bids, asks)
        known_id, known = self._read.get(symbol, (0, {}))
        self._read[symbol] = (last_id, known | read if known_id == last_id else read)
        for stream, (before_id, before) in self._told.items():
            if stream.startswith(f"{symbol.lower()}@"):
                self._told[stream] = before_id, dict.fromkeys(before | read, "")
        return {"lastUpdateId": last_id, "bids": bids, "asks": asks}

    def changes(self, book: SymbolBook, last_id: int, *, stream: str) -> dict[str, Any] | None:
        """Return what has changed for a stream since it was asked last.

        The first answer is None, for nothing was known before; so is the first after the numbers began anew.
        """
        now = _levels(*levels(book, SHOWN_LEVELS))
        before_id, before = self._told.get(stream, (last_id + 1, {}))
        if last_id == before_id or before == now:
            return None
        read_id, read = self._read.get(book.listing.symbol, (0, {}))
        self._told[stream] = (last_id, dict.fromkeys(now | read, "") if read_id == last_id else now)
        if last_id < before_id:
            return None
        gone = [(level, "0.00000000") for level in before if level not in now]
        changed = gone + [(level, size) for level, size in now.items() if before.get(level) != size]
        told = {side: [[price, size] for (where, price), size in changed if where == side] for side in ("b", "a")}
        return {"U": before_id + 1, "u": last_id} | told

    def keep(self, streams: Collection[str]) -> None:
        """Let go of what was told to streams that nobody listens to any more."""
        self._told = {stream: told for stream, told in self._told.items() if stream in streams}


def _levels(bids: list[list[str]], asks: list[list[str]]) -> Book:
    return {(side, price): size for side, rows in (("b", bids), ("a", asks)) for price, size in rows}
