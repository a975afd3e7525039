"""What a feed keeps, and where: the tables, behind one thread that owns the connection."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any, Protocol, TypeVar

from marketdata import doorbells, jobs, selectors
from marketdata.candles import ClosedCandle, moment
from marketdata.feed.prices import Mark, Trouble
from marketdata.models import Subscription

Answer = TypeVar("Answer")


class Store(Protocol):
    """Everything a feed asks of its memory."""

    async def subscriptions(self) -> list[Subscription]:
        """List what is to be kept."""

    async def record(self, candles: list[ClosedCandle], synced: list[jobs.Synced], market_now: int) -> jobs.Recorded:
        """Store candles and how far they are complete."""

    async def ring(self, market_ms: int) -> None:
        """Tell the floors above that all candles up to a moment are there."""

    async def marks(self, marks: Sequence[tuple[int, Mark]]) -> None:
        """Store the newest prices of instruments."""

    async def health(self, troubles: Mapping[int, Trouble | None], silences: Mapping[int, float], steady_now: float) -> None:
        """Store whether the prices of instruments can be trusted."""

    async def beat(self, facts: Mapping[str, Any]) -> None:
        """Say that the feed is alive."""


class DatabaseStore:
    """A Store in the tables; every call runs in the one thread that owns the connection and with it the market's lock."""

    def __init__(self, *, market_id: int, clock: Callable[[], datetime], database: ThreadPoolExecutor) -> None:
        self._market_id = market_id
        self._clock = clock
        self._database = database

    async def subscriptions(self) -> list[Subscription]:
        """List what is to be kept."""
        return await self._run(lambda: list(selectors.subscriptions(self._market_id)))

    async def record(self, candles: list[ClosedCandle], synced: list[jobs.Synced], market_now: int) -> jobs.Recorded:
        """Store candles and how far they are complete."""
        return await self._run(
            lambda: jobs.record_bars(market_id=self._market_id, candles=candles, synced=synced, market_now=market_now)
        )

    async def ring(self, market_ms: int) -> None:
        """Tell the floors above that all candles up to a moment are there."""
        await self._run(lambda: jobs.ring_bars(market_id=self._market_id, market_at=moment(market_ms)))

    async def marks(self, marks: Sequence[tuple[int, Mark]]) -> None:
        """Store the newest prices of instruments."""
        rows = [(instrument_id, mark.price, moment(mark.market_ms)) for instrument_id, mark in marks]
        await self._run(lambda: jobs.record_marks(market_id=self._market_id, marks=rows, now=self._clock()))

    async def health(self, troubles: Mapping[int, Trouble | None], silences: Mapping[int, float], steady_now: float) -> None:
        """Store whether the prices of instruments can be trusted."""
        now = self._clock()
        rows = [
            jobs.PriceState(
                instrument_id=instrument_id,
                doubt=str(trouble.doubt) if trouble else "",
                detail=trouble.detail if trouble else "",
                since_at=now - timedelta(seconds=steady_now - trouble.since) if trouble else None,
                silent_seconds=silences.get(instrument_id, 0.0),
            )
            for instrument_id, trouble in troubles.items()
        ]
        await self._run(lambda: jobs.record_price_health(states=rows, now=now))

    async def beat(self, facts: Mapping[str, Any]) -> None:
        """Say that the feed is alive."""

        def tell_all() -> None:
            for tell in doorbells.on_beat:
                tell(market_id=self._market_id, facts=facts)

        await self._run(tell_all)

    async def _run(self, work: Callable[[], Answer]) -> Answer:
        return await asyncio.get_running_loop().run_in_executor(self._database, work)
