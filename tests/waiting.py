"""Wait for something to become so: as long as a slow machine needs, and no longer than it takes."""

from __future__ import annotations

import time
from collections.abc import Callable

PATIENCE_SECONDS = 60.0


def wait_until(is_so: Callable[[], bool], *, seconds: float = PATIENCE_SECONDS, say: Callable[[], str] = str) -> None:
    """Wait until something is so; raise AssertionError with what `say` tells when it does not come in time."""
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, f"waited {seconds:g} s in vain {say()}"
        time.sleep(0.1)
