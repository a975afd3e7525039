"""The pace of the market: how long a bar lasts, and who must agree before it goes on."""

import asyncio
import time
from dataclasses import dataclass, field
from typing import Final

from venue.clock import PARTS, SEGMENTS, WHOLE, MarketClock
from venue.store import GONE, Committer

# Steps are not shorter than this: nobody reads a price more often.
STEP_SECONDS_MIN: Final = 0.1
CATCH_UP_SHARE: Final = 0.1
_DIVISORS: Final = (80, 40, 20, 16, 10, 8, 5, 4, 2, 1)


@dataclass(slots=True)
class Pace:
    """Speed and brakes."""

    speed: float
    is_paused: bool = False
    # Bars that may still be walked although the market is paused.
    steps_left: int = 0
    # Whether the market stands while nobody has asked it to wait: a bot's first candle is then its first.
    waits_for_client: bool = False


@dataclass(slots=True)
class Hold:
    """Whether the bar that has just opened waits for clients, and what each has acknowledged."""

    acknowledged: dict[str, int | None] = field(default_factory=dict)
    is_released: bool = True


class Pacer:
    """Drives the clock: opens, holds, walks and closes bars at the pace asked for."""

    def __init__(self, clock: MarketClock, committer: Committer, pace: Pace, acknowledged: dict[str, int | None]) -> None:
        self.clock = clock
        self.pace = pace
        self._committer = committer
        self._hold = Hold(acknowledged)
        # Whoever waits for a change of speed, pause, clients or acknowledgements looks again.
        self._waiting: set[asyncio.Future[None]] = set()
        self._bar_began = time.monotonic()
        self._begin_hold()

    @property
    def hold_time(self) -> int | None:
        """Return the moment at which the market is held, if it is."""
        at_open = self.clock.position.progress == 0 and not self.clock.position.is_finished
        return self.clock.position.bar_open if at_open and not self._hold.is_released else None

    @property
    def clients(self) -> dict[str, int | None]:
        """Return the pacing clients with their last acknowledgements."""
        return dict(self._hold.acknowledged)

    def register(self, name: str) -> None:
        """Have the market wait for a client from now on."""
        if name not in self._hold.acknowledged:
            self._hold.acknowledged[name] = None
            self.clock.engine.journal.clients[name] = None

    def forget(self, name: str) -> None:
        """Wait for a client no longer."""
        if self._hold.acknowledged.pop(name, GONE) != GONE:
            self.clock.engine.journal.clients[name] = GONE
            self._release_if_agreed()

    def acknowledge(self, name: str, hold_time: int) -> bool:
        """Note that a client is done with a hold; answer whether the market goes on."""
        if name in self._hold.acknowledged and hold_time == self.clock.position.bar_open:
            self._hold.acknowledged[name] = hold_time
            self.clock.engine.journal.clients[name] = hold_time
            self._release_if_agreed()
        return self.hold_time is None

    def change(self, *, speed: float | None = None, paused: bool | None = None, bars: int = 0) -> None:
        """Change speed, pause, resume, or let some bars pass while paused."""
        if speed is not None:
            self.pace.speed = speed
        if paused is not None:
            self.pace.is_paused, self.pace.steps_left = paused, 0
        self.pace.steps_left += bars
        self._announce()

    async def wait_hold(self, after: int, timeout_seconds: float) -> bool:
        """Wait for a hold later than `after`; answer whether there is one."""
        deadline = time.monotonic() + timeout_seconds
        while not (self.hold_time is not None and self.hold_time > after):
            left = deadline - time.monotonic()
            if left <= 0 or not await self._change_within(left):
                return self.hold_time is not None and self.hold_time > after
        return True

    async def run(self) -> None:
        """Walk bar after bar until the market ends."""
        while not self.clock.position.is_finished:
            await self._wait_until_free()
            await self._walk_bar()
            if self.pace.steps_left:
                self.pace.steps_left -= 1
            # A bar that took too long is not made up for: the speed asked for is an upper bound.
            late_at_most = CATCH_UP_SHARE * self._bar_seconds()
            self._bar_began = max(self._bar_began + self._bar_seconds(), time.monotonic() - late_at_most)
            if self.clock.turn():
                self._begin_hold()
            await self._committer.durable()
            self._announce()

    async def _walk_bar(self) -> None:
        while self.clock.position.progress < WHOLE:
            stride = self._stride()
            target = (self.clock.position.progress + stride) / WHOLE
            await self._sleep_until_share(0.1 + 0.9 * target)
            self.clock.walk(stride)

    def _stride(self) -> int:
        """Choose how much of a segment to walk at once, so that steps are neither too many nor too coarse."""
        in_segment = self.clock.position.progress % PARTS
        for parts in _DIVISORS:
            if self._bar_seconds() * 0.9 / (SEGMENTS * parts) >= STEP_SECONDS_MIN and in_segment % (PARTS // parts) == 0:
                return PARTS // parts
        return PARTS - in_segment

    async def _sleep_until_share(self, share: float) -> None:
        """Sleep until a share of the bar's wall time has passed, at whatever speed is asked for meanwhile."""
        while True:
            await self._wait_until_free()
            left = self._bar_began + share * self._bar_seconds() - time.monotonic()
            if left <= 0:
                return
            # Steps that are due together are committed together, at the latest before anybody has to wait.
            await self._committer.durable()
            await self._change_within(max(0.0, left))

    async def _wait_until_free(self) -> None:
        """Wait while the market is held or paused; the wall time of the bar does not run while paused."""
        while True:
            held = self.hold_time is not None
            paused = self.pace.is_paused and not self.pace.steps_left
            if not held and not paused:
                return
            stopped_at = time.monotonic()
            await self._change_within(None)
            if paused:
                self._bar_began += time.monotonic() - stopped_at

    async def _change_within(self, seconds: float | None) -> bool:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.add(future)
        done, _ = await asyncio.wait({future}, timeout=seconds)
        self._waiting.discard(future)
        return bool(done)

    def _bar_seconds(self) -> float:
        return self.clock.source.base_interval_ms / 1000 / self.pace.speed

    def _begin_hold(self) -> None:
        self._hold.is_released = self.clock.position.progress > 0 or self._all_agree()

    def _release_if_agreed(self) -> None:
        if self._all_agree():
            self._hold.is_released = True
            self._announce()

    def _all_agree(self) -> bool:
        bar_open = self.clock.position.bar_open
        if not self._hold.acknowledged:
            return not self.pace.waits_for_client
        return all(ack is not None and ack >= bar_open for ack in self._hold.acknowledged.values())

    def _announce(self) -> None:
        for future in self._waiting:
            if not future.done():
                future.set_result(None)
