"""An order book that is told as changes, followed by a reader of snapshots that come at any moment."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

from tests.venue.worlds import DrawnMarket
from venue.depths import SHOWN_LEVELS, Depths
from venue.matching.engine import Engine
from venue.matching.terms import Terms

STREAM = "ethusdt@depth"


@dataclass
class Reader:
    """Follows a book as the exchange's documentation says: a snapshot, then each change that continues it."""

    last_id: int
    sides: dict[str, dict[str, str]] = field(default_factory=dict)

    @classmethod
    def of(cls, answer: dict[str, Any]) -> Reader:
        return cls(answer["lastUpdateId"], {"b": dict(answer["bids"]), "a": dict(answer["asks"])})

    def hear(self, event: dict[str, Any]) -> bool:
        """Take a change in; False if it does not continue what is known."""
        if event["u"] <= self.last_id:
            return True
        if event["U"] > self.last_id + 1:
            return False
        for side, levels in self.sides.items():
            for price, size in event[side]:
                if float(size):
                    levels[price] = size
                else:
                    levels.pop(price, None)
        self.last_id = event["u"]
        return True


def test_whoever_reads_a_snapshot_at_any_moment_has_the_book_of_now_after_the_next_change() -> None:
    engine = Engine(DrawnMarket([("100", "101", "99", "100", "5")]).listings, Terms(), wall_ms=lambda: 0)
    book, depths, draw = engine.book("ETHUSDT"), Depths(), random.Random(7)
    book.price = 2_000 * 10**8
    readers: list[Reader] = []
    compared = 0
    for last_id in range(1, 2_000):
        book.price += draw.randint(-3, 3) * 37_000_000
        if draw.random() < 0.1:
            readers = [*readers[-3:], Reader.of(depths.snapshot(book, last_id, draw.choice([20, 100])))]
        if draw.random() < 0.3 and (event := depths.changes(book, last_id, stream=STREAM)):
            fresh = [reader for reader in readers if reader.last_id == last_id]
            readers = [reader for reader in readers if reader.hear(event)]
            now = Reader.of(Depths().snapshot(book, last_id, SHOWN_LEVELS))
            followers = [reader for reader in readers if reader not in fresh]
            assert all(reader.last_id == last_id for reader in followers)
            assert all(reader.sides == now.sides for reader in followers)
            compared += len(followers)
    assert compared > 200


def test_a_stream_that_nobody_hears_any_more_begins_anew() -> None:
    engine = Engine(DrawnMarket([("100", "101", "99", "100", "5")]).listings, Terms(), wall_ms=lambda: 0)
    book, depths = engine.book("ETHUSDT"), Depths()
    book.price = 2_000 * 10**8
    assert depths.changes(book, 1, stream=STREAM) is None
    book.price += 10**8
    event = depths.changes(book, 2, stream=STREAM)
    assert event is not None
    assert (event["U"], event["u"]) == (2, 2)
    depths.keep([])
    book.price += 10**8
    assert depths.changes(book, 3, stream=STREAM) is None
