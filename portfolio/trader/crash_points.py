"""Die or stand still where a test wants it: proof that a crash or a pause at any line loses and doubles nothing."""

from __future__ import annotations

import os
import signal
from collections import Counter
from typing import Final

VARIABLE: Final = "CRASH_POINT"
PAUSE_VARIABLE: Final = "PAUSE_POINT"
KILLED: Final = 137

_passed: Counter[str] = Counter()


def crash_point(name: str) -> None:
    """End or freeze the process at the k-th pass, if the environment says `CRASH_POINT=name:k` or `PAUSE_POINT=name:k`."""
    death, pause = os.environ.get(VARIABLE), os.environ.get(PAUSE_VARIABLE)
    if not death and not pause:
        return
    _passed[name] += 1
    place = f"{name}:{_passed[name]}"
    if place == death:
        os._exit(KILLED)
    if place == pause:
        # As a machine that is suspended, or a process that waits for its memory: it knows nothing of the time that passes.
        os.kill(os.getpid(), signal.SIGSTOP)
