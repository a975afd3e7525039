"""Keep the order book of one symbol: a snapshot by REST, and changes that must follow from it without a hole."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, NamedTuple

from exchange.errors import ExchangeTrouble, Outcome
from exchange.ports import BookUpdate
from exchange.values import exact

Levels = dict[Decimal, Decimal]


class Changes(NamedTuple):
    """What happened to a book between two update numbers; a quantity of zero takes a level away."""

    first_id: int
    last_id: int
    bids: Levels
    asks: Levels


@dataclass(slots=True)
class LocalBook:
    """Bids and asks as of an update number."""

    last_id: int
    bids: Levels = field(default_factory=dict)
    asks: Levels = field(default_factory=dict)

    def follows(self, news: Changes) -> bool:
        """Say whether no change is missing between what is known and these; old news follows and changes nothing."""
        return news.first_id <= self.last_id + 1

    def apply(self, news: Changes) -> None:
        """Take changes in that follow; what is known already is left out."""
        if news.last_id <= self.last_id:
            return
        for mine, theirs in ((self.bids, news.bids), (self.asks, news.asks)):
            for price, quantity in theirs.items():
                if quantity:
                    mine[price] = quantity
                else:
                    mine.pop(price, None)
        self.last_id = news.last_id

    @property
    def is_crossed(self) -> bool:
        """Say whether somebody would buy above what somebody asks: no exchange lets that stand, so something is missing."""
        return bool(self.bids) and bool(self.asks) and max(self.bids) >= min(self.asks)

    def top(self, symbol: str, levels: int) -> BookUpdate:
        """Return the best levels of both sides."""
        bids = tuple(sorted(self.bids.items(), reverse=True)[:levels])
        asks = tuple(sorted(self.asks.items())[:levels])
        return BookUpdate(symbol, bids, asks, self.last_id)


def snapshot(raw: Any) -> LocalBook:
    """Read a whole book."""
    try:
        return LocalBook(int(raw["lastUpdateId"]), _levels(raw["bids"]), _levels(raw["asks"]))
    except (KeyError, TypeError, ValueError) as error:
        raise ExchangeTrouble(Outcome.UNAVAILABLE, f"This is no order book: {str(raw)[:120]}") from error


def changes(event: dict[str, Any]) -> Changes:
    """Read the changes of a depth event."""
    try:
        return Changes(int(event["U"]), int(event["u"]), _levels(event["b"]), _levels(event["a"]))
    except (KeyError, TypeError, ValueError) as error:
        raise ExchangeTrouble(Outcome.UNAVAILABLE, f"These are no changes: {str(event)[:120]}") from error


def _levels(rows: Any) -> Levels:
    pairs = rows.items() if isinstance(rows, dict) else rows
    return {exact(row[0]): exact(row[1]) for row in pairs}
