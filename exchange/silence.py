"""Have every process of this address keep quiet while an exchange wants that: it counts by address, not by process."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from exchange.errors import Outcome


@dataclass(frozen=True, slots=True)
class Silence:
    """Until when nothing may be asked, in seconds of wall time, and why."""

    outcome: Outcome
    until: float


class Board(Protocol):
    """Where processes tell each other; the floors above hang one that outlives them."""

    async def read(self, host: str) -> Silence | None:
        """Return what was last told of a host; None when nobody knows of anything."""

    async def tell(self, host: str, silence: Silence) -> None:
        """Tell the others; the longer silence stands."""


class _Alone:
    """A board for a process that has nobody to tell."""

    async def read(self, host: str) -> Silence | None:  # noqa: ARG002 - it knows of no host.
        """Know nothing."""
        return None

    async def tell(self, host: str, silence: Silence) -> None:
        """Tell nobody."""


_boards: list[Board] = [_Alone()]


def hang(board: Board) -> None:
    """Have this process read and write a board from now on."""
    _boards[0] = board


def board() -> Board:
    """Return the board of this process."""
    return _boards[0]
