"""A real exchange process on its own ports, for tests."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 20.0


class VenueProcess:
    """An exchange that can be killed and started again on the same books."""

    python = sys.executable

    def __init__(self, data_dir: Path, *words: str) -> None:
        self.data_dir = data_dir
        self.words = words
        self.port, self.control_port = _free_port(), _free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """Return host and port of REST and WebSocket."""
        return f"127.0.0.1:{self.port}"

    def start(self, *, file_bytes_max: int | None = None) -> None:
        """Start it and wait until it answers; with a limit, no file of it may grow beyond."""
        ports = ["--port", str(self.port), "--control-port", str(self.control_port)]
        command = [self.python, "-m", "venue", "--data-dir", str(self.data_dir), *ports, *self.words]
        with (self.data_dir.parent / "venue.log").open("ab") as log:
            self._process = subprocess.Popen(command, cwd=ROOT, stderr=log, stdout=log)
        if file_bytes_max is not None:
            resource.prlimit(self._process.pid, resource.RLIMIT_FSIZE, (file_bytes_max, file_bytes_max))
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError, http.client.HTTPException):
                self.control("GET", "/control/clock")
                return
            if self._process.poll() is not None:
                break
            time.sleep(0.05)
        raise AssertionError(f"The venue did not start: {(self.data_dir.parent / 'venue.log').read_text()}")

    def kill(self) -> None:
        """End it at once, without a chance to say goodbye."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """End it politely and return its exit code."""
        return self._end(signal.SIGTERM)

    def wait_end(self) -> tuple[int, str]:
        """Wait until it ends by itself; return its exit code and what it said."""
        assert self._process is not None
        code = self._process.wait(timeout=60)
        self._process = None
        return code, (self.data_dir.parent / "venue.log").read_text()

    def control(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """Ask the control address; a refusal is returned like any answer."""
        return self.control_status(method, path, body)[1]

    def control_status(self, method: str, path: str, body: dict[str, Any] | None = None) -> tuple[int, Any]:
        """Ask the control address for status and body."""
        return _ask(self.control_port, method, path, json.dumps(body) if body is not None else None, {})

    def ask(self, method: str, path: str, headers: dict[str, str] | None = None) -> tuple[int, Any]:
        """Ask the public address for status and body."""
        return _ask(self.port, method, path, None, headers or {})

    def open_account(self, name: str = "demo", **balances: str) -> dict[str, str]:
        """Open an account and return uid and keys."""
        keys: dict[str, str] = self.control("POST", "/control/accounts", {"name": name, "balances": balances})
        return keys

    def _end(self, number: signal.Signals) -> int:
        if self._process is None:
            return 0
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._process.pid, number)
        code = self._process.wait(timeout=60)
        self._process = None
        return code


def _ask(port: int, method: str, path: str, body: str | None, headers: dict[str, str]) -> tuple[int, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=70)
    try:
        connection.request(method, path, body=body, headers=headers)
        answer = connection.getresponse()
        text = answer.read().decode()
        return answer.status, json.loads(text) if text.startswith(("{", "[")) else text
    finally:
        connection.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
