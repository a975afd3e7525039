"""A MarketPort over ccxt's unified methods: candles, quotes, trades and books of any exchange, read-only."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Final

import ccxt
import ccxt.pro

from exchange import quota
from exchange.anywhere import reading
from exchange.errors import ExchangeTrouble, Outcome
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
from exchange.streams import RETRY_SECONDS, RETRY_SECONDS_MAX, EventQueue, LatestQueue, jittered
from trading.bars import interval_milliseconds

ANSWER_SECONDS: Final = 10.0
_TROUBLES: Final = (ExchangeTrouble, ccxt.BaseError, OSError, asyncio.TimeoutError)
# An exchange without a stream of quotes is asked so often.
_POLL_SECONDS: Final = 2.0
_PAGE: Final = 300
Sign = Callable[[StreamGap | StreamOpen], None]


class AnyMarket:
    """The public market of an exchange that nobody has written an adapter for."""

    def __init__(self, *, exchange: str, addresses: dict[str, Any] | None = None) -> None:
        self._name = exchange
        self._client: Any = getattr(ccxt.pro, exchange)({"enableRateLimit": False, "timeout": int(ANSWER_SECONDS * 1000)})
        if addresses:
            self._client.urls["api"] = addresses
        # ccxt's own reading of an error comes first and may be vague; the status never is.
        self._status = 0
        self._read_errors = self._client.handle_errors
        self._client.handle_errors = self._note_status
        self._host = exchange if not addresses else str(sorted(map(str, addresses.values())))
        self._loaded = asyncio.Lock()
        self._generation = 0

    async def instruments(self) -> list[Listing]:
        """List what is traded there."""
        await self._load()
        return reading.listings(self._client.markets.values())

    async def candles(self, symbol: str, interval: str, since_ms: int, limit: int) -> list[ClosedCandle]:
        """Read closed candles from this open time on, oldest first."""
        await self._load()
        rows = await self._ask(self._client.fetch_ohlcv, symbol, interval, since_ms, min(limit, _PAGE))
        length, now = interval_milliseconds(interval), _now_ms()
        found = [reading.candle(symbol, interval, row) for row in rows]
        closed = (bar for bar in found if isinstance(bar, ClosedCandle) and since_ms <= bar.open_ms <= now - length)
        return sorted(closed, key=lambda bar: bar.open_ms)

    async def quotes(self, symbols: Sequence[str]) -> list[QuoteUpdate]:
        """Read the best bid and ask of these symbols; one that cannot be read is left out."""
        await self._load()
        tickers = [await self._ask(self._client.fetch_order_book, symbol, 5) for symbol in symbols]
        found = [_top(symbol, raw) for symbol, raw in zip(symbols, tickers, strict=True)]
        return [quote for quote in found if quote is not None]

    async def watch_closed_candles(self, wanted: Sequence[tuple[str, str]]) -> AsyncIterator[CandleEvent]:
        """Follow closed candles where the exchange streams them; elsewhere the feed's questions must do."""
        queue: EventQueue[ClosedCandle | Unreadable] = EventQueue()

        async def hear(symbol: str, interval: str) -> None:
            rows = await self._client.watch_ohlcv(symbol, interval)
            newest = max(int(row[0]) for row in rows)
            for row in rows:
                if int(row[0]) < newest:
                    queue.put(reading.candle(symbol, interval, row))

        works = [partial(hear, *pair) for pair in wanted] if self._client.has.get("watchOHLCV") else []
        told: dict[tuple[str, str], int] = {}
        async with self._following(works, queue.put):
            if not works:
                yield StreamOpen()
            while True:
                event = await queue.get()
                if isinstance(event, ClosedCandle):
                    # ccxt repeats what it keeps with every change.
                    if event.open_ms <= told.get((event.symbol, event.interval), 0):
                        continue
                    told[event.symbol, event.interval] = event.open_ms
                yield event

    async def watch_quotes(self, symbols: Sequence[str]) -> AsyncIterator[QuoteEvent]:
        """Follow the best bid and ask of these symbols, by a stream if there is one."""
        queue: LatestQueue[QuoteUpdate | Unreadable] = LatestQueue()
        is_streamed = bool(self._client.has.get("watchTicker"))

        async def hear(symbol: str) -> None:
            if is_streamed:
                ticker = await self._client.watch_ticker(symbol)
                queue.put(symbol, reading.quote(symbol, ticker, now_ms=_now_ms()))
                return
            await asyncio.sleep(_POLL_SECONDS)
            for quote in await self.quotes([symbol]):
                queue.put(symbol, quote)

        async with self._following([partial(hear, symbol) for symbol in symbols], queue.sign):
            while True:
                yield await queue.get()

    async def watch_trades(self, symbols: Sequence[str]) -> AsyncIterator[PublicTrade | Unreadable | StreamGap | StreamOpen]:
        """Follow everybody's trades in these symbols."""
        queue: EventQueue[PublicTrade | Unreadable] = EventQueue()

        async def hear(symbol: str) -> None:
            for row in await self._client.watch_trades(symbol):
                queue.put(reading.trade(symbol, row))

        seen: set[tuple[str, str]] = set()
        async with self._following([partial(hear, symbol) for symbol in symbols], queue.put):
            while True:
                event = await queue.get()
                if isinstance(event, PublicTrade):
                    if (event.symbol, event.trade_id) in seen:
                        continue
                    seen = {(event.symbol, event.trade_id), *seen} if len(seen) < _PAGE * len(symbols) * 4 else set()
                yield event

    async def watch_book(self, symbol: str, *, levels: int) -> AsyncIterator[BookUpdate | StreamGap | StreamOpen]:
        """Follow the top of an order book; ccxt keeps it whole."""
        queue: LatestQueue[BookUpdate] = LatestQueue()

        async def hear() -> None:
            queue.put(symbol, reading.book(symbol, await self._client.watch_order_book(symbol), levels=levels))

        async with self._following([hear], queue.sign):
            while True:
                yield await queue.get()

    async def reopen_streams(self, reason: str) -> None:
        """Give every stream up; each shows as a gap and is opened anew."""
        for client in list(self._client.clients.values()):
            client.on_error(ccxt.NetworkError(reason))

    async def close(self) -> None:
        """Let go of every connection."""
        await self._client.close()

    async def _load(self) -> None:
        async with self._loaded:
            if not self._client.markets:
                await self._ask(self._client.load_markets)

    async def _ask(self, call: Callable[..., Awaitable[Any]], *words: Any) -> Any:
        # ccxt knows how much time each exchange wants between two requests; all processes share that.
        a_minute = max(1, int(60_000 / max(1.0, float(self._client.rateLimit))))
        await quota.admit(self._host, "requests", 1, limit=a_minute, seconds=60)
        self._status = 0
        try:
            async with asyncio.timeout(ANSWER_SECONDS + 1):
                return await call(*words)
        except ccxt.BaseError as error:
            raise ExchangeTrouble(reading.outcome_of(error, self._status), f"{self._name}: {error}"[:300]) from error
        except TimeoutError as error:
            raise ExchangeTrouble(Outcome.UNAVAILABLE, f"{self._name} did not answer in time") from error

    def _note_status(self, code: int, *rest: Any) -> Any:
        self._status = code
        return self._read_errors(code, *rest)

    @contextlib.asynccontextmanager
    async def _following(self, works: Sequence[Callable[[], Awaitable[None]]], sign: Sign) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(self._keep(work, sign, is_first=not number)) for number, work in enumerate(works)]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _keep(self, work: Callable[[], Awaitable[None]], sign: Sign, *, is_first: bool) -> None:
        """Hear one thing after another; the first of several streams speaks for all about gaps."""
        is_open, pause = False, RETRY_SECONDS
        while True:
            try:
                await self._load()
                await work()
                if not is_open and is_first:
                    sign(StreamOpen())
                is_open, pause = True, RETRY_SECONDS
            except _TROUBLES as error:
                if is_open and is_first:
                    sign(StreamGap(str(error)[:200]))
                is_open = False
                await asyncio.sleep(jittered(pause))
                pause = min(2 * pause, RETRY_SECONDS_MAX)


def _top(symbol: str, raw: Any) -> QuoteUpdate | None:
    try:
        top = reading.book(symbol, raw, levels=1)
        return QuoteUpdate(symbol, top.bids[0][0], top.asks[0][0], _now_ms())
    except (ExchangeTrouble, IndexError):
        return None


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
