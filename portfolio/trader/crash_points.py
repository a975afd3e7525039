"""Die where a test wants it: proof that a crash at any line loses and doubles nothing."""

from __future__ import annotations

import os
from collections import Counter
from typing import Final

VARIABLE: Final = "CRASH_POINT"
KILLED: Final = 137

_passed: Counter[str] = Counter()


def crash_point(name: str) -> None:
    """End the process without a word at the k-th pass, if the environment says `CRASH_POINT=name:k`."""
    wanted = os.environ.get(VARIABLE)
    if not wanted:
        return
    _passed[name] += 1
    if wanted == f"{name}:{_passed[name]}":
        os._exit(KILLED)
