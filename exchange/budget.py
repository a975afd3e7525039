"""Keep our own account of request weights, and stay away while the exchange wants us to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

from exchange import quota, silence
from exchange.errors import ExchangeTrouble, Outcome
from exchange.silence import Silence

WEIGHT_PER_MINUTE: Final = 6000
# The rest of the limit is for cancels, exits and finding out what became of orders (I-48).
SHARE_OF_ROUTINE: Final = 0.8
# How long to be silent when the exchange names no time.
_SECONDS: Final = {Outcome.BACKOFF_WEIGHT: 10.0, Outcome.BANNED: 120.0, Outcome.BLOCKED: 300.0}
# What the other processes of this address have been told is known here within this time.
_BOARD_SECONDS: Final = 1.0
_MINUTE: Final = 60.0
_LOOK_SECONDS: Final = 1.0


class RequestBudget:
    """What one address of ours has used of this minute, and until when it must be silent."""

    def __init__(self, *, wall_seconds: Callable[[], float], host: str = "", limit: int = WEIGHT_PER_MINUTE) -> None:
        self.limit = limit
        self.used = 0
        self.host = host
        self._is_limit_told = False
        self._silence: Silence | None = None
        self._is_untold = False
        self._read_at = 0.0
        self._wall_seconds = wall_seconds
        self._minute = 0

    async def admit(self, weight: int, *, is_urgent: bool) -> None:
        """Wait until a request of this weight may go; raise at once while the exchange wants silence."""
        while True:
            await self._share()
            now = self._wall_seconds()
            if (wait := self.silent_seconds()) > 0:
                outcome = self._silence.outcome if self._silence else Outcome.BACKOFF_WEIGHT
                raise ExchangeTrouble(outcome, f"No request for {wait:.0f} more seconds.", retry_after_seconds=wait)
            self._roll(now)
            bound = self.limit if is_urgent else self.limit * SHARE_OF_ROUTINE
            if self.used + weight <= bound or (is_urgent and self._is_beyond_what_was_assumed()):
                self.used += weight
                if not is_urgent and self.host and self._is_limit_told:
                    # All processes of this address together: the exchange counts them as one. Whoever does not know the
                    # limit yet cannot tell how much of it the others have left.
                    await quota.admit(
                        self.host, "weight", weight, limit=int(bound), seconds=int(_MINUTE), wall_seconds=self._wall_seconds
                    )
                return
            # A limit that is learned meanwhile lets it go at once.
            await asyncio.sleep(min(_MINUTE - now % _MINUTE, _LOOK_SECONDS))

    @property
    def is_limit_told(self) -> bool:
        """Say whether the exchange has named its limit; until then asking for it is urgent."""
        return self._is_limit_told

    def learn_limit(self, told: int | None) -> None:
        """Go by the limit that the exchange has named; if it named none, by the usual one."""
        self.limit = told or self.limit
        self._is_limit_told = True

    def note_answer(self, headers: Mapping[str, str]) -> None:
        """Believe the exchange's own count rather than ours: it knows of every process at this address."""
        for name, value in headers.items():
            if name.upper() == "X-MBX-USED-WEIGHT-1M" and value.isdigit():
                self._roll(self._wall_seconds())
                self.used = int(value)

    def note_trouble(self, trouble: ExchangeTrouble) -> None:
        """Fall silent for as long as the exchange has asked for."""
        if trouble.outcome in _SECONDS:
            pause = trouble.retry_after_seconds or _SECONDS[trouble.outcome]
            told = Silence(trouble.outcome, self._wall_seconds() + pause)
            if self._silence is None or told.until > self._silence.until:
                self._silence, self._is_untold = told, True

    async def tell(self) -> None:
        """Tell the other processes of this address what the exchange wants."""
        if self._is_untold and self._silence is not None:
            self._is_untold = False
            await silence.board().tell(self.host, self._silence)

    def silent_seconds(self) -> float:
        """Return for how long nothing may be asked; zero when requests may go."""
        return max(0.0, self._silence.until - self._wall_seconds()) if self._silence else 0.0

    def used_ratio(self) -> float:
        """Return the used part of this minute's weight."""
        self._roll(self._wall_seconds())
        return self.used / self.limit

    def _is_beyond_what_was_assumed(self) -> bool:
        """Say whether the exchange answers beyond the limit that nobody has told us: then that is not its limit."""
        return not self._is_limit_told and self.used > self.limit

    async def _share(self) -> None:
        await self.tell()
        now = self._wall_seconds()
        # Also when the clock was set back.
        if 0 <= now - self._read_at < _BOARD_SECONDS:
            return
        self._read_at = now
        told = await silence.board().read(self.host)
        if told is not None and (self._silence is None or told.until > self._silence.until):
            self._silence = told

    def _roll(self, now: float) -> None:
        minute = int(now // _MINUTE)
        if minute != self._minute:
            self._minute, self.used = minute, 0
