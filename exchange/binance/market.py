"""Read the public market of Binance: instruments, candles, quotes, trades, order books."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from decimal import Decimal
from functools import partial
from typing import Any, Final

import ccxt

from exchange.binance import answers
from exchange.binance.book import LocalBook, changes, snapshot
from exchange.binance.line import BinanceLine
from exchange.binance.wire import Connection, Wire, default_host
from exchange.budget import RequestBudget
from exchange.errors import ExchangeTrouble, Outcome
from exchange.lines import Lines, Terms
from exchange.moments import as_milliseconds
from exchange.ports import (
    BookUpdate,
    CandleEvent,
    ClosedCandle,
    Listing,
    PublicTrade,
    QuoteEvent,
    QuoteUpdate,
    StreamGap,
    StreamOpen,
    Unreadable,
)
from exchange.profiles import VenueProfile
from exchange.streams import EventQueue, LatestQueue
from exchange.values import exact

_TROUBLES: Final = (ExchangeTrouble, ccxt.BaseError, OSError, asyncio.TimeoutError)
_DAY_MS: Final = 86_400_000
# How often the market's time is asked for when events claim one that cannot be.
_TIME_SECONDS: Final = 5.0
_EXPONENT_MAX: Final = 18
Raw = dict[str, Any]
OnEvent = Callable[[Raw], None]
OnSign = Callable[[StreamGap | StreamOpen], None]


class BinanceMarket:
    """A MarketPort; needs no key."""

    def __init__(
        self,
        *,
        profile: VenueProfile,
        rest_url: str = "",
        stream_url: str = "",
        wire_class: type[Wire] = Wire,
        terms: Terms | None = None,
    ) -> None:
        self._profile = profile
        self._host = rest_url or default_host(wire_class)
        self._terms = terms or profile.stream_terms
        self._addresses = {"rest_url": rest_url, "stream_url": stream_url}
        self._wire_class = wire_class
        self._budget = RequestBudget(wall_seconds=time.time, host=self._host)
        self._connection = self._connect(lambda _event: None, lambda _reason: None)
        self._lines: list[Lines] = []
        self._market_ms = 0
        self._time_read_at = -_TIME_SECONDS
        # What was dropped or replaced before anybody looked (M14).
        self.dropped = 0
        self.coalesced = 0

    async def instruments(self) -> list[Listing]:
        """List what can be traded."""
        raw = await self._connection.call("public_get_exchangeinfo", method="GET", weight=20)
        self._budget.learn_limit(answers.weight_limit(raw))
        return answers.listings(raw)

    async def candles(self, symbol: str, interval: str, since_ms: int, limit: int) -> list[ClosedCandle]:
        """Read closed candles from this open time on, oldest first; the one still open is left out."""
        count = min(limit, 1000)
        wanted = {"symbol": venue_symbol(symbol), "interval": interval, "startTime": since_ms, "limit": count}
        raw = await self._connection.call("public_get_klines", wanted, method="GET", weight=2)
        if not isinstance(raw, list):
            raise ExchangeTrouble(Outcome.UNAVAILABLE, f"These are no candles: {str(raw)[:120]}")
        if raw and len(raw) < count:
            # Only at the end of history can a candle still be open. The market's own time tells, not the wall's.
            now = await self._market_time_ms(symbol)
            raw = [row for row in raw if row[6] < now]
        return [answers.candle(symbol, interval, row) for row in raw]

    async def quotes(self, symbols: Sequence[str]) -> list[QuoteUpdate]:
        """Read the best bid and ask of these symbols; one that cannot be read is left out."""
        names = {venue_symbol(symbol): symbol for symbol in symbols}
        wanted = {"symbols": json.dumps(sorted(names), separators=(",", ":"))}
        raw = await self._connection.call("public_get_ticker_bookticker", wanted, method="GET", weight=4)
        if not isinstance(raw, list):
            raise ExchangeTrouble(Outcome.UNAVAILABLE, f"These are no quotes: {str(raw)[:120]}")
        self._market_ms = max(self._market_ms, await self._market_time_ms(symbols[0]))
        found = (self._quote(names, row) for row in raw if isinstance(row, dict) and row.get("symbol") in names)
        return [quote for quote in found if isinstance(quote, QuoteUpdate)]

    async def watch_closed_candles(self, wanted: Sequence[tuple[str, str]]) -> AsyncIterator[CandleEvent]:
        """Follow closed candles of these (symbol, interval) pairs; cuts show as StreamGap."""
        names = {venue_symbol(symbol): symbol for symbol, _ in wanted}
        streams = [f"{venue_symbol(symbol).lower()}@kline_{interval}" for symbol, interval in wanted]
        queue: EventQueue[ClosedCandle | Unreadable] = EventQueue()

        def hear(event: Raw) -> None:
            # What is not closed is dropped before it can wait in line.
            if event.get("e") == "kline" and (candle := _closed_candle(names, event)) is not None:
                queue.put(candle)

        async with self._listening(streams, hear, queue.put) as lines:
            while True:
                event = await queue.get()
                lines.raise_failure()
                self.dropped = queue.dropped
                yield event

    async def watch_quotes(self, symbols: Sequence[str]) -> AsyncIterator[QuoteEvent]:
        """Follow the best bid and ask of these symbols: the newest of each, however fast they come.

        Binance's bookTicker carries no time: the newest time of any event on the same stream stands in for it.
        """
        names = {venue_symbol(symbol): symbol for symbol in symbols}
        streams = [f"{name.lower()}@{kind}" for name in names for kind in ("bookTicker", "miniTicker")]
        queue: LatestQueue[QuoteUpdate | Unreadable] = LatestQueue()

        def hear(event: Raw) -> None:
            symbol = names.get(str(event.get("s")))
            if symbol is None:
                return
            if "E" in event and (objection := self._note_time(event["E"])):
                queue.put(symbol, Unreadable(symbol, objection))
            elif "b" in event or "a" in event:
                queue.put(symbol, self._quote(names, event))

        async with self._listening(streams, hear, queue.sign) as lines:
            while True:
                event = await queue.get()
                lines.raise_failure()
                self.coalesced = queue.coalesced
                if isinstance(event, (StreamOpen, Unreadable)):
                    await self._read_time(symbols[0])
                elif isinstance(event, QuoteUpdate) and not event.market_ms:
                    # Heard before anybody had told the time, which was asked for when the stream opened.
                    event = replace(event, market_ms=self._market_ms)
                yield event

    async def watch_trades(self, symbols: Sequence[str]) -> AsyncIterator[PublicTrade | Unreadable | StreamGap | StreamOpen]:
        """Follow everybody's trades in these symbols."""
        names = {venue_symbol(symbol): symbol for symbol in symbols}
        queue: EventQueue[PublicTrade | Unreadable] = EventQueue()

        def hear(event: Raw) -> None:
            if event.get("e") == "trade" and event.get("s") in names:
                queue.put(_trade(names[event["s"]], event))

        async with self._listening([f"{name.lower()}@trade" for name in names], hear, queue.put) as lines:
            while True:
                event = await queue.get()
                lines.raise_failure()
                yield event

    async def watch_book(self, symbol: str, *, levels: int) -> AsyncIterator[BookUpdate | StreamGap | StreamOpen]:
        """Follow the top of an order book; what does not follow from what was known is read anew (M07)."""
        name = venue_symbol(symbol)
        queue: EventQueue[Raw] = EventQueue()

        def hear(event: Raw) -> None:
            if event.get("e") == "depthUpdate" and event.get("s") == name:
                queue.put(event)

        book: LocalBook | None = None
        async with self._listening([f"{name.lower()}@depth"], hear, queue.put) as lines:
            while True:
                event = await queue.get()
                lines.raise_failure()
                if isinstance(event, (StreamGap, StreamOpen)):
                    book = None
                    yield event
                    continue
                if book is None or not book.follows(changes(event)):
                    with contextlib.suppress(*_TROUBLES):
                        book = await self._read_book(name)
                        yield book.top(symbol, levels)
                    continue
                book.apply(changes(event))
                if book.is_crossed:
                    book = None
                    continue
                yield book.top(symbol, levels)

    async def reopen_streams(self, reason: str) -> None:
        """Give every stream up and open new ones; each shows as a StreamGap."""
        for lines in self._lines:
            lines.give_up(reason)

    async def close(self) -> None:
        """Let go of every connection."""
        for lines in list(self._lines):
            await lines.close()
        await self._connection.close()

    def _connect(self, on_event: OnEvent, on_cut: Callable[[str], None]) -> Connection:
        return Connection(
            profile=self._profile,
            budget=self._budget,
            on_event=on_event,
            on_cut=on_cut,
            wire_class=self._wire_class,
            **self._addresses,
        )

    @contextlib.asynccontextmanager
    async def _listening(self, streams: list[str], hear: OnEvent, sign: OnSign) -> AsyncIterator[Lines]:
        lines = Lines(
            dial=partial(BinanceLine.dial, connect=self._connect, hear=hear, terms=self._terms),
            sign=sign,
            names=streams,
            terms=self._terms,
            host=self._host,
            troubles=_TROUBLES,
        )
        self._lines.append(lines)
        try:
            yield lines
        finally:
            self._lines.remove(lines)
            await lines.close()

    def _quote(self, names: dict[str, str], row: Raw) -> QuoteUpdate | Unreadable:
        symbol = names[row.get("symbol") or row["s"]]
        try:
            bid, ask = row.get("bidPrice", row.get("b")), row.get("askPrice", row.get("a"))
            return QuoteUpdate(symbol, _price(bid), _price(ask), self._market_ms)
        except ExchangeTrouble as trouble:
            return Unreadable(symbol, str(trouble))

    def _note_time(self, said: Any) -> str:
        """Believe an event's time, unless it is none or lies far ahead: it would stand over all that follows (M08)."""
        at = as_milliseconds(said)
        if at is None:
            return f"{said!r} is no time"
        if self._market_ms and at > self._market_ms + _DAY_MS:
            return f"{said} lies more than a day ahead"
        self._market_ms = max(self._market_ms, at)
        return ""

    async def _read_time(self, symbol: str) -> None:
        if time.monotonic() - self._time_read_at < _TIME_SECONDS:
            return
        self._time_read_at = time.monotonic()
        with contextlib.suppress(*_TROUBLES):
            self._market_ms = max(self._market_ms, await self._market_time_ms(symbol))

    async def _read_book(self, name: str) -> LocalBook:
        raw = await self._connection.call(
            "public_get_depth", {"symbol": name, "limit": self._terms.book_levels}, method="GET", weight=50
        )
        return snapshot(raw)

    async def _market_time_ms(self, symbol: str) -> int:
        raw = await self._connection.call("public_get_ticker_24hr", {"symbol": venue_symbol(symbol)}, method="GET", weight=2)
        at = as_milliseconds(raw.get("closeTime")) if isinstance(raw, dict) else None
        if at is None:
            raise ExchangeTrouble(Outcome.UNAVAILABLE, f"This is no time: {str(raw)[:120]}")
        return at


def venue_symbol(symbol: str) -> str:
    """Write a symbol as Binance does."""
    return symbol.replace("/", "")


def _price(value: Any) -> Decimal:
    price = exact(value)
    # A number may be finite and still too long to reckon with.
    if abs(price.adjusted()) > _EXPONENT_MAX:
        raise ExchangeTrouble(Outcome.UNAVAILABLE, f"{str(value)[:40]} is no price")
    return price


def _closed_candle(names: dict[str, str], event: Raw) -> ClosedCandle | Unreadable | None:
    symbol = names.get(str(event.get("s")))
    if symbol is None:
        return None
    try:
        bar = event["k"]
        if not bar["x"]:
            return None
        opened = as_milliseconds(bar["t"])
        if opened is None:
            return Unreadable(symbol, f"{bar['t']!r} is no time")
        return answers.candle(symbol, bar["i"], [opened, bar["o"], bar["h"], bar["l"], bar["c"], bar["v"]])
    except (ExchangeTrouble, KeyError, TypeError) as trouble:
        return Unreadable(symbol, f"No candle: {trouble!r}"[:200])


def _trade(symbol: str, event: Raw) -> PublicTrade | Unreadable:
    try:
        at = as_milliseconds(event["T"])
        if at is None:
            return Unreadable(symbol, f"{event['T']!r} is no time")
        price, quantity = exact(event["p"]), exact(event["q"])
        if price <= 0 or quantity <= 0:
            return Unreadable(symbol, f"{price} for {quantity} is no trade")
        return PublicTrade(symbol, str(event["t"]), price, quantity, bool(event["m"]), at)
    except (ExchangeTrouble, KeyError, TypeError) as trouble:
        return Unreadable(symbol, f"No trade: {trouble!r}"[:200])
