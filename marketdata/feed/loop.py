"""Keep candles and marks of one market coming: history by REST, then streams, and REST again wherever a stream is late."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, TypeVar

import structlog

from exchange.errors import ExchangeTrouble
from exchange.pacing import VenueUnreachable
from exchange.ports import ClosedCandle as StreamedCandle
from exchange.ports import MarketPort, MarkUpdate, StreamGap, StreamOpen
from marketdata import doorbells, jobs, selectors
from marketdata.candles import ClosedCandle, moment
from marketdata.feed.market_clock import MarketClock
from marketdata.feed.progress import Progress, Stretch
from marketdata.models import Market

log = structlog.get_logger(__name__)

PAGE: Final = 1000
# A stream may be so much later than the market before REST is asked.
GRACE_SECONDS: Final = 0.05
MARKS_SECONDS: Final = 0.25
LOOK_SECONDS: Final = 2.0
BACKOFF_SECONDS: Final = (0.2, 0.5, 1.0, 2.0, 5.0)

Answer = TypeVar("Answer")


class Feed:
    """The feed of one market. Everything it knows is in the database: a new one goes on where this one ended."""

    def __init__(
        self,
        *,
        market: Market,
        port: MarketPort,
        market_clock: MarketClock,
        clock: Callable[[], datetime],
        database: ThreadPoolExecutor,
    ) -> None:
        self._market = market
        self._port = port
        self._market_clock = market_clock
        self._clock = clock
        self._database = database
        self._progress = Progress()
        self._ids: dict[str, int] = {}
        self._marks: dict[str, MarkUpdate] = {}
        self._rung = 0
        self._facts: dict[str, Any] = {"candles": 0, "asked": 0, "gaps": 0}
        self._catching_up = asyncio.Lock()
        self._streams: list[asyncio.Task[None]] = []

    async def run(self) -> None:
        """Feed until cancelled; an unreachable database ends it, and the supervisor starts a new one."""
        await self._look_for_subscriptions()
        await self._catch_up(await self._patiently(self._market_clock.closed_through))
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow_market_time())
            group.create_task(self._flush_marks())
            group.create_task(self._keep_looking())
            group.create_task(self._keep_streaming(group))

    async def _keep_streaming(self, group: asyncio.TaskGroup) -> None:
        """Stream what is subscribed; when that changes, stream anew."""
        while True:
            pairs, symbols = self._progress.pairs(), sorted(self._ids)
            self._streams = [
                group.create_task(self._stream_candles(pairs)),
                group.create_task(self._stream_marks(symbols)),
            ]
            await asyncio.wait(self._streams)

    async def _stream_candles(self, pairs: list[tuple[str, str]]) -> None:
        if not pairs:
            await asyncio.sleep(LOOK_SECONDS)
            return
        async for event in self._port.watch_closed_candles(pairs):
            if isinstance(event, StreamedCandle):
                await self._take_in(event)
            elif isinstance(event, StreamOpen):
                await self._catch_up(await self._patiently(self._market_clock.closed_through))
            else:
                self._note_gap("candles", event)

    async def _stream_marks(self, symbols: list[str]) -> None:
        if not symbols:
            await asyncio.sleep(LOOK_SECONDS)
            return
        async for event in self._port.watch_marks(symbols):
            if isinstance(event, MarkUpdate):
                # Only the newest counts, however fast they come.
                self._marks[event.symbol] = event
            elif isinstance(event, StreamGap):
                self._note_gap("marks", event)

    async def _take_in(self, event: StreamedCandle) -> None:
        candle = self._candle(event)
        if candle is None:
            return
        # One at a time with the catching up: a stretch is complete before the candle after it is judged.
        async with self._catching_up:
            track = self._progress.completed_by(candle)
            synced = [jobs.Synced(track.subscription_id, moment(candle.close_time))] if track else []
            recorded = await self._in_database(self._record, [candle], synced)
            if track and not recorded.refused:
                self._progress.note(track.subscription_id, through=candle.close_time)
        self._facts["candles"] += 1
        await self._ring_if_complete(candle.close_time)

    async def _follow_market_time(self) -> None:
        """Ask by hand for what a stream has not brought a moment after the market's time moved on."""
        seen = await self._patiently(self._market_clock.closed_through)
        while True:
            closed = await self._patiently(lambda: self._market_clock.next_close(seen))  # noqa: B023 - awaited at once.
            if closed is None:
                continue
            seen = closed
            if not self._progress.is_complete(closed):
                await asyncio.sleep(GRACE_SECONDS)
            await self._catch_up(closed)

    async def _catch_up(self, market_time: int) -> None:
        """Ask for everything that is missing up to a market time, and tell that it is there."""
        async with self._catching_up:
            for stretch in self._progress.missing(market_time):
                await self._patiently(lambda: self._fetch(stretch))  # noqa: B023 - awaited at once.
        await self._ring_if_complete(market_time)

    async def _fetch(self, stretch: Stretch) -> None:
        """Ask for the candles of one stretch, page by page, and note it as complete when all of them are stored."""
        track = self._progress.tracks[stretch.subscription_id]
        begin = stretch.begin
        while begin < stretch.end:
            limit = min(PAGE, (stretch.end - begin) // track.length)
            page = await self._port.candles(track.symbol, track.interval, begin, limit)
            self._facts["asked"] += 1
            inside = [found for event in page if (found := self._candle(event)) and begin <= found.open_time < stretch.end]
            if not inside:
                break
            await self._in_database(self._record, inside, [])
            begin = max(candle.open_time for candle in inside) + track.length
        is_history = track.synced_through is None or stretch.begin < track.synced_through
        through = max(stretch.end, track.synced_through or 0)
        synced = jobs.Synced(stretch.subscription_id, moment(through), moment(stretch.begin) if is_history else None)
        await self._in_database(self._record, [], [synced])
        self._progress.note(stretch.subscription_id, through=through, begin=stretch.begin if is_history else None)

    async def _ring_if_complete(self, market_time: int) -> None:
        """Tell the floors above once for each candle's close, when all candles that closed then are there."""
        if market_time <= self._rung or not self._progress.is_complete(market_time):
            return
        self._rung = market_time
        await self._in_database(lambda: jobs.ring_bars(market_id=self._market.pk, market_at=moment(market_time)))

    async def _flush_marks(self) -> None:
        while True:
            await asyncio.sleep(MARKS_SECONDS)
            marks, self._marks = self._marks, {}
            if marks:
                await self._in_database(self._record_marks, list(marks.values()))

    async def _keep_looking(self) -> None:
        """See new subscriptions, and say that the feed is alive."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            if await self._look_for_subscriptions():
                await self._catch_up(await self._patiently(self._market_clock.closed_through))
                for stream in self._streams:
                    stream.cancel()
            await self._in_database(self._beat)

    async def _look_for_subscriptions(self) -> bool:
        rows = await self._in_database(lambda: list(selectors.subscriptions(self._market.pk)))
        self._ids = {row.instrument.symbol: row.instrument_id for row in rows}
        return self._progress.follow(rows)

    async def _patiently(self, ask: Callable[[], Coroutine[Any, Any, Answer]]) -> Answer:
        """Ask the exchange again and again, ever more slowly, until it answers."""
        attempt = 0
        while True:
            try:
                return await ask()
            except (ExchangeTrouble, VenueUnreachable) as trouble:
                wait = BACKOFF_SECONDS[min(attempt, len(BACKOFF_SECONDS) - 1)]
                log.warning("feed.exchange_trouble", market=self._market.pk, trouble=str(trouble), retry_in=wait)
                attempt += 1
                await asyncio.sleep(wait)

    async def _in_database(self, work: Callable[..., Answer], *words: Any) -> Answer:
        return await asyncio.get_running_loop().run_in_executor(self._database, lambda: work(*words))

    def _record(self, candles: list[ClosedCandle], synced: list[jobs.Synced]) -> jobs.Recorded:
        return jobs.record_bars(market_id=self._market.pk, candles=candles, synced=synced)

    def _record_marks(self, marks: list[MarkUpdate]) -> int:
        rows = [(self._ids[mark.symbol], Decimal(mark.price), moment(mark.market_ms)) for mark in marks]
        return jobs.record_marks(market_id=self._market.pk, marks=rows, now=self._clock())

    def _beat(self) -> None:
        for tell in doorbells.on_beat:
            tell(market_id=self._market.pk, facts={**self._facts, "through": self._rung})

    def _note_gap(self, stream: str, event: StreamGap) -> None:
        self._facts["gaps"] += 1
        log.warning("feed.stream_gap", market=self._market.pk, stream=stream, reason=event.reason)

    def _candle(self, event: StreamedCandle) -> ClosedCandle | None:
        instrument_id = self._ids.get(event.symbol)
        if instrument_id is None:
            return None
        return ClosedCandle(
            instrument_id, event.interval, event.open_ms, event.open, event.high, event.low, event.close, event.volume
        )
