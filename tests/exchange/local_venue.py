"""A real local exchange for tests of the adapters: started once a module, with its control address."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[2]


@dataclass
class LocalVenue:
    rest_port: int
    control_port: int

    @property
    def rest_url(self) -> str:
        return f"http://127.0.0.1:{self.rest_port}"

    @property
    def stream_url(self) -> str:
        return f"ws://127.0.0.1:{self.rest_port}"

    def ask(self, path: str, body: dict[str, Any] | None = None, *, method: str | None = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.control_port}{path}", data=data, method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            content = answer.read()
        return json.loads(content) if content else None

    def arm(self, *rules: dict[str, Any]) -> None:
        self.ask("/control/faults", {"seed": 7, "rules": list(rules)})

    def disarm(self) -> None:
        self.ask("/control/faults", method="DELETE")

    def firings(self, action: str) -> list[dict[str, Any]]:
        return [row for row in self.ask("/control/faults")["firings"] if row["action"] == action]

    def public(self, path: str) -> Any:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.rest_port}{path}", timeout=60) as answer:
            return json.load(answer)


@contextmanager
def running(directory: Path, *options: str) -> Iterator[LocalVenue]:
    found = LocalVenue(free_port(), free_port())
    command = [sys.executable, "-m", "venue", "--data-dir", str(directory), *options]
    ports = ["--port", str(found.rest_port), "--control-port", str(found.control_port)]
    process = subprocess.Popen([*command, *ports], cwd=PROJECT, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 30
    while True:
        try:
            found.ask("/control/clock")
            break
        except OSError:
            assert time.monotonic() < deadline, "The venue did not start."
            time.sleep(0.05)
    try:
        yield found
    finally:
        process.terminate()
        process.wait(10)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        number: int = listener.getsockname()[1]
        return number
