"""Run processes until asked to stop: start, watch, restart with back-off, end all."""

from __future__ import annotations

import contextlib
import os
import secrets
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from tradeapp.up import run_file, sweep
from tradeapp.up.child import START_MARK, Child, ProcessSpec
from tradeapp.up.trouble import UnableToStart
from tradeapp.up.watchdog import FAREWELL

POLL_SECONDS = 0.1
# With both waits below they stay under the five seconds of a Ctrl-C. What an earlier phase leaves over is a later one's.
GRACE_SECONDS = {0: 2.0, 1: 0.8, 2: 1.0}
LATE_GRACE_SECONDS = 0.3
# A process that was killed amid a write to a slow disk is there until the write is done. All are waited for together.
_GONE_SECONDS = 0.6
LOG_BYTES_MAX = 20_000_000
LOG_CHECK_SECONDS = 30.0


class StopRequested(Exception):
    """Somebody asked the system to stop while it was starting."""


class Supervisor:
    """The parent of all processes of one run. Used as a context manager: leaving it ends them all."""

    def __init__(self, *, data_dir: Path, project: Path, say: Callable[[str], None]) -> None:
        """Prepare a run; nothing is started yet."""
        self.token = secrets.token_hex(8)
        self._say = say
        self._project = project
        self._logs = data_dir / "logs"
        self._runs = data_dir / "run"
        self._children: dict[str, Child] = {}
        self._stop_requested = False
        self._log_checked_at = 0.0

    def __enter__(self) -> Self:
        """Sweep what earlier runs left, and start the watchdog."""
        try:
            self._logs.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._runs.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._sweep_earlier_runs()
            self._run = run_file.create(self._runs, self.token)
        except OSError as error:
            raise UnableToStart(f"{self._runs} cannot be written: {error.strerror}. Free some space or permissions.") from error
        self._wake_reader, self._wake_writer = socket.socketpair()
        self._wake_reader.setblocking(False)
        self._wake_writer.setblocking(False)
        signal.set_wakeup_fd(self._wake_writer.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._request_stop)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        self._watchdog = self._start_watchdog()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        """End every process, and dismiss the watchdog."""
        self._stop_all()
        # Whole groups are gone by now; only what left for a session of its own can still be there.
        for name in sweep.sweep(self._run, grace_seconds=LATE_GRACE_SECONDS):
            self._say(f"{name:<18} ended late")
        with contextlib.suppress(OSError):
            assert self._watchdog.stdin is not None
            self._watchdog.stdin.write(FAREWELL)
            self._watchdog.stdin.close()
        self._watchdog.wait()

    def child_environment(self, extra: Mapping[str, str]) -> dict[str, str]:
        """Return an environment marked as belonging to this run."""
        return {**extra, run_file.TOKEN_VARIABLE: self.token}

    def start(self, spec: ProcessSpec) -> None:
        """Start a process and keep it running."""
        child = Child(spec=spec, log=self._logs / f"{spec.name.replace(' ', '-')}.log")
        self._children[spec.name] = child
        self._start(child)

    def wait_ready(self, *names: str, seconds: float = 30.0) -> None:
        """Wait until processes are ready; a process that ends before it ever was ready stops the start."""
        waiting = set(names)
        deadline = time.monotonic() + seconds
        while waiting:
            for name in sorted(waiting):
                child = self._children[name]
                code = child.reap()
                if code is not None:
                    raise UnableToStart(
                        f"{name} ended at once (exit {code}): {child.last_words() or 'it said nothing'}. Its log: {child.log}"
                    )
                if child.spec.is_ready is None or child.spec.is_ready():
                    waiting.discard(name)
            if waiting and time.monotonic() > deadline:
                stuck = min(waiting)
                raise UnableToStart(f"{stuck} is not ready after {seconds:g} s. Its log: {self._children[stuck].log}")
            if waiting:
                self.pause(POLL_SECONDS / 2)

    def run_once(self, spec: ProcessSpec, *, seconds: float) -> str:
        """Run a step to its end and return what it printed; its messages go to its log."""
        log = self._logs / f"{spec.name}.log"
        with log.open("ab") as errors:
            errors.write(START_MARK)
            errors.flush()
            process = subprocess.Popen(
                spec.command,
                env=dict(spec.environment),
                cwd=spec.directory,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,
            )
        self._run.add(name=spec.name, pid=process.pid, end_signal=signal.SIGTERM)
        deadline = time.monotonic() + seconds
        output = b""
        assert process.stdout is not None
        os.set_blocking(process.stdout.fileno(), False)
        try:
            while process.poll() is None:
                output += process.stdout.read() or b""
                if time.monotonic() > deadline:
                    raise UnableToStart(f"{spec.name} takes longer than {seconds:g} s. Its log: {log}")
                self.pause(POLL_SECONDS / 2)
        except BaseException:
            process.kill()
            process.wait()
            raise
        output += process.stdout.read() or b""
        process.stdout.close()
        if process.returncode:
            words = Child(spec=spec, log=log).last_words(lines=2)
            raise UnableToStart(f"{spec.name} failed (exit {process.returncode}): {words}. Its log: {log}")
        return output.decode()

    def pause(self, seconds: float) -> None:
        """Wait for a moment or a signal; raise if somebody asked to stop."""
        select.select([self._wake_reader], [], [], seconds)
        with contextlib.suppress(BlockingIOError):
            self._wake_reader.recv(4096)
        if self._stop_requested:
            raise StopRequested

    def keep_running(self, *, until: Callable[[], bool]) -> None:
        """Watch all processes, restarting those that end, until a condition holds or somebody asks to stop."""
        while not until():
            self._tend()
            self.pause(POLL_SECONDS)

    def _tend(self) -> None:
        for child in self._children.values():
            code = child.reap()
            if code is not None:
                wait = child.schedule_restart()
                self._say(f"{child.spec.name:<18} ended ({_ending(code)}), again in {wait:g} s; log {child.log}")
            if not child.is_running and time.monotonic() >= child.start_at:
                self._start(child)
        if self._watchdog.poll() is not None:
            self._watchdog = self._start_watchdog()
        if time.monotonic() - self._log_checked_at > LOG_CHECK_SECONDS:
            self._log_checked_at = time.monotonic()
            for child in self._children.values():
                child.shorten_log(LOG_BYTES_MAX)

    def _start(self, child: Child) -> None:
        try:
            process = child.start()
        except OSError as error:
            wait = child.schedule_restart()
            self._say(f"{child.spec.name:<18} cannot start ({error.strerror}), again in {wait:g} s")
            return
        try:
            self._run.add(name=child.spec.name, pid=process.pid, end_signal=child.spec.end_signal)
        except OSError as error:
            # The token in the child's environment still identifies it.
            self._say(f"{self._run.path} cannot be written ({error.strerror}): free some space")
        self._say(f"{child.spec.name:<18} pid {process.pid:<8}{child.spec.note}".rstrip())

    def _stop_all(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        deadline = time.monotonic()
        groups: list[int] = []
        for phase, grace in GRACE_SECONDS.items():
            deadline += grace
            running = [child for child in self._children.values() if child.spec.stop_phase == phase and child.is_running]
            for child in running:
                child.ask_to_end()
            groups += [child.process.pid for child in running if child.process is not None]
            while any(child.is_running for child in running) and time.monotonic() < deadline:
                for child in running:
                    child.reap()
                time.sleep(0.02)
            for child in running:
                child.kill_group()
        self._await_end(groups, time.monotonic() + _GONE_SECONDS)

    def _await_end(self, groups: list[int], deadline: float) -> None:
        """Wait until nothing of these process groups is left, or the time is over."""
        while groups and time.monotonic() < deadline:
            for child in self._children.values():
                child.reap()
            groups = [group for group in groups if _is_there(group)]
            time.sleep(0.01 * bool(groups))

    def _start_watchdog(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", "tradeapp.up.watchdog", str(self._run.path)],
            cwd=self._project,
            stdin=subprocess.PIPE,
            start_new_session=True,
        )

    def _sweep_earlier_runs(self) -> None:
        for run in run_file.earlier_runs(self._runs):
            for name in sweep.sweep(run):
                self._say(f"{name:<18} of an earlier run was still there and was ended")

    def _request_stop(self, _number: int, _frame: object) -> None:
        self._stop_requested = True


def _is_there(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        # It belongs to the servers' own account, so it is there.
        return True
    return True


def _ending(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit {code}"
