"""Share what one address may ask of an exchange among all processes: request weight, and dials of streams (M12, P02)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Protocol

# So much is taken from the shared window at once, so that not every request is a question to the others.
_CHUNKS: Final = 50


class Counter(Protocol):
    """Where processes count together; the floors above hang one that all of them reach."""

    async def take(self, host: str, kind: str, window: int, amount: int) -> int:
        """Add to what was used in a window of time, and return what that makes altogether."""


@dataclass(slots=True)
class _Alone:
    """A counter for a process that shares its address with nobody."""

    used: dict[tuple[str, str], tuple[int, int]] = field(default_factory=dict)

    async def take(self, host: str, kind: str, window: int, amount: int) -> int:
        """Count alone."""
        known, used = self.used.get((host, kind), (window, 0))
        total = (used if known == window else 0) + amount
        self.used[host, kind] = (window, total)
        return total


@dataclass(slots=True)
class _Lease:
    """What this process has taken from a window and not used yet."""

    window: int = -1
    left: int = 0
    is_spent: bool = False


_counters: list[Counter] = [_Alone()]
_leases: dict[tuple[str, str], _Lease] = {}


def alone() -> Counter:
    """Return a counter for a process that shares its address with nobody."""
    return _Alone()


def hang(counter: Counter) -> None:
    """Have this process count with others from now on."""
    _counters[0] = counter
    _leases.clear()


async def admit(
    host: str, kind: str, amount: int, *, limit: int, seconds: int, wall_seconds: Callable[[], float] = time.time
) -> None:
    """Wait until the address has this much left; the window is the wall clock's, so all processes mean the same one."""
    lease = _leases.setdefault((host, kind), _Lease())
    while True:
        now = wall_seconds()
        window = int(now // seconds)
        if lease.window != window:
            lease.window, lease.left, lease.is_spent = window, 0, False
        if lease.left < amount and not lease.is_spent:
            wanted = max(amount, limit // _CHUNKS)
            total = await _counters[0].take(host, kind, window, wanted)
            lease.left += max(0, wanted - max(0, total - limit))
            lease.is_spent = total >= limit
        if lease.left >= amount and lease.window == window:
            lease.left -= amount
            return
        await asyncio.sleep(max(0.01, seconds - now % seconds))
