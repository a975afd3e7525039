"""What a bot asks the coordinator for, and what the coordinator answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final

# An entry may pay at most this much above the price it was sized for; `trading.sizing` uses the same number.
COLLAR: Final = Decimal("1.01")


class ProposalKind(StrEnum):
    """What is asked for."""

    HOLD = "hold"
    ENTER = "enter"
    EXIT = "exit"
    PLACE = "place"
    CANCEL = "cancel"
    MOVE_STOP = "move_stop"


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """One sized decision of one bot; a `denial` means that sizing has refused it already."""

    book_id: int
    rank: int
    leg: int
    instrument_id: int | None
    kind: ProposalKind
    reason: str
    side: str = ""
    slot: int = -1
    lots: int = 0
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    denial: str = ""
    strategy_hash: str = ""
    config_hash: str = ""
    # The number of the pair that it belongs to, 0 for none. Of its two legs both are ordered, or neither is; what is not a
    # leg undoes what one of them left over.
    pair: int = 0
    is_leg: bool = False

    @property
    def is_entry(self) -> bool:
        """Say whether it may put more capital at risk."""
        return self.kind == ProposalKind.ENTER or (self.kind == ProposalKind.PLACE and self.side == "buy")


@dataclass(frozen=True, slots=True)
class Outcome:
    """The coordinator's answer to one proposal."""

    proposal: Proposal
    is_accepted: bool
    code: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)


def arbitration_order(proposals: list[Proposal]) -> list[Proposal]:
    """Put exits before entries, then follow the bots' ranks, but never reorder one bot's own decisions.

    Worker arrival plays no part, so that a log replays to the same orders.
    """
    ranked = sorted(proposals, key=lambda proposal: (proposal.rank, proposal.book_id, proposal.leg))
    books_entering: set[int] = set()
    first: list[Proposal] = []
    later: list[Proposal] = []
    for proposal in ranked:
        if proposal.is_entry:
            books_entering.add(proposal.book_id)
        (later if proposal.book_id in books_entering else first).append(proposal)
    return first + later
