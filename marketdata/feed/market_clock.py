"""What time it is on a market: the local venue's clock where there is one, the wall's otherwise."""

from __future__ import annotations

import asyncio
import time
from typing import Final, Protocol

from exchange.pacing import Pacer

# A real exchange closes a candle a moment after the wall says so.
SETTLE_MS: Final = 2_000
WAIT_SECONDS: Final = 10.0


class MarketClock(Protocol):
    """Says up to when candles are closed for good."""

    async def closed_through(self) -> int:
        """Answer the market time in milliseconds up to which every candle is closed."""

    async def next_close(self, after: int) -> int | None:
        """Wait until candles close later than a moment, and answer when; None if that takes too long."""

    async def close(self) -> None:
        """Let go of every connection."""


class VenueClock:
    """The clock of the local venue, read at its control address. The market does not wait for the feed itself."""

    def __init__(self, control_url: str) -> None:
        self._pacer = Pacer(control_url=control_url, client="feed")

    async def closed_through(self) -> int:
        """Answer the market's time: what closed up to it will not change."""
        state = await self._pacer.clock()
        return state.market_ms if state.hold_ms is None else state.hold_ms

    async def next_close(self, after: int) -> int | None:
        """Wait for the venue to hold its next candle back; without clients it never does, and the streams must do."""
        state = await self._pacer.wait_hold(after_ms=after, timeout_seconds=WAIT_SECONDS)
        return state.hold_ms if state is not None else None

    async def close(self) -> None:
        """Let go of the connection."""
        await self._pacer.close()


class WallClock:
    """The clock of a real exchange: the wall's, a little late."""

    def __init__(self, interval_ms: int) -> None:
        self._interval_ms = interval_ms

    async def closed_through(self) -> int:
        """Answer the wall's time less the moment an exchange needs to close a candle."""
        return time.time_ns() // 1_000_000 - SETTLE_MS

    async def next_close(self, after: int) -> int | None:
        """Sleep until the next candle of the finest interval has closed."""
        due = after - after % self._interval_ms + self._interval_ms
        wait = (due - await self.closed_through()) / 1000
        if wait > WAIT_SECONDS:
            await asyncio.sleep(WAIT_SECONDS)
            return None
        await asyncio.sleep(max(0.0, wait))
        return due

    async def close(self) -> None:
        """Do nothing: a wall holds no connection."""
