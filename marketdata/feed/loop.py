"""Keep candles and marks of one market coming: history by REST, then streams, and REST again wherever a stream is late."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Sequence
from itertools import groupby
from typing import Any, Final, TypeVar, cast

import structlog

from exchange.errors import ExchangeTrouble
from exchange.pacing import VenueUnreachable
from exchange.ports import ClosedCandle as StreamedCandle
from exchange.ports import MarketPort, StreamGap, StreamOpen, Unreadable
from exchange.streams import EventQueue
from marketdata import jobs
from marketdata.candles import ClosedCandle, moment
from marketdata.feed.market_clock import MarketClock
from marketdata.feed.prices import Limits
from marketdata.feed.progress import Progress, Stretch, Track
from marketdata.feed.store import Store
from marketdata.feed.watch import QuoteWatch
from marketdata.models import Market

log = structlog.get_logger(__name__)

PAGE: Final = 1000
# A stream may be so much later than the market before REST is asked.
GRACE_SECONDS: Final = 0.05
LOOK_SECONDS: Final = 2.0
# A transaction for each of many candles takes longer.
_BURST_SECONDS: Final = 0.003
BACKOFF_SECONDS: Final = (0.2, 0.5, 1.0, 2.0, 5.0)

Answer = TypeVar("Answer")


class Feed:
    """The feed of one market. Everything it knows is in the database: a new one goes on where this one ended."""

    def __init__(
        self, *, market: Market, port: MarketPort, market_clock: MarketClock, store: Store, limits: Limits | None = None
    ) -> None:
        self._market = market
        self._port = port
        self._market_clock = market_clock
        self._store = store
        self._progress = Progress()
        self._ids: dict[str, int] = {}
        self._rung = 0
        # The market's time as last seen; nothing may tell of a day after it.
        self._market_now = 0
        self._facts: dict[str, Any] = {"candles": 0, "asked": 0, "gaps": 0, "unreadable": 0, "revised": 0, "disputed": 0}
        self._facts["bar_ms"] = None
        self._catching_up = asyncio.Lock()
        self._streams: list[asyncio.Task[None]] = []
        # The newest close that was heard of, and when that was: what a bar takes until it may be acted on.
        self._newest_close = 0
        self._closed_at = 0.0
        self._quotes = QuoteWatch(port=port, store=store, market_now=lambda: self._market_now, ids=self._ids, limits=limits)

    async def run(self) -> None:
        """Feed until cancelled; an unreachable database ends it, and the supervisor starts a new one."""
        await self._look_for_subscriptions()
        await self._catch_up(await self._closed_through())
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow_market_time())
            group.create_task(self._quotes.flush())
            group.create_task(self._quotes.ask())
            group.create_task(self._keep_looking())
            group.create_task(self._keep_streaming(group))

    async def _keep_streaming(self, group: asyncio.TaskGroup) -> None:
        """Stream what is subscribed; when that changes, stream anew."""
        while True:
            pairs = self._progress.pairs()
            self._streams = [
                group.create_task(self._stream_candles(pairs) if pairs else asyncio.sleep(LOOK_SECONDS)),
                group.create_task(self._quotes.stream() if pairs else asyncio.sleep(LOOK_SECONDS)),
            ]
            await asyncio.wait(self._streams)

    async def _stream_candles(self, pairs: list[tuple[str, str]]) -> None:
        heard: EventQueue[StreamedCandle | Unreadable] = EventQueue()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._listen(pairs, heard))
            while True:
                # Candles of many markets close in one moment: what comes with the first one is stored with it.
                for is_candle, run in groupby(
                    await heard.take(linger=_BURST_SECONDS), key=lambda event: isinstance(event, StreamedCandle)
                ):
                    if is_candle:
                        await self._take_in(cast("list[StreamedCandle]", list(run)))
                    else:
                        await self._heed(cast("Iterable[Unreadable | StreamGap | StreamOpen]", run))

    async def _listen(self, pairs: list[tuple[str, str]], heard: EventQueue[StreamedCandle | Unreadable]) -> None:
        async for event in self._port.watch_closed_candles(pairs):
            heard.put(event)

    async def _heed(self, signs: Iterable[Unreadable | StreamGap | StreamOpen]) -> None:
        for sign in signs:
            if isinstance(sign, StreamOpen):
                await self._catch_up(await self._closed_through())
            elif isinstance(sign, Unreadable):
                self._facts["unreadable"] += 1
                self._quotes.doubt(sign.symbol, sign.reason)
                log.warning("feed.unreadable", market=self._market.pk, symbol=sign.symbol, reason=sign.reason)
            else:
                self._note_gap(sign)

    async def _take_in(self, events: Iterable[StreamedCandle]) -> None:
        """Store candles in the order they came; only the next one of each subscription can be judged."""
        waiting = [candle for event in events if (candle := self._candle(event)) is not None]
        while waiting:
            batch: dict[tuple[int, str], ClosedCandle] = {}
            later = [candle for candle in waiting if batch.setdefault(candle[:2], candle) is not candle]
            # Of a candle that was told as nonsense once, only an answer is believed.
            trusted = [candle for candle in batch.values() if not self._progress.is_distrusted(candle)]
            if trusted:
                await self._take_in_batch(trusted)
            waiting = later

    async def _take_in_batch(self, candles: Sequence[ClosedCandle]) -> None:
        """Store one candle of each of several subscriptions."""
        # One at a time with the catching up: a stretch is complete before the candle after it is judged.
        async with self._catching_up:
            recorded = await self._record_streamed(candles)
        self._facts["candles"] += len(candles)
        for candle in recorded.revised:
            # The stream contradicts itself: what the exchange answers when asked stands (M03).
            await self._settle(candle)
        if any(self._progress.is_ahead(candle) for candle in candles):
            # Something before it is missing: it is fetched before anybody sees this one (M02).
            await self._catch_up(await self._closed_through())
        for close in sorted({candle.close_time for candle in candles}):
            await self._ring_if_complete(close)

    async def _record_streamed(self, candles: Sequence[ClosedCandle]) -> jobs.Recorded:
        tracks = [(candle, self._progress.completed_by(candle)) for candle in candles]
        synced = [jobs.Synced(track.subscription_id, moment(candle.close_time)) for candle, track in tracks if track]
        recorded = await self._store.record(list(candles), synced, self._market_now)
        if recorded.refused:
            for candle, reason in recorded.refused:
                self._progress.distrust(candle)
                if (followed := self._progress.track_of(candle)) is not None:
                    self._quotes.doubt(followed.symbol, reason)
            # With nonsense among them none is noted as complete: the others are told again without it.
            believed = [candle for candle in candles if not self._progress.is_distrusted(candle)]
            if believed:
                await self._record_streamed(believed)
            return recorded
        for candle, track in tracks:
            self._note_close(candle.close_time)
            if track:
                self._progress.note(track.subscription_id, through=candle.close_time)
        return recorded

    async def _settle(self, candle: ClosedCandle) -> None:
        self._facts["revised"] += 1
        track = self._progress.track_of(candle)
        if track is not None:
            asked = await self._patiently(lambda: self._port.candles(track.symbol, track.interval, candle.open_time, 1))
            settled = [found for event in asked if (found := self._candle(event)) and found.open_time == candle.open_time]
            await self._store.record(settled, [], self._market_now)

    async def _follow_market_time(self) -> None:
        """Ask by hand for what a stream has not brought a moment after the market's time moved on."""
        seen = await self._closed_through()
        while True:
            closed = await self._patiently(lambda: self._market_clock.next_close(seen))  # noqa: B023 - awaited at once.
            if closed is None:
                # Nothing closes for a while, or nobody tells: then asking must do.
                closed = await self._closed_through()
            seen = closed
            self._market_now = max(self._market_now, closed)
            self._note_close(closed)
            if not self._progress.is_complete(closed):
                await asyncio.sleep(GRACE_SECONDS)
            await self._catch_up(closed)
            await self._audit()

    async def _audit(self) -> None:
        """Hold what the streams told against what the exchange answers, an hour of five-minute bars at a time (M13)."""
        for track in list(self._progress.tracks.values()):
            if not track.is_due_for_audit:
                continue
            end = track.synced_through
            assert end is not None
            revised = 0
            async for page in self._pages(track, track.audit_begin, end):
                revised += len((await self._store.record(page, [], self._market_now)).revised)
            track.audited_through = end
            if revised:
                self._facts["disputed"] += revised
                self._quotes.doubt(track.symbol, f"{revised} candles were told otherwise than they are answered")

    async def _catch_up(self, market_time: int) -> None:
        """Ask for everything that is missing up to a market time, and tell that it is there."""
        async with self._catching_up:
            for stretch in self._progress.missing(market_time):
                await self._fetch(stretch)
        await self._ring_if_complete(market_time)

    async def _fetch(self, stretch: Stretch) -> None:
        """Ask for the candles of one stretch, page by page, and note it as complete when all of them are stored."""
        track = self._progress.tracks[stretch.subscription_id]
        async for page in self._pages(track, stretch.begin, stretch.end):
            self._facts["asked"] += 1
            await self._store.record(page, [], self._market_now)
        is_history = track.synced_through is None or stretch.begin < track.synced_through
        through = max(stretch.end, track.synced_through or 0)
        synced = jobs.Synced(stretch.subscription_id, moment(through), moment(stretch.begin) if is_history else None)
        await self._store.record([], [synced], self._market_now)
        self._progress.note(stretch.subscription_id, through=through, begin=stretch.begin if is_history else None)

    async def _pages(self, track: Track, begin: int, end: int) -> AsyncIterator[list[ClosedCandle]]:
        """Answer what the exchange says of the candles between two moments, page by page."""
        while begin < end:
            limit = min(PAGE, (end - begin) // track.length)
            page = await self._patiently(lambda: self._port.candles(track.symbol, track.interval, begin, limit))  # noqa: B023
            inside = [found for event in page if (found := self._candle(event)) and begin <= found.open_time < end]
            if not inside:
                break
            yield inside
            begin = max(candle.open_time for candle in inside) + track.length

    async def _ring_if_complete(self, market_time: int) -> None:
        """Tell the floors above once for each candle's close, when all candles that closed then are there."""
        if market_time <= self._rung or not self._progress.is_complete(market_time):
            return
        self._rung = market_time
        await self._store.ring(market_time)
        if self._newest_close == market_time:
            self._facts["bar_ms"] = round((asyncio.get_running_loop().time() - self._closed_at) * 1000)

    async def _keep_looking(self) -> None:
        """See new subscriptions, and say that the feed is alive."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            if await self._look_for_subscriptions():
                await self._catch_up(await self._closed_through())
                for stream in self._streams:
                    stream.cancel()
            await self._store.beat(
                {
                    **self._facts,
                    "through": self._rung,
                    "audited_through": self._progress.audited_through(),
                    **self._quotes.facts(),
                }
            )

    async def _look_for_subscriptions(self) -> bool:
        rows = await self._store.subscriptions()
        self._ids.clear()
        self._ids |= {row.instrument.symbol: row.instrument_id for row in rows}
        return self._progress.follow(rows)

    async def _closed_through(self) -> int:
        closed = await self._patiently(self._market_clock.closed_through)
        self._market_now = max(self._market_now, closed)
        return closed

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

    def _note_close(self, close: int) -> None:
        if close > self._newest_close:
            self._newest_close, self._closed_at = close, asyncio.get_running_loop().time()

    def _note_gap(self, event: StreamGap) -> None:
        self._facts["gaps"] += 1
        log.warning("feed.stream_gap", market=self._market.pk, stream="candles", reason=event.reason)

    def _candle(self, event: StreamedCandle) -> ClosedCandle | None:
        instrument_id = self._ids.get(event.symbol)
        if instrument_id is None:
            return None
        return ClosedCandle(
            instrument_id, event.interval, event.open_ms, event.open, event.high, event.low, event.close, event.volume
        )
