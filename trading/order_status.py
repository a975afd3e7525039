"""Which statuses an order may have, and which way it may move between them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

READY: Final = "ready"
SENDING: Final = "sending"
UNKNOWN: Final = "unknown"
OPEN: Final = "open"
PARTIAL: Final = "partial"
CANCELLING: Final = "cancelling"
FILLED: Final = "filled"
CANCELED: Final = "canceled"
EXPIRED: Final = "expired"
REJECTED: Final = "rejected"
ABSENT: Final = "absent"
WITHDRAWN: Final = "withdrawn"

LIVE: Final = frozenset((READY, SENDING, UNKNOWN, OPEN, PARTIAL, CANCELLING))
# The exchange has it, or may have it.
SENT: Final = LIVE - {READY}
TERMINAL: Final = frozenset((FILLED, CANCELED, EXPIRED, REJECTED, ABSENT, WITHDRAWN))

_ENDS: Final = frozenset((FILLED, CANCELED, EXPIRED, REJECTED))
_MOVES: Final[Mapping[str, frozenset[str]]] = {
    READY: frozenset((SENDING, WITHDRAWN)),
    SENDING: frozenset((UNKNOWN, OPEN, PARTIAL, CANCELLING)) | _ENDS | {ABSENT},
    UNKNOWN: frozenset((OPEN, PARTIAL, CANCELLING)) | _ENDS | {ABSENT},
    OPEN: frozenset((PARTIAL, CANCELLING)) | _ENDS,
    PARTIAL: frozenset((CANCELLING,)) | _ENDS,
    CANCELLING: _ENDS,
}

# Ends that the exchange may prove wrong; a complete fill is none of them.
_ADOPTABLE: Final = TERMINAL - {FILLED}


class MoveRefused(Exception):
    """Raised when an order is asked to move against the graph."""


def may_move(before: str, after: str) -> bool:
    """Say whether the graph has this move; a status that stays is no move."""
    return after in _MOVES.get(before, frozenset())


def may_adopt(before: str) -> bool:
    """Say whether an order that ended like this may turn out to live: the one way back (I-14)."""
    return before in _ADOPTABLE


def sources(after: str) -> frozenset[str]:
    """Answer the statuses from which an order may move to this one."""
    return frozenset(before for before, targets in _MOVES.items() if after in targets)
