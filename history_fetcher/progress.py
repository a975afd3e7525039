"""How far a run is, how fast, and how long it will take."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TextIO

TELL_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Look:
    """Progress at one moment."""

    stage: str
    done: int
    total: int
    rows: int
    bytes: int
    bytes_per_second: float
    rows_per_second: float
    # None until anything can be said.
    seconds_left: float | None


class Progress:
    """Counts what is done; tells a listener at most once a second."""

    def __init__(self, tell: Callable[[Look], None] = lambda _look: None) -> None:
        self._tell = tell
        self._lock = threading.Lock()
        self._told_at = 0.0
        self._began = time.monotonic()
        self.stage, self.done, self.total, self.rows, self.bytes = "looking", 0, 0, 0, 0

    def begin(self, stage: str, total: int) -> None:
        """Enter a stage of so many steps."""
        with self._lock:
            self.stage, self.done, self.total, self._began = stage, 0, total, time.monotonic()
            self.rows = self.bytes = 0
        self._say(is_due=True)

    def add(self, *, done: int = 0, rows: int = 0, size: int = 0) -> None:
        """Count what was done."""
        with self._lock:
            self.done = min(self.done + done, self.total)
            self.rows += rows
            self.bytes += size
        self._say(is_due=self.done == self.total and bool(done))

    def look(self) -> Look:
        """Answer where the run stands."""
        with self._lock:
            elapsed = max(time.monotonic() - self._began, 1e-3)
            left = elapsed / self.done * (self.total - self.done) if self.done else None
            return Look(self.stage, self.done, self.total, self.rows, self.bytes, self.bytes / elapsed, self.rows / elapsed, left)

    def _say(self, *, is_due: bool) -> None:
        now = time.monotonic()
        if is_due or now - self._told_at >= TELL_SECONDS:
            self._told_at = now
            self._tell(self.look())


def teller(stream: TextIO | None = None) -> Callable[[Look], None]:
    """Make a listener that keeps a terminal's last line, or writes lines where there is no terminal."""
    out = stream or sys.stderr
    is_terminal = out.isatty()

    def tell(look: Look) -> None:
        share = f"{look.done}/{look.total}" if look.total else ""
        left = "" if look.seconds_left is None else f", {_duration(look.seconds_left)} left"
        text = (
            f"{look.stage} {share}  {look.bytes / 1e6:.1f} MB at {look.bytes_per_second / 1e6:.1f} MB/s, {look.rows:,} rows{left}"
        )
        out.write(f"\r\x1b[K{text}" if is_terminal else f"{text}\n")
        out.flush()

    return tell


def _duration(seconds: float) -> str:
    whole = round(seconds)
    return f"{whole // 3600}:{whole % 3600 // 60:02}:{whole % 60:02}" if whole >= 3600 else f"{whole // 60}:{whole % 60:02}"
