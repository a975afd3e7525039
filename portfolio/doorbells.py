"""Who wants to be told what the trader does. The floors above register here; the trader knows none of them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol


@dataclass(frozen=True, slots=True)
class Hold:
    """Somebody for whom alone the mode changes until they are done."""

    holder: str
    code: str
    message: str


class Synced(Protocol):
    """Called after it was committed that every fill up to a market time is posted."""

    def __call__(self, *, account_id: int, market_at: datetime) -> None:
        """Learn that the account may be advanced to this moment."""


class DueBotsDone(Protocol):
    """Asked before the trader lets market time go on."""

    def __call__(self, *, account_id: int, market_at: datetime) -> bool:
        """Say whether every bot that is due has advanced through this moment."""


class ModeHeld(Protocol):
    """Asked before the mode of an account changes."""

    def __call__(self, *, account_id: int) -> Hold | None:
        """Say who keeps others from changing it, if anybody does."""


on_synced: Final[list[Synced]] = []
due_bots_done: Final[list[DueBotsDone]] = []
mode_held: Final[list[ModeHeld]] = []
