"""Read the public market of Binance: instruments, candles, marks."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

import ccxt

from exchange.binance import answers
from exchange.binance.wire import DEFAULT_HOST, Connection
from exchange.budget import RequestBudget
from exchange.errors import ExchangeTrouble, Outcome
from exchange.ports import ClosedCandle, Listing, MarkUpdate, StreamGap, StreamOpen
from exchange.profiles import VenueProfile
from exchange.streams import EventQueue, follow

_TROUBLES: Final = (ExchangeTrouble, ccxt.BaseError, OSError, asyncio.TimeoutError)


class BinanceMarket:
    """A MarketPort; needs no key."""

    def __init__(self, *, profile: VenueProfile, rest_url: str = "", stream_url: str = "") -> None:
        self._profile = profile
        self._addresses = {"rest_url": rest_url, "stream_url": stream_url}
        self._budget = RequestBudget(wall_seconds=time.time, host=rest_url or DEFAULT_HOST)
        self._connection = self._connect(EventQueue[dict[str, Any]]())
        self._streams: list[Connection] = []
        self._market_ms = 0

    async def instruments(self) -> list[Listing]:
        """List what can be traded."""
        raw = await self._connection.call("public_get_exchangeinfo", method="GET", weight=20)
        self._budget.limit = answers.weight_limit(raw) or self._budget.limit
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

    async def watch_closed_candles(
        self, wanted: Sequence[tuple[str, str]]
    ) -> AsyncIterator[ClosedCandle | StreamGap | StreamOpen]:
        """Follow closed candles of these (symbol, interval) pairs; cuts show as StreamGap."""
        names = {venue_symbol(symbol): symbol for symbol, _ in wanted}
        streams = [f"{venue_symbol(symbol).lower()}@kline_{interval}" for symbol, interval in wanted]
        async for event in self._follow(streams):
            if not isinstance(event, dict):
                yield event
            elif event.get("e") == "kline" and event["k"]["x"]:
                bar = event["k"]
                row = [bar["t"], bar["o"], bar["h"], bar["l"], bar["c"], bar["v"]]
                yield answers.candle(names[bar["s"]], bar["i"], row)

    async def watch_marks(self, symbols: Sequence[str]) -> AsyncIterator[MarkUpdate | StreamGap | StreamOpen]:
        """Follow the mid price of these symbols; cuts show as StreamGap.

        Binance's bookTicker carries no time: the newest time of any event on the same stream stands in for it.
        """
        names = {venue_symbol(symbol): symbol for symbol in symbols}
        streams = [f"{name.lower()}@{kind}" for kind in ("bookTicker", "miniTicker") for name in names]
        async for event in self._follow(streams):
            if isinstance(event, StreamOpen):
                self._market_ms = await self._market_time_ms(symbols[0])
            if not isinstance(event, dict):
                yield event
                continue
            self._market_ms = max(self._market_ms, int(event.get("E", 0)))
            if "b" in event and "a" in event and event.get("s") in names:
                price = (answers.exact(event["b"]) + answers.exact(event["a"])) / 2
                yield MarkUpdate(names[event["s"]], price, self._market_ms)

    async def close(self) -> None:
        """Let go of every connection."""
        for connection in [self._connection, *self._streams]:
            await connection.close()

    def _connect(self, queue: EventQueue[dict[str, Any]]) -> Connection:
        return Connection(
            profile=self._profile,
            budget=self._budget,
            on_event=queue.put,
            on_cut=lambda reason: queue.put(StreamGap(reason)),
            **self._addresses,
        )

    async def _follow(self, streams: list[str]) -> AsyncIterator[dict[str, Any] | StreamGap | StreamOpen]:
        queue: EventQueue[dict[str, Any]] = EventQueue()
        connection = self._connect(queue)
        self._streams.append(connection)

        async def subscribe() -> None:
            async with asyncio.timeout(self._profile.request_deadline_seconds):
                await connection.wire.open_market_stream(streams)

        try:
            async for event in follow(queue, subscribe, _TROUBLES):
                yield event
        finally:
            self._streams.remove(connection)
            await connection.close()

    async def _market_time_ms(self, symbol: str) -> int:
        raw = await self._connection.call("public_get_ticker_24hr", {"symbol": venue_symbol(symbol)}, method="GET", weight=2)
        return int(raw["closeTime"])


def venue_symbol(symbol: str) -> str:
    """Write a symbol as Binance does."""
    return symbol.replace("/", "")
