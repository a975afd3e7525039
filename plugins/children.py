"""The children of a process, one for each user's strategy in use: started when first asked, ended when nobody asks any more."""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from plugins.process import Child, Died, Limits
from strategies.sources import BrokenStrategy

# A child is a hundred megabytes: so many at most in one process of ours, and none that nobody has asked for so long.
CHILDREN_MAX: Final = 16
IDLE_SECONDS: Final = 1200


@dataclass(frozen=True, slots=True)
class Version:
    """One strategy's file as it was when it was read."""

    path: Path
    # What identifies the definition: the file's text and our own code.
    source_hash: str
    text: bytes = field(compare=False, repr=False)


class Children:
    """The children of this process, one for each strategy in use; the one that was asked longest ago goes first."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._running: dict[Version, Child] = {}

    def of(self, version: Version) -> Child:
        """Answer a living child with this version of the strategy, started if need be."""
        with self._lock:
            if self._pid != os.getpid():
                # After a fork: they belong to the process that started them.
                self._pid, self._running = os.getpid(), {}
            self._reap(but=version)
            child = self._running.get(version)
            if child is None or not child.is_alive:
                child = self._running[version] = Child(version.path, version.text, self._limits)
            # Whoever has it in hand is about to ask.
            child.asked_at = time.monotonic()
            return child

    def ask(self, version: Version, question: bytes) -> bytes:
        """Ask a strategy's child; BrokenStrategy for what it does wrong."""
        with suppress(Died):
            return self.of(version).ask(question)
        try:
            # It may have been the machine that ended it, and the same question has the same answer.
            return self.of(version).ask(question)
        except Died as error:
            raise BrokenStrategy(str(error)) from None

    def close(self) -> None:
        """End all of them."""
        with self._lock:
            for child in self._running.values():
                child.close()
            self._running = {}

    def _reap(self, *, but: Version) -> None:
        others = sorted((version for version in self._running if version != but), key=lambda one: self._running[one].asked_at)
        too_many = max(len(others) - (CHILDREN_MAX - 1), 0)
        idle = [one for one in others[too_many:] if self._running[one].asked_at < time.monotonic() - IDLE_SECONDS]
        for version in [*others[:too_many], *idle]:
            self._running.pop(version).close()
