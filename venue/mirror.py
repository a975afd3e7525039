"""Show prices of a real exchange as they are told: no path, no invented price, and no trading while nobody tells.

Market time is the real exchange's. A minute stays the current one until its candle is told closed, so that whoever asks for
closed candles up to now gets all of them.
"""

import asyncio
import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from venue.amounts import product
from venue.clock import MarketClock, Position
from venue.errors import ApiError
from venue.market.bars import MINUTE_MS, Bar
from venue.market.candles import FormingCandles
from venue.market.live import LiveMarket
from venue.matching.engine import Engine
from venue.pacing import Pacer

# Whoever tells prices says something at least once a second.
SILENT_SECONDS: Final = 5.0
LOOK_SECONDS: Final = 0.5


class MirrorClock(MarketClock):
    """Moves when it is told to. Every method is one step, as in a market that walks by itself."""

    source: LiveMarket

    def __init__(
        self,
        source: LiveMarket,
        engine: Engine,
        position: Position | None,
        *,
        wanted: Callable[[str], bool],
        after_step: Callable[[], None],
    ) -> None:
        """Stand where the market was left, with nothing traded until somebody tells prices."""
        # What trades in this minute, and what already belongs to the next one.
        self._forming: dict[str, Bar] = {}
        self._early: dict[str, Bar] = {}
        # Whoever tells must have started with the history of this very run.
        self.session = secrets.token_hex(8)
        self.is_open = False
        self.heard_at = time.monotonic()
        super().__init__(source, engine, position, wanted=wanted, after_step=after_step)
        for book in engine.books.values():
            book.is_mirrored = True
            book.close_for_outage()

    @property
    def dark(self) -> list[str]:
        """Return the symbols whose price nobody tells now."""
        return sorted(symbol for symbol, book in self.engine.books.items() if book.quoted is None)

    def partial(self, symbol: str) -> Bar | None:
        """Return the base candle in progress."""
        return self._forming.get(symbol)

    def open_at(self, minute: int) -> None:
        """Go to a minute: the history before it is known, and nobody knows what orders missed meanwhile."""
        if minute % MINUTE_MS or minute < self.position.bar_open:
            raise ApiError(409, f"the market is at {self.position.bar_open} already", status=409)
        self.darken(self.engine.books)
        self._forming, self._early = {}, {}
        self.position = Position(minute)
        self.engine.now = max(self.engine.now, minute)
        for symbol, book in self.engine.books.items():
            self.candles[symbol] = FormingCandles(self.source, symbol, minute)
            book.price = self._last_price(symbol, minute) or book.price
        self.is_open = True
        self._note_position()

    def pass_time(self, at: int) -> None:
        """Let time pass, inside the current minute."""
        self.engine.now = max(self.engine.now, min(at, self.bar_end - 1))
        self._after_step()

    def quote(self, symbol: str, bid: int, ask: int) -> None:
        """Take in the best bid and offer; the first one after a silence opens trading again."""
        book = self.engine.books[symbol]
        if not 0 < bid <= ask:
            raise ApiError(400, f"a bid of {bid} and an offer of {ask} are no quote")
        if book.quoted is None:
            last = self.source.closed(symbol, MINUTE_MS, first=0, last=self.position.bar_open - 1, limit=1, forward=False)
            book.has_candle = True
            book.depth, book.budget = book.terms.depth(last.bar(0).volume if len(last) else 0, book.listing.step), 0
        if book.quoted != (bid, ask):
            book.quoted = (bid, ask)
            self._show(symbol)

    def trade(self, symbol: str, price: int, quantity: int, at: int, *, buyer_is_maker: bool) -> None:
        """Take in somebody's trade: it moves the price, and fills what waits where it went through."""
        book, tape = self.engine.books[symbol], self.engine.tape
        if book.quoted is None:
            # After a cut the quotes say first that prices are to be trusted again.
            return
        target, begins = (self._early, self.bar_end) if at >= self.bar_end else (self._forming, self.position.bar_open)
        before = target.get(symbol)
        target[symbol] = after = _with_trade(before, price, quantity, begins)
        step = book.listing.step
        book.budget += book.terms.depth(after.volume, step) - book.terms.depth(before.volume if before else 0, step)
        now = self.engine.now
        # A trade is a point, not a path: whatever it has passed is met at its own price.
        self.engine.move(symbol, price, price, lambda _level: now)
        events = tape.print(symbol, tape.next_id(symbol), price, quantity, now, buyer_is_maker=buyer_is_maker)
        self.engine.journal.counters[symbol] = (self.engine.last_order_id[symbol], tape.last_id[symbol])
        self.engine.journal.events.extend(events)

    def close_minute(self, minute: int, bars: Mapping[str, Bar]) -> None:
        """Close the current minute with its candles as the real exchange has them; a symbol without one had none."""
        if minute != self.position.bar_open:
            raise ApiError(409, f"the market is at {self.position.bar_open}, not at {minute}", status=409)
        for symbol, bar in bars.items():
            self.source.learn(symbol, MINUTE_MS, [bar])
            self.candles[symbol].fold(bar)
        closed_at = self.bar_end
        self.engine.now = max(self.engine.now, closed_at)
        self.position = Position(closed_at)
        self._forming, self._early = self._early, {}
        for symbol, book in self.engine.books.items():
            self._close_candles(symbol, closed_at)
            begun = self._forming.get(symbol)
            if book.has_candle:
                closed = bars.get(symbol)
                book.depth = book.terms.depth(closed.volume, book.listing.step) if closed else book.depth
                book.budget = book.terms.depth(begun.volume, book.listing.step) if begun else 0
        self._after_step()
        self._note_position()

    def darken(self, symbols: Iterable[str]) -> None:
        """Stop trading symbols whose price nobody can vouch for."""
        for symbol in symbols:
            book = self.engine.books[symbol]
            if book.quoted is not None:
                book.close_for_outage()
                self._show(symbol)


class MirrorPacer(Pacer):
    """Lets the real exchange set the pace. The market is held for nobody: a hold only says which minute has begun."""

    clock: MirrorClock

    async def run(self) -> None:
        """Stop trading when nobody tells prices any more."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            if time.monotonic() - self.clock.heard_at > SILENT_SECONDS and len(self.clock.dark) < len(self.clock.engine.books):
                self.clock.darken(self.clock.engine.books)
                await self._committer.durable()

    def change(self, *, speed: float | None = None, paused: bool | None = None, bars: int = 0) -> None:
        """Refuse: nobody can slow the real world down."""
        del speed, paused, bars
        raise ApiError(400, "live prices have no speed and no pause")

    def begin_minute(self) -> None:
        """Tell whoever waits that a minute has begun."""
        self._begin_hold()
        self._announce()


def _with_trade(so_far: Bar | None, price: int, quantity: int, open_time: int) -> Bar:
    quote = product(price, quantity)
    if so_far is None:
        return Bar(open_time, price, price, price, price, quantity, quote, 1)
    return Bar(
        so_far.open_time,
        so_far.open,
        max(so_far.high, price),
        min(so_far.low, price),
        price,
        so_far.volume + quantity,
        so_far.quote_volume + quote,
        so_far.trades + 1,
    )
