"""An event loop that owns the time: waiting costs nothing, and nothing happens but in the order the loop gives it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any, Final

BEGIN: Final = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)


class Deadlock(Exception):
    """Raised when everybody waits and no timer runs."""


class VirtualLoop(asyncio.base_events.BaseEventLoop):
    """An event loop without a selector: when nobody can go on, the time jumps to the next timer."""

    def __init__(self) -> None:
        super().__init__()
        self._elapsed = 0.0
        self._clock_resolution = 1e-6
        self._selector = self

    def time(self) -> float:
        """Return the seconds since the beginning."""
        return self._elapsed

    def now(self) -> datetime:
        """Return the date and time, to the microsecond."""
        return BEGIN + timedelta(microseconds=round(self._elapsed * 1_000_000))

    def select(self, timeout: float | None) -> tuple[()]:
        """Jump to the next timer."""
        if timeout is None:
            raise Deadlock
        self._elapsed += timeout
        return ()

    def _process_events(self, event_list: Any) -> None:
        """Do nothing: there are no files."""

    def _write_to_self(self) -> None:
        """Do nothing: there is one thread."""
