"""A market without a network: bars on a virtual clock, told by a stream that lies, and the truth when asked."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from types import SimpleNamespace
from typing import Any, cast

from exchange.errors import ExchangeTrouble, Outcome
from exchange.ports import (
    CandleEvent,
    ClosedCandle,
    Listing,
    QuoteEvent,
    QuoteUpdate,
    StreamGap,
    StreamOpen,
    Unreadable,
)
from marketdata import jobs
from marketdata.candles import ClosedCandle as StoredCandle
from marketdata.candles import sift
from marketdata.feed.prices import Mark, Trouble
from marketdata.models import Subscription

MINUTE = 60_000
BEGIN = 1_709_251_200_000
SYMBOLS = ("BTC/USDT", "ETH/USDT")


@dataclass
class Lies:
    """How often the stream does what to a closed candle; the rest is told as it is."""

    drops: float = 0.0
    repeats: float = 0.0
    delays: float = 0.0
    revises: float = 0.0
    garbles: float = 0.0
    cuts: float = 0.0
    refuses: float = 0.0
    # Told once, wrongly, and believably.
    warps: float = 0.0
    silent: bool = False


@dataclass
class Street:
    """The exchange: one bar of every symbol each second."""

    lies: Lies
    seed: int
    bars: int
    history: int = 5

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.truth: dict[str, dict[int, ClosedCandle]] = {name: {} for name in SYMBOLS}
        self.now = BEGIN
        for _ in range(self.history):
            self._close_bar()
        self.listeners: list[asyncio.Queue[CandleEvent]] = []
        self.quotes_told: list[asyncio.Queue[QuoteEvent]] = []
        self.closed = asyncio.Event()
        self.reopened: list[str] = []

    async def run(self) -> None:
        """Let the market pass."""
        for _ in range(self.bars):
            await asyncio.sleep(1)
            self._close_bar()
            for name in SYMBOLS:
                self._tell(self.truth[name][self.now - MINUTE])
            if self.random.random() < self.lies.cuts:
                for listener in self.listeners:
                    listener.put_nowait(StreamGap("cut"))
            for queues in () if self.lies.silent else (self.quotes_told,):
                for name in SYMBOLS:
                    quoted = self.quote(name)
                    for queue in queues:
                        queue.put_nowait(quoted)
            self.closed.set()
            self.closed.clear()

    def quote(self, name: str) -> QuoteUpdate:
        """Return the best bid and ask of now."""
        close = Decimal(repr(self.truth[name][self.now - MINUTE].close))
        return QuoteUpdate(name, close - 1, close + 1, self.now)

    def _close_bar(self) -> None:
        for name in SYMBOLS:
            close = 100.0 + self.random.randrange(-500, 500) / 100
            low, high = min(100.0, close) - 1, max(100.0, close) + 1
            self.truth[name][self.now] = ClosedCandle(name, "1m", self.now, 100.0, high, low, close, 3.0)
        self.now += MINUTE

    def _tell(self, candle: ClosedCandle) -> None:
        lies, dice = self.lies, self.random
        if lies.silent or dice.random() < lies.drops:
            return
        told: list[CandleEvent] = [candle]
        if dice.random() < lies.repeats:
            told.append(candle)
        if dice.random() < lies.revises:
            told.append(replace(candle, close=candle.close + 0.5, high=candle.high + 1))
        if dice.random() < lies.garbles:
            garbled: list[CandleEvent] = [
                Unreadable(candle.symbol, "?"),
                replace(candle, high=float("nan")),
                replace(candle, low=-1.0),
            ]
            told = [dice.choice(garbled)]
        if dice.random() < lies.warps:
            told = [replace(candle, close=candle.close * 1.001, high=candle.high + 1)]
        later = dice.randrange(1, 4) if dice.random() < lies.delays else 0
        loop = asyncio.get_running_loop()
        for queue in self.listeners:
            for event in told:
                loop.call_later(later + 0.01, queue.put_nowait, event)


class StreetPort:
    """A MarketPort on the street."""

    def __init__(self, street: Street) -> None:
        self.street = street

    async def instruments(self) -> list[Listing]:
        return []

    async def candles(self, symbol: str, interval: str, since_ms: int, limit: int) -> list[ClosedCandle]:
        await asyncio.sleep(0.02)
        if self.street.random.random() < self.street.lies.refuses:
            raise ExchangeTrouble(Outcome.UNAVAILABLE, "busy")
        rows = self.street.truth[symbol]
        return [rows[at] for at in sorted(rows) if at >= since_ms][:limit]

    async def quotes(self, symbols: Sequence[str]) -> list[QuoteUpdate]:
        await asyncio.sleep(0.02)
        return [self.street.quote(name) for name in symbols]

    async def watch_closed_candles(self, wanted: Sequence[tuple[str, str]]) -> AsyncIterator[CandleEvent]:
        queue: asyncio.Queue[CandleEvent] = asyncio.Queue()
        self.street.listeners.append(queue)
        yield StreamOpen()
        while True:
            event = await queue.get()
            yield event
            if isinstance(event, StreamGap):
                yield StreamOpen()

    async def watch_quotes(self, symbols: Sequence[str]) -> AsyncIterator[QuoteEvent]:
        queue: asyncio.Queue[QuoteEvent] = asyncio.Queue()
        self.street.quotes_told.append(queue)
        yield StreamOpen()
        while True:
            yield await queue.get()

    async def reopen_streams(self, reason: str) -> None:
        self.street.reopened.append(reason)


class StreetClock:
    """A MarketClock on the street."""

    def __init__(self, street: Street) -> None:
        self.street = street

    async def closed_through(self) -> int:
        return self.street.now

    async def next_close(self, after: int) -> int | None:
        while self.street.now <= after:
            await self.street.closed.wait()
        return self.street.now


@dataclass
class Memory:
    """A Store in memory, and a strategy that reads it whenever it is rung."""

    candles: dict[tuple[int, int], StoredCandle] = field(default_factory=dict)
    rings: list[int] = field(default_factory=list)
    # How many candles each transaction has stored.
    batches: list[int] = field(default_factory=list)
    stepped: dict[int, list[StoredCandle]] = field(default_factory=lambda: {1: [], 2: []})
    newest: dict[int, Mark] = field(default_factory=dict)
    troubles: list[tuple[float, dict[int, str]]] = field(default_factory=list)

    async def subscriptions(self) -> list[Subscription]:
        return [
            cast(
                "Subscription",
                SimpleNamespace(
                    pk=number,
                    instrument_id=number,
                    instrument=SimpleNamespace(symbol=name),
                    interval="1m",
                    history_bars=5,
                    synced_from_at=None,
                    synced_through_at=None,
                ),
            )
            for number, name in enumerate(SYMBOLS, start=1)
        ]

    async def record(self, candles: list[StoredCandle], synced: list[jobs.Synced], market_now: int) -> jobs.Recorded:
        await asyncio.sleep(0.001)
        self.batches.append(len(candles))
        believed, refused = sift(candles, {}, market_now)
        known = [self.candles.get((candle.instrument_id, candle.open_time)) for candle in believed]
        revised = tuple(candle for candle, stored in zip(believed, known, strict=True) if stored not in (None, candle))
        self.candles |= {(candle.instrument_id, candle.open_time): candle for candle in believed}
        return jobs.Recorded(new=known.count(None), revised=revised, refused=tuple(refused))

    async def ring(self, market_ms: int) -> None:
        self.rings.append(market_ms)
        for number, seen in self.stepped.items():
            newest = seen[-1].open_time if seen else 0
            opens = sorted(at for instrument, at in self.candles if instrument == number and newest < at < market_ms)
            seen += [self.candles[number, at] for at in opens]

    async def marks(self, marks: Sequence[tuple[int, Mark]]) -> None:
        self.newest |= dict(marks)

    async def health(self, troubles: Mapping[int, Trouble | None], silences: Mapping[int, float], steady_now: float) -> None:
        standing = {number: str(trouble.doubt) for number, trouble in troubles.items() if trouble}
        self.troubles.append((asyncio.get_running_loop().time(), standing))

    async def beat(self, facts: Mapping[str, Any]) -> None:
        self.facts = dict(facts)
