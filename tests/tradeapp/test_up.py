"""The whole system: one command starts it, nothing stops it by accident, and nothing of it stays behind."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import psutil
import pytest

from tests.waiting import wait_until

PROJECT = Path(__file__).resolve().parent.parent.parent
START_SECONDS_MAX = 180
PROCESSES = ("postgres", "valkey", "venue", "web", "trader", "feed", "worker trading", "worker backtests", "beat")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


class System:
    """One `manage.py up` in a data directory of its own."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.port = free_port()
        self.lines: list[str] = []
        self.process = self.run("--market", "synthetic")
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @classmethod
    @contextlib.contextmanager
    def running(cls, prefix: str) -> Iterator[Self]:
        """Start one in a folder of its own, and stop it as an operator does."""
        # Not under pytest's own folder, which only its owner may enter: root's servers run under another account.
        with tempfile.TemporaryDirectory(prefix=prefix) as folder:
            Path(folder).chmod(0o711)
            system = cls(Path(folder) / "data")
            try:
                system.wait_ready()
                yield system
            finally:
                system.process.send_signal(signal.SIGINT)
                system.process.wait(30)

    def run(self, *words: str) -> subprocess.Popen[str]:
        own = {name: value for name, value in os.environ.items() if name not in {"DATABASE_URL", "REDIS_URL"}}
        return subprocess.Popen(
            [sys.executable, "manage.py", "up", "--port", str(self.port), *words],
            cwd=PROJECT,
            env=own | {"TRADEAPP_DATA_DIR": str(self.data_dir), "TRADEAPP_PROCESS": "command", "PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def _read(self) -> None:
        assert self.process.stdout is not None
        self.lines.extend(self.process.stdout)

    def is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/api/v1/ready", timeout=2) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def wait_ready(self) -> float:
        began = time.monotonic()
        wait_until(lambda: self.is_ready() or self.process.poll() is not None, seconds=START_SECONDS_MAX, say=self.output)
        assert self.process.poll() is None, self.output()
        wait_until(lambda: "Sign in once" in self.output(), say=self.output)
        return time.monotonic() - began

    def output(self) -> str:
        return "".join(self.lines)

    def pid_of(self, name: str) -> int:
        """Return the pid that was printed last for a process."""
        return int(re.findall(rf"^{name}[ 0-9]* +pid (\d+)", self.output(), re.MULTILINE)[-1])

    def everything(self) -> list[psutil.Process]:
        """Return all living processes that know this data directory."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                words = [*process.environ().values(), *process.cmdline()]
                if process.pid != os.getpid() and any(str(self.data_dir) in word for word in words):
                    found.append(process)
        return found


@pytest.fixture(scope="module")
def system() -> Iterator[System]:
    with System.running("tradeapp-up-") as running:
        yield running


def test_every_process_has_its_line(system: System) -> None:
    assert [name for name in PROCESSES if not re.search(rf"^{name}[ 0-9]* +pid", system.output(), re.MULTILINE)] == []


def test_the_printed_link_opens(system: System) -> None:
    link = re.findall(r"http://\S+/sign-in/\S+", system.output())[-1]

    with urllib.request.urlopen(link, timeout=60) as answer:
        assert answer.status == 200


def test_a_second_start_in_the_same_data_directory_is_refused(system: System) -> None:
    second = system.run()
    output, _ = second.communicate(timeout=60)

    assert second.returncode == 1
    assert "already runs in" in output
    assert "Traceback" not in output
    assert system.is_ready()


def test_a_port_in_use_is_explained(system: System, tmp_path: Path) -> None:
    answer = subprocess.run(
        [sys.executable, "manage.py", "up", "--port", str(system.port)],
        cwd=PROJECT,
        env=os.environ | {"TRADEAPP_DATA_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert answer.returncode == 1
    assert f"Port {system.port}" in answer.stderr
    assert "make run PORT=" in answer.stderr
    assert "Traceback" not in answer.stderr


@pytest.mark.parametrize("name", ["worker trading", "valkey", "venue", "postgres", "trader", "web"])
def test_a_killed_process_comes_back(system: System, name: str) -> None:
    killed = system.pid_of(name)

    os.kill(killed, signal.SIGKILL)

    wait_until(lambda: system.pid_of(name) != killed, say=system.output)
    wait_until(system.is_ready, seconds=90, say=system.output)


def test_stopping_and_starting_again(system: System) -> None:
    """Ctrl-C, a second start, and `kill -9`: in one test, because each needs what the one before left."""
    began = time.monotonic()
    system.process.send_signal(signal.SIGINT)
    system.process.wait(30)
    print(f"everything had ended after {time.monotonic() - began:.1f} s")
    assert system.process.returncode == 0
    assert system.everything() == []

    again = System(system.data_dir)
    try:
        again.wait_ready()
        assert again.everything()
    finally:
        again.process.kill()
    again.process.wait(10)
    wait_until(lambda: again.everything() == [], say=lambda: str(again.everything()))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
