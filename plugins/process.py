"""One child and the parent's end of its channel: asked, waited for, and killed when it does not answer."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from plugins import wire
from strategies.sources import BrokenStrategy

PROJECT: Final = Path(__file__).resolve().parent.parent
# What a child may know of our environment: nothing that opens a door.
PASSED_ON: Final = ("PATH", "LANG", "LC_ALL", "TZ")
START_SECONDS: Final = 60
# After so much of a processor for one answer a child ends itself, should nobody be left to end it.
ORPHAN_SECONDS: Final = 600
# An answer that is not there so soon is waited for with an eye on the processor's time.
SOON_SECONDS: Final = 0.05
GLANCE_SECONDS: Final = 0.1
# After which a child that was asked where it stands has said so.
FAREWELL_SECONDS: Final = 3.0
ERROR_MAX: Final = 500
# Of what a child says on its error channel: what is read of it, and what is kept.
WORDS_BYTES_MAX: Final = 20_000
WORDS_KEPT_MAX: Final = 100_000


class Refused(ValueError):
    """The strategy's own check of its parameters refuses these."""


class Died(BrokenStrategy):
    """The process of a strategy ended before it answered."""


class _UsedUp(Exception):
    """The child has used its processor's time."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a user's strategy may use for one answer."""

    # Of a processor.
    seconds: float = 3
    # By the clock: who sleeps keeps the other bots of its account waiting.
    seconds_waited: float = 10
    # Of address space: the numeric libraries reserve far more than they use.
    megabytes: int = 2048


class Child:
    """A user's strategy in a process of its own."""

    def __init__(self, path: Path, text: bytes, limits: Limits) -> None:
        """Start the process and have it run the text of the file; BrokenStrategy if that fails."""
        self.path = path
        self.asked_at = time.monotonic()
        self._limits = limits
        self._lock = threading.RLock()
        self._said_before = 0
        ours, theirs = socket.socketpair()
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the child.
        environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        # One thread, nothing compiled, nothing written.
        environment |= {"PYTHONPATH": str(PROJECT), "PYTHONDONTWRITEBYTECODE": "1", "NUMBA_DISABLE_JIT": "1"}
        environment |= {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "PYTHONSAFEPATH": "1"}
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "plugins.child", str(theirs.fileno())],
                cwd="/",
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=self._said,
                stderr=self._said,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        self._channel = ours
        head = json.dumps({"path": str(path), "megabytes": limits.megabytes, "seconds": ORPHAN_SECONDS}).encode()
        try:
            self.description = self.ask(head + b"\n" + text, limits=Limits(START_SECONDS, START_SECONDS, limits.megabytes))
        except BrokenStrategy:
            self.close()
            raise

    def ask(self, question: bytes, *, limits: Limits | None = None) -> bytes:
        """Ask and wait for the answer; BrokenStrategy for an error, and for a child that is gone or takes too long."""
        limits = limits or self._limits
        with self._lock:
            self.asked_at = time.monotonic()
            try:
                self._forget_words()
                self._channel.settimeout(limits.seconds_waited)
                wire.send(self._channel, question)
                answer = self._receive(limits)
            except TimeoutError:
                raise BrokenStrategy(self._stopped(f"{limits.seconds_waited:g} seconds by the clock")) from None
            except _UsedUp:
                raise BrokenStrategy(self._stopped(f"{limits.seconds:g} seconds of a processor")) from None
            except wire.TooLong as error:
                self.close()
                raise BrokenStrategy(f"{self.path.name}: {error}") from None
            except (wire.Closed, OSError, ValueError):
                raise Died(self._last_words()) from None
            finally:
                self.asked_at = time.monotonic()
        kind, told = answer[:1], answer[1:]
        if kind == wire.DONE:
            return told
        if kind == wire.REFUSED and question[:1] == wire.CHECK:
            raise Refused(_printable(told))
        nonsense = f"{self.path.name}: its process answers nothing that makes sense"
        raise BrokenStrategy(_printable(told) if kind == wire.ERROR else nonsense)

    def _receive(self, limits: Limits) -> bytes:
        """Wait for the answer; who has used its processor's time is stopped before all of the clock's has passed."""
        if not _readable(self._channel, SOON_SECONDS):
            before = self._used()
            while not _readable(self._channel, GLANCE_SECONDS):
                if self._used() - before >= limits.seconds:
                    raise _UsedUp
                if time.monotonic() - self.asked_at >= limits.seconds_waited:
                    raise TimeoutError
        return wire.receive(self._channel, seconds=limits.seconds_waited)

    @property
    def is_alive(self) -> bool:
        """Say whether it can be asked."""
        return self._process.poll() is None

    def close(self) -> None:
        """End the process and whatever it may have started."""
        with self._lock:
            self._channel.close()
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._said.close()

    def _used(self) -> float:
        try:
            times = psutil.Process(self._process.pid).cpu_times()
        except psutil.Error:
            return 0.0
        return float(times.user + times.system)

    def _stopped(self, used: str) -> str:
        """Kill a child that does not answer, and say at which line of the user's file it stood."""
        with suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGUSR1)
        self._wait_for_words()
        where, _ = self._where()
        self.close()
        return f"{where}: it used more than {used} for one answer"

    def _wait_for_words(self) -> None:
        """Wait until a line of the file is told; it comes piece by piece."""
        until = time.monotonic() + FAREWELL_SECONDS
        while not self._lines(self._words()) and time.monotonic() < until:
            time.sleep(0.02)

    def _lines(self, said: str) -> list[str]:
        return re.findall(rf'File "{re.escape(str(self.path))}", line (\d+),? in ', said)

    def _last_words(self) -> str:
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(FAREWELL_SECONDS)
        code = self._process.poll()
        where, last = self._where()
        self.close()
        if code == -signal.SIGXCPU:
            return f"{where}: it used more time of a processor than it may"
        if "MemoryError" in last or "Cannot allocate memory" in last:
            return f"{where}: it used more than {self._limits.megabytes} MB"
        return f"{where}: its process ended: {last or f'code {code}'}"

    def _where(self) -> tuple[str, str]:
        """Answer the line of the user's file that the child's last words name, and the last of those words."""
        said = self._words()
        lines = self._lines(said)
        words = [line for line in said.strip().splitlines() if line.strip() and not line.lstrip().startswith("File ")]
        last = next((line for line in words if line.startswith("Fatal Python error")), words[-1] if words else "")
        return f"{self.path.name}:{lines[0]}" if lines else self.path.name, _printable(last.encode())

    def _forget_words(self) -> None:
        """Take for its last words those that follow; who says much for months does not run into the limit of its file."""
        number = self._said.fileno()
        if os.fstat(number).st_size > WORDS_KEPT_MAX:
            os.ftruncate(number, 0)
            os.lseek(number, 0, os.SEEK_SET)
        self._said_before = os.fstat(number).st_size

    def _words(self) -> str:
        if self._said.closed:
            return ""
        number = self._said.fileno()
        begins = max(self._said_before, os.fstat(number).st_size - WORDS_BYTES_MAX)
        # The place in the file is the child's, which writes there: who moved it to read would have it write over its own words.
        return os.pread(number, WORDS_BYTES_MAX, begins).decode("utf-8", "replace")


def _readable(channel: socket.socket, seconds: float) -> bool:
    channel.settimeout(seconds)
    try:
        # Nothing is an answer as well: the other side is gone, which `receive` finds out.
        channel.recv(1, socket.MSG_PEEK)
    except TimeoutError:
        return False
    return True


def _printable(text: bytes) -> str:
    words = text.decode("utf-8", "replace")[:ERROR_MAX]
    return "".join(letter if letter.isprintable() else " " for letter in words)
