"""A worker of backtests gives way to what trades, and asks for no more memory than it may have."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tradeapp import modesty

PROJECT = Path(__file__).parents[2]
# What a thread of the worker sees that was started after the limits were set.
_WORKER = """
import json, os, threading
import numpy as np
from tradeapp import modesty
seen = {"before": os.nice(0)}
modesty.limit(memory_bytes=1 << 30)

def work():
    seen["nice"] = os.nice(0)
    try:
        np.ones(1 << 28)
    except MemoryError:
        seen["refused"] = True
    seen["after"] = float(np.ones(1 << 20).sum())

thread = threading.Thread(target=work)
thread.start()
thread.join()
print(json.dumps(seen))
"""


@pytest.mark.fault("P08")
def test_a_worker_of_backtests_is_served_last_and_bounded() -> None:
    """What is too much is refused, in the threads that do the work too, and the worker goes on with the next."""
    done = subprocess.run([sys.executable, "-c", _WORKER], capture_output=True, text=True, check=True, cwd=PROJECT, timeout=60)
    seen = json.loads(done.stdout)
    expected = min(seen["before"] + modesty.NICENESS, 19)
    assert seen == {"before": seen["before"], "nice": expected, "refused": True, "after": float(1 << 20)}


@pytest.mark.fault("P08")
@pytest.mark.parametrize(("process", "is_modest"), [("worker backtests", True), ("worker trading", False), ("web", False)])
def test_no_other_process_gives_way(settings: Any, monkeypatch: pytest.MonkeyPatch, process: str, is_modest: bool) -> None:
    limits: list[int] = []
    monkeypatch.setattr(modesty, "limit", lambda *, memory_bytes: limits.append(memory_bytes))
    settings.TRADEAPP_PROCESS = process
    modesty.begin()
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert [round(one / physical, 1) for one in limits] == ([0.5] if is_modest else [])
