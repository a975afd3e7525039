"""What may be concluded about an order that was sent and never answered for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

# Shown to the operator, and put before a person, after so long (T21, I-43).
SHOWN_SECONDS: Final = 30.0
ESCALATED_SECONDS: Final = 660.0
# Two looks further apart than this leave a hole in the evidence.
HOLE_SECONDS: Final = 15.0
# An order called absent is looked for so long; never sent again, and taken in if it turns up.
WATCH_SECONDS: Final = 24 * 3600.0
# How often: while its age is below the first figure, every so many seconds.
_WATCH_EVERY: Final = ((1_800.0, 30.0), (7_200.0, 120.0), (WATCH_SECONDS, 900.0))


class Verdict(StrEnum):
    """What to do with an order after a look at it."""

    KEEP_LOOKING = "keep_looking"
    RECORD = "record"
    ABSENT = "absent"
    ESCALATE = "escalate"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """How late a request may still arrive, and how late an exchange may show what it did, in seconds."""

    send_window: float
    receive_window: float
    clock_lead: float = 1.0
    answer: float = 10.0
    visibility: float = 600.0
    # Enough when every look since the sending was whole and said no.
    visibility_proven: float = 60.0

    def settle_seconds(self, *, is_continuous: bool) -> float:
        """Return the age from which an order that no read shows cannot come to life any more."""
        visibility = min(self.visibility, self.visibility_proven) if is_continuous else self.visibility
        return self.send_window + self.receive_window + self.clock_lead + self.answer + visibility


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What one look at an unanswered order saw. Age is measured on the exchange's clock."""

    age_seconds: float
    # The order itself or one of its trades was shown.
    is_seen: bool = False
    # Three reads that do not depend on each other, each of which would have shown it.
    misses_by_name: bool = False
    misses_in_list: bool = False
    misses_in_history: bool = False
    # The user stream has been whole since the order was sent, or its gaps have been read from the history.
    is_history_whole: bool = False
    is_stream_unbroken: bool = False
    # Balances read round the history agree with the ledger to the last unit.
    is_agreed: bool = False

    @property
    def is_negative(self) -> bool:
        """Say whether everything that can be read says that the order does not exist."""
        reads = self.misses_by_name and self.misses_in_list and self.misses_in_history
        return not self.is_seen and reads and self.is_history_whole and self.is_agreed


@dataclass(frozen=True, slots=True)
class Doubt:
    """What is known of an unanswered order from the looks so far."""

    looked_at_age: float = 0.0
    is_continuous: bool = True

    def after(self, look: Look, bounds: Bounds) -> Doubt:
        """Add a look: one that is not whole, or that comes too late, breaks the continuity for good."""
        first_within = bounds.send_window + bounds.answer + HOLE_SECONDS
        patience = HOLE_SECONDS if self.looked_at_age else first_within
        is_in_time = look.age_seconds - self.looked_at_age <= patience
        is_continuous = self.is_continuous and is_in_time and look.is_negative and look.is_stream_unbroken
        return replace(self, looked_at_age=look.age_seconds, is_continuous=is_continuous)


def judge(doubt: Doubt, look: Look, bounds: Bounds) -> Verdict:
    """Judge the newest look in the light of all before it; silence alone is never enough."""
    if look.is_seen:
        return Verdict.RECORD
    if look.is_negative and look.age_seconds > bounds.settle_seconds(is_continuous=doubt.is_continuous):
        return Verdict.ABSENT
    if look.age_seconds > ESCALATED_SECONDS:
        return Verdict.ESCALATE
    return Verdict.KEEP_LOOKING


def could_be_absent(age_seconds: float, doubt: Doubt, bounds: Bounds) -> bool:
    """Say whether a whole look at this age could end the doubt; before that only the cheap reads are worth their weight."""
    return age_seconds > bounds.settle_seconds(is_continuous=doubt.is_continuous)


def look_again_seconds(orders: int) -> float:
    """Return the pause between looks: two seconds, and longer when many orders share the weight of requests."""
    return max(2.0, 0.08 * orders)


def watch_again_seconds(age_seconds: float) -> float | None:
    """Return how long until an order called absent is looked for again; None when it may be forgotten."""
    for until, pause in _WATCH_EVERY:
        if age_seconds < until:
            return pause
    return None
