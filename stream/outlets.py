"""One socket's way out: a bounded queue that turns into fresh snapshots when its reader is too slow."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

QUEUE_MAX: Final = 64


class Outlet:
    """Messages that wait for one socket.

    When the queue is full everything in it is forgotten: the hub is asked for whole snapshots once the reader is back.
    """

    def __init__(self, *, size: int = QUEUE_MAX) -> None:
        self.topics: set[str] = set()
        self.is_overrun = False
        self._size = size
        self._waiting: deque[str] = deque()
        self._filled = asyncio.Event()

    def put(self, text: str) -> None:
        """Queue a message; never waits."""
        if self.is_overrun:
            return
        if len(self._waiting) >= self._size:
            self._waiting.clear()
            self.is_overrun = True
        else:
            self._waiting.append(text)
        self._filled.set()

    async def get(self) -> str | None:
        """Return the next message, or None: messages were lost, ask for snapshots."""
        await self._filled.wait()
        if self.is_overrun:
            self.is_overrun = False
            self._filled.clear()
            return None
        text = self._waiting.popleft()
        if not self._waiting:
            self._filled.clear()
        return text
