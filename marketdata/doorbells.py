"""Who wants to be told what the feed does. The floors above register here; the feed knows none of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final, Protocol


class BarsRecorded(Protocol):
    """Called after candles were committed."""

    def __call__(self, *, market_id: int, market_at: datetime) -> None:
        """Learn that every subscription of the market is known up to this moment."""


class FeedBeat(Protocol):
    """Called every few seconds while a feed works."""

    def __call__(self, *, market_id: int, facts: Mapping[str, Any]) -> None:
        """Learn that the feed is alive, and what it sees."""


on_bars: Final[list[BarsRecorded]] = []
on_beat: Final[list[FeedBeat]] = []
on_marks: Final[list[Callable[[int], None]]] = []
