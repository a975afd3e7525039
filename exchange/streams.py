"""Turn a subscription that may break into one endless sequence of events, with every break visible."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final, Generic, TypeVar

import structlog

from exchange.errors import HALTING, ExchangeTrouble
from exchange.ports import StreamGap, StreamOpen

E = TypeVar("E")
log = structlog.get_logger()
EVENTS_KEPT_MAX: Final = 50_000
RETRY_SECONDS: Final = 0.1
RETRY_SECONDS_MAX: Final = 5.0


class EventQueue(Generic[E]):
    """Events in the order of arrival; a consumer that falls too far behind gets a gap instead of old news."""

    def __init__(self) -> None:
        self._events: deque[E | StreamGap | StreamOpen] = deque()
        self._arrived = asyncio.Event()
        # Events that were dropped because nobody took them.
        self.dropped = 0

    def put(self, event: E | StreamGap | StreamOpen) -> None:
        """Add an event; called from the network's callbacks."""
        if len(self._events) >= EVENTS_KEPT_MAX:
            self.dropped += len(self._events)
            self._events.clear()
            self._events.append(StreamGap("too many events were waiting"))
        self._events.append(event)
        self._arrived.set()

    async def get(self) -> E | StreamGap | StreamOpen:
        """Wait for the next event."""
        await self._wait()
        return self._events.popleft()

    async def take(self, *, linger: float) -> list[E | StreamGap | StreamOpen]:
        """Wait for the next event, and answer all that came by so many seconds after it."""
        if not self._events:
            await self._wait()
            await asyncio.sleep(linger)
        taken = list(self._events)
        self._events.clear()
        return taken

    async def _wait(self) -> None:
        while not self._events:
            self._arrived.clear()
            await self._arrived.wait()


class LatestQueue(Generic[E]):
    """The newest event of each name, in the order in which names first had news; older news is worth nothing (M14)."""

    def __init__(self) -> None:
        self._latest: dict[str, E] = {}
        self._signs: deque[StreamGap | StreamOpen] = deque()
        self._arrived = asyncio.Event()
        # News that newer news has replaced before anybody looked.
        self.coalesced = 0

    def put(self, name: str, event: E) -> None:
        """Replace what is known of a name; called from the network's callbacks."""
        self.coalesced += name in self._latest
        self._latest[name] = event
        self._arrived.set()

    def sign(self, event: StreamGap | StreamOpen) -> None:
        """Tell that the stream was cut, or that it runs again."""
        self._signs.append(event)
        self._arrived.set()

    async def get(self) -> E | StreamGap | StreamOpen:
        """Wait for the next event; signs go first."""
        while not self._signs and not self._latest:
            self._arrived.clear()
            await self._arrived.wait()
        if self._signs:
            return self._signs.popleft()
        return self._latest.pop(next(iter(self._latest)))


def jittered(pause: float) -> float:
    """Return a pause of this length at most, so that those who lost the same connection do not all come back at once (M12)."""
    return pause * random.uniform(0.5, 1.0)  # noqa: S311 - spreads load, guards nothing.


async def follow(
    queue: EventQueue[E], open_stream: Callable[[], Awaitable[None]], troubles: tuple[type[Exception], ...]
) -> AsyncIterator[E | StreamGap | StreamOpen]:
    """Yield events for ever; open the stream anew after each gap, with growing pauses while that fails."""
    is_open, pause = False, RETRY_SECONDS
    while True:
        if not is_open:
            try:
                await open_stream()
            except troubles as error:
                if isinstance(error, ExchangeTrouble) and error.outcome in HALTING:
                    raise
                log.warning("stream.not_opened", error=str(error)[:200], retry_seconds=pause)
                await asyncio.sleep(jittered(pause))
                pause = min(2 * pause, RETRY_SECONDS_MAX)
                continue
            is_open, pause = True, RETRY_SECONDS
            yield StreamOpen()
        event = await queue.get()
        if isinstance(event, StreamGap):
            is_open = False
        yield event
