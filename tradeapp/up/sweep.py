"""End what a supervisor left behind, and nothing else."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Collection

import psutil

from tradeapp.up.run_file import TOKEN_VARIABLE, RunFile

GRACE_SECONDS = 3.0


def sweep(run: RunFile, *, grace_seconds: float = GRACE_SECONDS) -> list[str]:
    """End every process of a run: first politely, then for good. Return the names of those found."""
    leaders = {process.pid: child for child in run.children.values() if (process := child.find())}
    found = {pid: psutil.Process(pid) for pid in leaders if psutil.pid_exists(pid)}
    found |= {process.pid: process for process in _descendants(run.token)}
    for pid, process in found.items():
        end_signal = leaders[pid].end_signal if pid in leaders else int(signal.SIGTERM)
        with contextlib.suppress(psutil.Error):
            # psutil checks the start time again: a reused pid is never signalled.
            process.send_signal(end_signal)
    _wait(found.values(), grace_seconds)
    last = {process.pid: process for process in _descendants(run.token)} | found
    for process in last.values():
        with contextlib.suppress(psutil.Error):
            process.kill()
    _wait(last.values(), GRACE_SECONDS)
    run.remove()
    return sorted({leaders[pid].name if pid in leaders else f"pid {pid}" for pid in found})


def _descendants(token: str) -> list[psutil.Process]:
    """Return the processes that carry the token in their environment: children of children included."""
    found = []
    for process in psutil.process_iter():
        if process.pid == os.getpid():
            continue
        with contextlib.suppress(psutil.Error, OSError):
            if process.environ().get(TOKEN_VARIABLE) == token:
                found.append(process)
    return found


def _wait(processes: Collection[psutil.Process], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while any(_lives(process) for process in processes) and time.monotonic() < deadline:
        time.sleep(0.02)


def _lives(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        # A zombie has ended; it only waits for its new parent to take note.
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False
