"""Turn a subscription that may break into one endless sequence of events, with every break visible."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final, Generic, TypeVar

import structlog

from exchange.errors import HALTING, ExchangeTrouble
from exchange.ports import StreamGap, StreamOpen

E = TypeVar("E")
log = structlog.get_logger()
EVENTS_KEPT_MAX: Final = 50_000
_RETRY_SECONDS_MAX: Final = 5.0


class EventQueue(Generic[E]):
    """Events in the order of arrival; a consumer that falls too far behind gets a gap instead of old news."""

    def __init__(self) -> None:
        self._events: deque[E | StreamGap | StreamOpen] = deque()
        self._arrived = asyncio.Event()

    def put(self, event: E | StreamGap | StreamOpen) -> None:
        """Add an event; called from the network's callbacks."""
        if len(self._events) >= EVENTS_KEPT_MAX:
            self._events.clear()
            self._events.append(StreamGap("too many events were waiting"))
        self._events.append(event)
        self._arrived.set()

    async def get(self) -> E | StreamGap | StreamOpen:
        """Wait for the next event."""
        while not self._events:
            self._arrived.clear()
            await self._arrived.wait()
        return self._events.popleft()


async def follow(
    queue: EventQueue[E], open_stream: Callable[[], Awaitable[None]], troubles: tuple[type[Exception], ...]
) -> AsyncIterator[E | StreamGap | StreamOpen]:
    """Yield events for ever; open the stream anew after each gap, with growing pauses while that fails."""
    is_open, pause = False, 0.1
    while True:
        if not is_open:
            try:
                await open_stream()
            except troubles as error:
                if isinstance(error, ExchangeTrouble) and error.outcome in HALTING:
                    raise
                log.warning("stream.not_opened", error=str(error)[:200], retry_seconds=pause)
                await asyncio.sleep(pause)
                pause = min(2 * pause, _RETRY_SECONDS_MAX)
                continue
            is_open, pause = True, 0.1
            yield StreamOpen()
        event = await queue.get()
        if isinstance(event, StreamGap):
            is_open = False
        yield event
