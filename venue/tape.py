"""The public tape: trades everybody sees, and their numbers."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from venue.amounts import product, text
from venue.journal import MarketEvent

KEPT: Final = 1000


@dataclass(frozen=True, slots=True)
class Print:
    """One public trade."""

    trade_id: int
    price: int
    quantity: int
    time: int
    buyer_is_maker: bool


class Tape:
    """Recent public trades of all symbols. Ticks of the market and fills of accounts share one numbering."""

    def __init__(self, symbols: Iterable[str]) -> None:
        self.last_id = dict.fromkeys(symbols, 0)
        self._prints: dict[str, deque[Print]] = {symbol: deque(maxlen=KEPT) for symbol in self.last_id}

    def next_id(self, symbol: str) -> int:
        """Take the next number of a symbol's trades."""
        self.last_id[symbol] += 1
        return self.last_id[symbol]

    def print(
        self, symbol: str, trade_id: int, price: int, quantity: int, time: int, *, buyer_is_maker: bool
    ) -> tuple[MarketEvent, MarketEvent]:
        """Print a trade; return what its streams say."""
        self._prints[symbol].append(Print(trade_id, price, quantity, time, buyer_is_maker))
        return _events(symbol, self._prints[symbol][-1])

    def recent(self, symbol: str, limit: int) -> list[Print]:
        """Return the newest trades, oldest first."""
        return list(self._prints[symbol])[-limit:]


def trade_row(item: Print) -> dict[str, Any]:
    """Show a trade as GET trades does."""
    return {
        "id": item.trade_id,
        "price": text(item.price),
        "qty": text(item.quantity),
        "quoteQty": text(product(item.price, item.quantity)),
        "time": item.time,
        "isBuyerMaker": item.buyer_is_maker,
        "isBestMatch": True,
    }


def aggregate_row(item: Print) -> dict[str, Any]:
    """Show a trade as GET aggTrades does; every aggregate here holds one trade."""
    return {
        "a": item.trade_id,
        "p": text(item.price),
        "q": text(item.quantity),
        "f": item.trade_id,
        "l": item.trade_id,
        "T": item.time,
        "m": item.buyer_is_maker,
        "M": True,
    }


def _events(symbol: str, item: Print) -> tuple[MarketEvent, MarketEvent]:
    head = {"E": item.time, "s": symbol}
    trade = {
        "e": "trade",
        **head,
        "t": item.trade_id,
        "p": text(item.price),
        "q": text(item.quantity),
        "T": item.time,
        "m": item.buyer_is_maker,
        "M": True,
    }
    name = symbol.lower()
    return (
        MarketEvent(f"{name}@trade", trade),
        MarketEvent(f"{name}@aggTrade", {"e": "aggTrade", **head, **aggregate_row(item)}),
    )
