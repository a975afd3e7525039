"""How far our clock is off the exchange's, from a few questions, none of which is trusted alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

SAMPLES: Final = 5
# Told to the operator; beyond the second, no entry is sent (K01, I-46).
ALARM_MS: Final = 500
HALT_MS: Final = 1000
_EARLIEST_MS: Final = 1_500_000_000_000
_LATEST_MS: Final = 9_999_999_999_999


@dataclass(frozen=True, slots=True)
class Sample:
    """One question: our time when it was asked, how long the answer took, and what the exchange said."""

    asked_ms: int
    took_ms: float
    server_ms: int

    @property
    def ahead_ms(self) -> float:
        """Return how far we are ahead; half of the round trip is the best guess of when the answer was made."""
        return self.asked_ms + self.took_ms / 2 - self.server_ms


def ahead_ms(samples: Sequence[Sample]) -> int:
    """Return how far our clock is ahead: the median, so that one slow answer or one set clock moves nothing."""
    return round(median(sample.ahead_ms for sample in samples))


def is_milliseconds(value: object) -> bool:
    """Say whether this is a moment in milliseconds; seconds and microseconds are told by their size (K06)."""
    return isinstance(value, int) and not isinstance(value, bool) and _EARLIEST_MS <= value <= _LATEST_MS
