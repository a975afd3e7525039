"""Keep our own account of request weights, and stay away while the exchange wants us to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

from exchange.errors import ExchangeTrouble, Outcome

WEIGHT_PER_MINUTE: Final = 6000
# The rest of the limit is for cancels, exits and finding out what became of orders (I-48).
SHARE_OF_ROUTINE: Final = 0.8
BLOCKED_SECONDS: Final = 300.0
BANNED_SECONDS: Final = 120.0
BACKOFF_SECONDS: Final = 10.0
_MINUTE: Final = 60.0


class RequestBudget:
    """What one address of ours has used of this minute, and until when it must be silent."""

    def __init__(self, *, wall_seconds: Callable[[], float], limit: int = WEIGHT_PER_MINUTE) -> None:
        self.limit = limit
        self.used = 0
        self.silent_until = 0.0
        self.silent_outcome = Outcome.BACKOFF_WEIGHT
        self._wall_seconds = wall_seconds
        self._minute = 0

    async def admit(self, weight: int, *, is_urgent: bool) -> None:
        """Wait until a request of this weight may go; raise at once while the exchange wants silence."""
        while True:
            now = self._wall_seconds()
            if now < self.silent_until:
                wait = self.silent_until - now
                raise ExchangeTrouble(self.silent_outcome, f"No request for {wait:.0f} more seconds.", retry_after_seconds=wait)
            self._roll(now)
            bound = self.limit if is_urgent else self.limit * SHARE_OF_ROUTINE
            if self.used + weight <= bound:
                self.used += weight
                return
            await asyncio.sleep(_MINUTE - now % _MINUTE)

    def note_answer(self, headers: Mapping[str, str]) -> None:
        """Believe the exchange's own count rather than ours."""
        for name, value in headers.items():
            if name.upper() == "X-MBX-USED-WEIGHT-1M" and value.isdigit():
                self._roll(self._wall_seconds())
                self.used = int(value)

    def note_trouble(self, trouble: ExchangeTrouble) -> None:
        """Fall silent for as long as the exchange has asked for."""
        seconds = {Outcome.BACKOFF_WEIGHT: BACKOFF_SECONDS, Outcome.BANNED: BANNED_SECONDS, Outcome.BLOCKED: BLOCKED_SECONDS}
        if trouble.outcome in seconds:
            pause = trouble.retry_after_seconds or seconds[trouble.outcome]
            self.silent_until = max(self.silent_until, self._wall_seconds() + pause)
            self.silent_outcome = trouble.outcome

    def used_ratio(self) -> float:
        """Return the used part of this minute's weight."""
        return self.used / self.limit

    def _roll(self, now: float) -> None:
        minute = int(now // _MINUTE)
        if minute != self._minute:
            self._minute, self.used = minute, 0
