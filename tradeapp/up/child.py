"""One supervised process: how it is started, watched and ended, with all its descendants."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tradeapp.up import death
from tradeapp.up.server_account import ServerAccount

BACK_OFF_SECONDS: tuple[float, ...] = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
# A process that ran this long had a good start: its next crash begins with the shortest wait again.
STABLE_SECONDS = 60.0
START_MARK = b"--- start ---\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessSpec:
    """What to run, and how to end it."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    directory: Path
    account: ServerAccount | None = None
    end_signal: signal.Signals = signal.SIGTERM
    # Processes of a lower number are ended first: writers before the servers they write to.
    stop_phase: int = 0
    note: str = ""
    is_ready: Callable[[], bool] | None = None


@dataclass(slots=True)
class Child:
    """A process that runs, or waits for its next start."""

    spec: ProcessSpec
    log: Path
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    failures: int = 0
    start_at: float = field(default_factory=time.monotonic)

    @property
    def is_running(self) -> bool:
        """Tell whether the process runs, as far as we have seen."""
        return self.process is not None

    def start(self) -> subprocess.Popen[bytes]:
        """Start the process in a session of its own, its output appended to its log."""
        account = self.spec.account
        with self.log.open("ab", buffering=0) as log:
            # A full disk keeps no process from its work.
            with contextlib.suppress(OSError):
                log.write(START_MARK)
            self.process = subprocess.Popen(
                self.spec.command,
                env=dict(self.spec.environment),
                cwd=self.spec.directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                # The supervisor starts children from its main and only thread.
                preexec_fn=death.follow_parent(self.spec.end_signal),  # noqa: PLW1509
                **(account.process_user() if account else {}),
            )
        self.started_at = time.monotonic()
        return self.process

    def reap(self) -> int | None:
        """Return the exit code if the process has ended, after ending whatever it left behind."""
        process = self.process
        if process is None:
            return None
        if not os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            return None
        # Not yet reaped, so its number cannot belong to a stranger's group.
        self.kill_group()
        code = process.wait()
        self.process = None
        return code

    def schedule_restart(self) -> float:
        """Decide when to start again and return the seconds until then."""
        if time.monotonic() - self.started_at >= STABLE_SECONDS:
            self.failures = 0
        wait = BACK_OFF_SECONDS[min(self.failures, len(BACK_OFF_SECONDS) - 1)]
        self.failures += 1
        self.start_at = time.monotonic() + wait
        return wait

    def ask_to_end(self) -> None:
        """Send the signal on which the process ends by itself."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                # Not Popen.send_signal: it reaps a process that has just ended, behind the back of `reap`.
                os.kill(self.process.pid, self.spec.end_signal)

    def kill_group(self) -> None:
        """End the process and its children at once."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)

    def shorten_log(self, most: int) -> None:
        """Begin a log anew that is longer than this; its content stays beside it where the disk has room."""
        older = self.log.with_suffix(".log.1")
        with contextlib.suppress(OSError):
            if self.log.stat().st_size <= most:
                return
            try:
                shutil.copyfile(self.log, older)
            except OSError:
                older.unlink(missing_ok=True)
            # Writers append, so they go on at the new beginning.
            os.truncate(self.log, 0)

    def last_words(self, lines: int = 1) -> str:
        """Return the last lines of the log, where a process says why it ended."""
        try:
            with self.log.open("rb") as log:
                log.seek(0, os.SEEK_END)
                log.seek(max(0, log.tell() - 4096))
                text = log.read().rpartition(START_MARK)[2]
        except OSError:
            return ""
        found = text.decode(errors="replace").splitlines()
        return " / ".join([line.strip() for line in found if line.strip()][-lines:]).rstrip(".")
