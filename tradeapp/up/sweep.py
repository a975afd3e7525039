"""End what a supervisor left behind, and nothing else."""

from __future__ import annotations

import contextlib
import os
import signal

import psutil

from tradeapp.up.run_file import TOKEN_VARIABLE, RunFile

GRACE_SECONDS = 3.0


def sweep(run: RunFile) -> list[str]:
    """End every process of a run: first politely, then for good. Return the names of those found."""
    leaders = {process.pid: child for child in run.children.values() if (process := child.find())}
    found = {pid: psutil.Process(pid) for pid in leaders if psutil.pid_exists(pid)}
    found |= {process.pid: process for process in _descendants(run.token)}
    for pid, process in found.items():
        end_signal = leaders[pid].end_signal if pid in leaders else int(signal.SIGTERM)
        with contextlib.suppress(psutil.Error):
            # psutil checks the start time again: a reused pid is never signalled.
            process.send_signal(end_signal)
    psutil.wait_procs(found.values(), timeout=GRACE_SECONDS)
    last = {process.pid: process for process in _descendants(run.token)} | found
    for process in last.values():
        with contextlib.suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(last.values(), timeout=GRACE_SECONDS)
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
