"""The installation under attack: real processes, found through the data directory, read from outside."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil
import psycopg

PROJECT = Path(__file__).resolve().parents[2]
READY_SECONDS = 300.0
STOP_SECONDS = 30.0
ANSWER_SECONDS = 10.0
_TOKEN = """
from django.utils import timezone
from tradeapp import sign_in, tokens
made = tokens.create_token(name="chaos", scopes=["read"], by=sign_in.first_administrator(), now=timezone.now())
print("token:" + made[1])
"""


class Stuck(Exception):
    """Raised when something that must happen did not."""


@dataclass(frozen=True, slots=True)
class Sign:
    """A process's newest sign of life."""

    pid: int
    given_at: float
    facts: dict[str, Any]


@dataclass
class System:
    """One `up` in a data directory of its own."""

    data_dir: Path
    port: int
    speed: float = 600.0
    is_running: bool = False
    process: subprocess.Popen[bytes] | None = None
    _connection: psycopg.Connection[tuple[Any, ...]] | None = field(default=None, repr=False)

    def __enter__(self) -> Self:
        if self.is_running:
            self.port = int(self.address("DASHBOARD_URL").rpartition(":")[2])
        else:
            self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.stop()

    def start(self) -> None:
        """Start everything and wait until the bots run."""
        self.data_dir.mkdir(mode=0o711, parents=True, exist_ok=True)
        words = ["--port", str(self.port), "--market", "synthetic", "--speed", f"{self.speed:g}"]
        with (self.data_dir / "up.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tools.chaos.up", *words],
                cwd=PROJECT,
                env=self.environment("command"),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # Ctrl-C ends the series, not the system that must still be compared.
                start_new_session=True,
            )
        self.wait(self.is_ready, "the system is ready", seconds=READY_SECONDS)

    def stop(self) -> None:
        """Stop everything as Ctrl-C does."""
        if self._connection is not None:
            self._connection.close()
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                # Its watchdog ends the children.
                self.process.kill()
                self.process.wait()

    def environment(self, process: str) -> dict[str, str]:
        """Return the environment of a process that belongs to this data directory."""
        own = {name: value for name, value in os.environ.items() if name not in {"DATABASE_URL", "REDIS_URL"}}
        return own | {
            "TRADEAPP_DATA_DIR": str(self.data_dir),
            "TRADEAPP_PROCESS": process,
            "PYTHONUNBUFFERED": "1",
            # Every crash here is made; a loop of them would rightly halt the account.
            "TRADER_CRASHES_MAX": "1000000",
        }

    def wait(self, done: Callable[[], bool], what: str, *, seconds: float, every: float = 0.05) -> float:
        """Wait until something holds; answer how long it took."""
        began = time.monotonic()
        while not done():
            if self.process is not None and self.process.poll() is not None:
                raise Stuck(f"`up` has ended: {(self.data_dir / 'up.log').read_text(errors='replace')[-2000:]}")
            if time.monotonic() - began > seconds:
                raise Stuck(f"waited {seconds:g} s in vain until {what}")
            time.sleep(every)
        return time.monotonic() - began

    def is_ready(self) -> bool:
        """Say whether a person can sign in and the bots run."""
        with (
            contextlib.suppress(OSError),
            urllib.request.urlopen(f"http://127.0.0.1:{self.port}/api/v1/ready", timeout=5) as answer,
        ):
            return bool(answer.status == 200)
        return False

    def address(self, name: str) -> str:
        """Return one of the addresses that `up` chose."""
        return str(json.loads((self.data_dir / "addresses.json").read_text(encoding="utf-8"))[name])

    def find(self, name: str) -> psutil.Process:
        """Return the living process of a name."""
        newest = max((self.data_dir / "run").glob("*.json"), key=lambda path: path.stat().st_mtime)
        for row in json.loads(newest.read_text(encoding="utf-8"))["children"]:
            if row["name"] == name or row["name"].startswith(f"{name} "):
                with contextlib.suppress(psutil.Error):
                    process = psutil.Process(row["pid"])
                    if abs(process.create_time() - row["created"]) < 0.02 and process.status() != psutil.STATUS_ZOMBIE:
                        return process
        raise Stuck(f"no process called {name} is running")

    def sign_of_life(self, name: str) -> Sign | None:
        """Return the newest heartbeat of a process; None while there is none or the database is away."""
        rows = self.rows_if_there("SELECT facts, extract(epoch FROM beat_at) FROM portfolio_heartbeat WHERE process = %s", name)
        if not rows:
            return None
        facts, given_at = rows[0]
        return Sign(int(facts.get("pid", 0)), float(given_at), facts)

    def rows(self, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Read the database."""
        if self._connection is None or self._connection.closed:
            self._connection = psycopg.connect(self.address("DATABASE_URL"), autocommit=True, connect_timeout=5)
        try:
            return self._connection.execute(statement.encode(), parameters or None).fetchall()
        except psycopg.OperationalError:
            self._connection.close()
            raise

    def rows_if_there(self, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Read the database; nothing while it is away."""
        try:
            return self.rows(statement, *parameters)
        except psycopg.OperationalError:
            return []

    def account(self) -> tuple[int, str]:
        """Return the account's id and the exchange's number of it."""
        ((number, uid),) = self.rows("SELECT id, venue_uid FROM portfolio_account WHERE is_enabled")
        return int(number), str(uid)

    def control(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """Ask the exchange's control address."""
        content = None if body is None else json.dumps(body).encode()
        address = f"{self.address('VENUE_CONTROL_URL')}/control/{path}"
        request = urllib.request.Request(address, data=content, headers={"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)

    def market_time(self) -> int | None:
        """Return the market's time; None while the exchange is away."""
        try:
            return int(self.control("clock")["market_time"])
        except (OSError, ValueError):
            return None

    def manage(self, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
        """Run a management command as a person would."""
        return subprocess.run(
            [sys.executable, "manage.py", *words],
            cwd=PROJECT,
            env=self.environment("command") | more,
            capture_output=True,
            text=True,
            timeout=300,
        )

    def make_token(self) -> Path:
        """Make an API token that may read; answer the file it is in."""
        path = self.data_dir / "chaos.token"
        answer = self.manage("shell", "-v", "0", "-c", _TOKEN)
        if "token:" not in answer.stdout:
            raise Stuck(f"no API token could be made: {answer.stderr[-500:]}")
        path.write_text(answer.stdout.rpartition("token:")[2].strip(), encoding="utf-8")
        path.chmod(0o600)
        return path


def family(process: psutil.Process) -> list[psutil.Process]:
    """Return a process and everything below it, parents first, so that nobody can start anew."""
    with contextlib.suppress(psutil.Error):
        return [process, *process.children(recursive=True)]
    return [process]


def kill(doomed: Sequence[psutil.Process]) -> None:
    """End processes at once, in this order."""
    for one in doomed:
        with contextlib.suppress(psutil.Error):
            one.kill()
