"""Read the public market of a real exchange, and tell the local venue: history first, then what happens."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final

import structlog

from exchange.errors import ExchangeTrouble
from exchange.ports import ClosedCandle, MarketPort, PublicTrade, QuoteUpdate, StreamGap, StreamOpen
from exchange.telling import MirrorState, NobodyListens, VenueMirror
from marketdata.feed.market_clock import SETTLE_MS
from marketdata.feed.prices import Doubt
from marketdata.mirror.state import Telling
from trading.bars import MINUTE_MS, interval_milliseconds

log = structlog.get_logger(__name__)

TELL_SECONDS: Final = 0.2
# Whoever says nothing for longer is taken for gone.
ALIVE_SECONDS: Final = 1.0
ASK_SECONDS: Final = 0.25
REOPEN_SECONDS: Final = 15.0
BACKOFF_SECONDS: Final = (0.5, 1.0, 2.0, 5.0)
PAGE: Final = 1000
DAY_MS: Final = 1440 * MINUTE_MS
AT_ONCE: Final = 4
# How far back candles of each interval are fetched, in days before the day that has begun.
HISTORY: Final = (("1m", 1), ("5m", 5), ("1h", 30), ("1d", 400))
# A minute of which the exchange knows no candle so long after its end had none.
EMPTY_MS: Final = 10_000


class Mirror:
    """Tells one venue about one market. It keeps nothing: a new one begins with the history again."""

    def __init__(self, *, port: MarketPort, venue: VenueMirror) -> None:
        self._port = port
        self._venue = venue
        self._at_once = asyncio.Semaphore(AT_ONCE)
        self._reopened_at = -REOPEN_SECONDS

    async def run(self) -> None:
        """Tell until cancelled, whatever happens to the exchange or to the venue."""
        attempt = 0
        while True:
            began = _steady()
            try:
                await self._tell_all()
            except* (NobodyListens, ExchangeTrouble) as group:
                if _steady() - began > 60:
                    attempt = 0
                wait = BACKOFF_SECONDS[min(attempt, len(BACKOFF_SECONDS) - 1)]
                log.warning("mirror.begins_anew", why=str(_first(group))[:300], retry_in=wait)
                attempt += 1
                await asyncio.sleep(wait)

    async def _tell_all(self) -> None:
        state = await self._venue.begin()
        quotes = await self._port.quotes(list(state.symbols))
        if not quotes:
            raise NobodyListens("the exchange answers no quotes")
        market_now = max(quote.market_ms for quote in quotes)
        minute = max(state.minute, market_now // MINUTE_MS * MINUTE_MS)
        async with asyncio.TaskGroup() as group:
            for name, symbol in state.symbols.items():
                group.create_task(self._tell_history(name, symbol, minute))
        await self._venue.open(minute)
        log.info("mirror.open", symbols=len(state.symbols), minute=minute)
        telling = Telling(state.symbols, market_now=market_now, now=_steady())
        closing = _Closing(self, state, minute)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow_quotes(telling))
            group.create_task(self._follow_trades(telling))
            group.create_task(self._ask(telling))
            group.create_task(self._tell(telling, closing))
            group.create_task(closing.run(telling))

    async def _tell_history(self, name: str, symbol: str, end: int) -> None:
        anew = True
        for interval, days in HISTORY:
            length = interval_milliseconds(interval)
            begin = end // DAY_MS * DAY_MS - days * DAY_MS
            while begin < end:
                page = await self.candles(name, interval, begin, min(PAGE, (end - begin) // length + 1))
                rows = [_row(bar) for bar in page if begin <= bar.open_ms <= end - length]
                if not rows:
                    break
                await self._venue.learn(symbol, interval, rows, anew=anew)
                anew = False
                begin = int(rows[-1][0]) + length

    async def candles(self, name: str, interval: str, begin: int, limit: int) -> list[ClosedCandle]:
        """Ask for closed candles, a few symbols at a time."""
        async with self._at_once:
            return await self._port.candles(name, interval, begin, limit)

    async def _follow_quotes(self, telling: Telling) -> None:
        async for event in self._port.watch_quotes(list(telling.names)):
            if isinstance(event, QuoteUpdate):
                telling.hear_quote(event, now=_steady())
            elif isinstance(event, StreamGap):
                log.warning("mirror.stream_gap", stream="quotes", reason=event.reason)
                telling.cut("quotes", event.reason)
            elif isinstance(event, StreamOpen):
                telling.opened("quotes")
                await self._refresh(telling)
            else:
                telling.watch.hear_nonsense(event.symbol, event.reason, now=_steady())

    async def _follow_trades(self, telling: Telling) -> None:
        async for event in self._port.watch_trades(list(telling.names)):
            if isinstance(event, PublicTrade):
                telling.hear_trade(event)
            elif isinstance(event, StreamGap):
                log.warning("mirror.stream_gap", stream="trades", reason=event.reason)
                telling.cut("trades", event.reason)
            elif isinstance(event, StreamOpen):
                telling.opened("trades")
                await self._refresh(telling)

    async def _refresh(self, telling: Telling) -> None:
        """Ask where prices are after a stream has come back: it tells of changes only."""
        quotes = await self._quotes(list(telling.names))
        for quote in quotes:
            telling.hear_quote(quote, now=_steady())

    async def _ask(self, telling: Telling) -> None:
        """Ask about every price that is in doubt, and open streams anew that do not tell."""
        while True:
            await asyncio.sleep(ASK_SECONDS)
            asked_at = _steady()
            if symbols := telling.watch.to_ask(now=asked_at):
                telling.hear_answers(symbols, await self._quotes(symbols), asked_at=asked_at, now=_steady())
            is_silent = any(trouble.doubt == Doubt.SILENT for trouble in telling.watch.troubles(now=_steady()).values())
            if is_silent and _steady() - self._reopened_at > REOPEN_SECONDS:
                self._reopened_at = _steady()
                await self._port.reopen_streams("the stream is silent")

    async def _quotes(self, symbols: Sequence[str]) -> list[QuoteUpdate]:
        try:
            return await self._port.quotes(symbols)
        except ExchangeTrouble as trouble:
            log.warning("mirror.quotes_not_answered", trouble=str(trouble))
            return []

    async def _tell(self, telling: Telling, closing: _Closing) -> None:
        told_at, dark = _steady(), dict(telling.dark)
        while True:
            await asyncio.sleep(TELL_SECONDS)
            events = [*closing.take(), *telling.due(now=_steady())]
            if telling.dark != dark:
                dark = dict(telling.dark)
                log.info("mirror.in_doubt", symbols=dark)
            if events or _steady() - told_at > ALIVE_SECONDS:
                await self._venue.tell(events)
                told_at = _steady()


class _Closing:
    """Closes one minute after the other with the candles that the exchange answers."""

    def __init__(self, mirror: Mirror, state: MirrorState, minute: int) -> None:
        self._mirror = mirror
        self._names = state.symbols
        self._minute = minute
        self._bars: dict[str, dict[int, ClosedCandle]] = {name: {} for name in self._names}
        # Up to where everything is known of a symbol.
        self._through = dict.fromkeys(self._names, minute)
        self._events: list[list[Any]] = []

    def take(self) -> list[list[Any]]:
        """Return the minutes that have closed since the last time."""
        events, self._events = self._events, []
        return events

    async def run(self, telling: Telling) -> None:
        """Close minutes until cancelled."""
        while True:
            await asyncio.sleep(ASK_SECONDS)
            if telling.market_now < self._minute + MINUTE_MS + SETTLE_MS:
                continue
            missing = [name for name, through in self._through.items() if through <= self._minute]
            await asyncio.gather(*(self._fetch(name, telling.market_now) for name in missing))
            while all(through > self._minute for through in self._through.values()):
                self._close()

    async def _fetch(self, name: str, market_now: int) -> None:
        begin = self._minute
        count = min(PAGE, (market_now - begin) // MINUTE_MS)
        try:
            page = await self._mirror.candles(name, "1m", begin, count)
        except ExchangeTrouble as trouble:
            log.warning("mirror.candles_not_answered", symbol=name, trouble=str(trouble))
            return
        # Behind a gap the page may reach into the minute that is not over.
        found = [bar for bar in page if begin <= bar.open_ms <= market_now - MINUTE_MS]
        for bar in found:
            self._bars[name][bar.open_ms] = bar
        newest = max((bar.open_ms + MINUTE_MS for bar in found), default=0)
        if not newest and market_now > begin + MINUTE_MS + EMPTY_MS:
            # It was asked, and knows of no trade in that minute.
            newest = begin + MINUTE_MS
        self._through[name] = max(self._through[name], newest)

    def _close(self) -> None:
        bars = {name: kept.pop(self._minute, None) for name, kept in self._bars.items()}
        told = {self._names[name]: _row(bar)[1:] for name, bar in bars.items() if bar is not None}
        self._events.append(["close", self._minute, told])
        self._minute += MINUTE_MS


def _row(bar: ClosedCandle) -> list[float]:
    return [bar.open_ms, bar.open, bar.high, bar.low, bar.close, bar.volume]


def _first(error: BaseException) -> BaseException:
    return _first(error.exceptions[0]) if isinstance(error, BaseExceptionGroup) else error


def _steady() -> float:
    return asyncio.get_running_loop().time()
