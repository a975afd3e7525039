"""Do errands to Valkey beside the work: whoever has one never waits for it, whatever state Valkey is in (R11)."""

from __future__ import annotations

import atexit
import logging
import threading
import time
from collections.abc import Callable
from queue import Full, Queue
from typing import Final

# Nothing of it is the truth: what finds no room is dropped, and found by those who look from time to time.
WAITING_MAX: Final = 1000
# A process that ends gives its last errands so long.
_LAST_SECONDS: Final = 2.0
_POLL_SECONDS: Final = 0.01

log = logging.getLogger(__name__)


class Errands:
    """One thread that does what it is given, in order."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._queue: Queue[Callable[[], None]] = Queue(WAITING_MAX)
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def leave(self, errand: Callable[[], None]) -> bool:
        """Leave an errand and go on; False when there was no room for it."""
        self._begin()
        try:
            self._queue.put_nowait(errand)
        except Full:
            log.warning("errands.dropped name=%s", self._name)
            return False
        return True

    def waiting(self) -> int:
        """Return how many are not done yet."""
        return self._queue.unfinished_tasks

    def finish(self, seconds: float = _LAST_SECONDS) -> bool:
        """Wait until all are done, but not for long; answer whether they are."""
        until = time.monotonic() + seconds
        while self.waiting() and time.monotonic() < until:
            time.sleep(_POLL_SECONDS)
        return not self.waiting()

    def _begin(self) -> None:
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name=f"errands {self._name}", daemon=True)
                self._thread.start()
                atexit.register(self.finish)

    def _run(self) -> None:
        while True:
            errand = self._queue.get()
            try:
                errand()
            except Exception:
                # The outermost loop of this thread: one errand that fails must not keep the others.
                log.exception("errands.failed name=%s", self._name)
            finally:
                self._queue.task_done()
