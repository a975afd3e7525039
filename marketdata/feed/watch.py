"""Follow the quotes of one market: marks for what is believed, questions where the stream is in doubt, word of what is not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final

import structlog

from exchange.errors import ExchangeTrouble
from exchange.ports import MarketPort, QuoteUpdate, StreamGap, Unreadable
from marketdata.feed.prices import Doubt, Limits, Mark, PriceWatch, Trouble
from marketdata.feed.store import Store

log = structlog.get_logger(__name__)

FLUSH_SECONDS: Final = 0.25
# Health is written so often although nothing changed: whoever reads it also wants to know that somebody looks.
HEALTH_SECONDS: Final = 2.0
# A broken stream is opened anew, and then given this time to speak.
REOPEN_SECONDS: Final = 15.0


class QuoteWatch:
    """The part of a feed that keeps marks, and says when they cannot be trusted."""

    def __init__(
        self,
        *,
        port: MarketPort,
        store: Store,
        market_now: Callable[[], int],
        ids: Mapping[str, int],
        limits: Limits | None = None,
    ) -> None:
        self._port = port
        self._store = store
        self._market_now = market_now
        # The feed's own table of instruments, by symbol: it changes with the subscriptions.
        self._ids = ids
        self._watch = PriceWatch(limits)
        self._marks: dict[str, Mark] = {}
        self._told: dict[str, Trouble] = {}
        self._told_at = self._reopened_at = -1e9
        self._asked = self._gaps = 0

    async def stream(self) -> None:
        """Follow the quotes of every instrument until cancelled."""
        symbols = sorted(self._ids)
        self._watch.watch(symbols, now=_steady())
        async for event in self._port.watch_quotes(symbols):
            if isinstance(event, QuoteUpdate):
                self._keep(self._watch.hear(event, market_now=self._market_now(), now=_steady()))
            elif isinstance(event, Unreadable):
                log.warning("feed.unreadable", symbol=event.symbol, reason=event.reason)
                self._watch.hear_nonsense(event.symbol, event.reason, now=_steady())
            elif isinstance(event, StreamGap):
                self._gaps += 1
                log.warning("feed.stream_gap", stream="quotes", reason=event.reason)

    async def flush(self) -> None:
        """Write marks down a few times a second, and every change of what can be trusted."""
        while True:
            await asyncio.sleep(FLUSH_SECONDS)
            marks, self._marks = self._marks, {}
            known = [(self._ids[name], mark) for name, mark in marks.items() if name in self._ids]
            if known:
                await self._store.marks(known)
            await self._tell_health()

    async def ask(self) -> None:
        """Ask the exchange about every price that is in doubt."""
        while True:
            await asyncio.sleep(FLUSH_SECONDS)
            if symbols := [name for name in self._watch.to_ask(now=_steady()) if name in self._ids]:
                await self._ask_about(symbols)

    def doubt(self, symbol: str, reason: str) -> None:
        """Take in that another stream of the market told nonsense about a symbol."""
        self._watch.hear_nonsense(symbol, reason, now=_steady())

    def facts(self) -> dict[str, Any]:
        """Return what the feed's sign of life says about prices."""
        silences = self._watch.silences(now=_steady())
        refused = {str(doubt): count for doubt, count in self._watch.refused.items() if count}
        return {
            "quotes_asked": self._asked,
            "quote_gaps": self._gaps,
            "in_doubt": sorted(self._told),
            "silent_seconds": round(max(silences.values(), default=0.0), 1),
            "refused": refused,
        }

    async def _ask_about(self, symbols: list[str]) -> None:
        asked_at = _steady()
        self._asked += 1
        try:
            quotes = await self._port.quotes(symbols)
        except ExchangeTrouble as trouble:
            # No answer confirms nothing: the silence goes on counting.
            log.warning("feed.quotes_not_answered", trouble=str(trouble))
            quotes = []
        for mark in self._watch.answered(symbols, quotes, asked_at=asked_at, now=_steady()):
            self._keep(mark)

    async def _tell_health(self) -> None:
        now = _steady()
        troubles = self._watch.troubles(now=now)
        if {name: trouble.doubt for name, trouble in troubles.items()} != {n: t.doubt for n, t in self._told.items()}:
            log.warning("feed.prices_in_doubt", troubles={name: str(trouble.doubt) for name, trouble in troubles.items()})
        elif now - self._told_at < HEALTH_SECONDS:
            return
        silences = self._watch.silences(now=now)
        await self._store.health(
            {number: troubles.get(name) for name, number in self._ids.items()},
            {number: silences.get(name, 0.0) for name, number in self._ids.items()},
            now,
        )
        self._told, self._told_at = troubles, now
        if any(trouble.doubt == Doubt.SILENT for trouble in troubles.values()) and now - self._reopened_at > REOPEN_SECONDS:
            self._reopened_at = now
            await self._port.reopen_streams("the stream is silent")

    def _keep(self, mark: Mark | None) -> None:
        if mark is not None:
            self._marks[mark.symbol] = mark


def _steady() -> float:
    return asyncio.get_running_loop().time()
