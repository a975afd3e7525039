"""Small markets drawn by hand, and an engine to walk them, for tests without a process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from venue.accounts import Account
from venue.amounts import UNIT, parse
from venue.clock import PARTS, SEGMENTS, MarketClock
from venue.listings import Listing, listing
from venue.market.bars import MINUTE_MS, Bar, Series, aggregate
from venue.matching.engine import Engine
from venue.matching.terms import Terms
from venue.orders import Order, OrderRequest, Trade

START = 1_704_067_200_000
PLENTY = "1000000"


class DrawnMarket:
    """A market of one symbol whose candles a test draws."""

    kind = "drawn"
    label = "Drawn"
    identity = "drawn"
    base_interval_ms = MINUTE_MS
    start_time = START

    def __init__(self, candles: Sequence[tuple[str, str, str, str, str]], symbol: str = "ETHUSDT") -> None:
        self.symbol = symbol
        self.listings: tuple[Listing, ...] = (listing(symbol),)
        rows = [
            [START + index * MINUTE_MS, *(parse(word) for word in candle), 0, 1]
            for index, candle in enumerate(candles)
            if candle[0] != "-"
        ]
        self._series = Series(np.array(rows, dtype=np.int64).T)
        self.end_time: int | None = START + len(candles) * MINUTE_MS

    def bars_at(self, open_time: int) -> dict[str, Bar]:
        found = [bar for bar in self._series.bars() if bar.open_time == open_time]
        return {self.symbol: found[0]} if found else {}

    def next_open(self, after: int) -> int | None:
        later = self._series.times[self._series.times > after]
        return int(later[0]) if len(later) else None

    def closed(self, symbol: str, interval_ms: int, *, first: int, last: int, limit: int, forward: bool) -> Series:
        part = aggregate(self._series, interval_ms).cut(first, last)
        return part.oldest(limit) if forward else part.newest(limit)


@dataclass
class World:
    """An engine with its clock and one rich account."""

    engine: Engine
    clock: MarketClock
    account: Account

    def order(self, side: str, kind: str, **wishes: str) -> tuple[Order, list[Trade]]:
        """Place an order described in words."""
        amounts = {name: parse(text) for name, text in wishes.items() if text[:1].isdigit() and name != "client"}
        request = OrderRequest(
            symbol=next(iter(self.engine.books)),
            side=side,
            type=kind,
            client_order_id=wishes.get("client", f"auto-{self.engine.last_order_id}"),
            time_in_force=wishes.get("in_force", "GTC"),
            prevention=wishes.get("prevention", "NONE"),
            quantity=amounts.get("quantity", 0),
            quote_quantity=amounts.get("quote", 0),
            price=amounts.get("price", 0),
            stop_price=amounts.get("stop", 0),
        )
        return self.engine.place(self.account, request)

    def walk_bar(self, parts: int = PARTS) -> list[Trade]:
        """Walk the rest of the bar and open the next; return the fills this brought."""
        before = len(self.engine.journal.trades)
        while self.clock.position.progress < SEGMENTS * PARTS:
            self.clock.walk(parts)
        self.clock.turn()
        return self.engine.journal.trades[before:]


def draw(
    candles: Sequence[tuple[str, str, str, str, str]],
    *,
    terms: Terms | None = None,
    balances: dict[str, str] | None = None,
) -> World:
    """Open a drawn market with an account that holds `balances`."""
    market = DrawnMarket(candles)
    engine = Engine(market.listings, terms or Terms(), wall_ms=lambda: 0)
    account = Account(uid=1, name="demo", api_key="k", api_secret="s", created_at=START)
    for asset, amount in (balances or {"USDT": PLENTY, "ETH": PLENTY}).items():
        account.balance(asset).free = parse(amount)
    engine.accounts[account.uid] = account
    return World(engine, MarketClock(market, engine, None), account)


def money(units: int) -> str:
    """Write units without trailing zeros, so that stories stay readable."""
    whole, fraction = divmod(units, UNIT)
    return f"{whole}.{fraction:08d}".rstrip("0").rstrip(".")
