"""The product as real processes over the test servers: venue, feed, trader and worker, without the web."""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from cryptography.fernet import Fernet
from django.conf import settings
from django.db import connection
from django.utils import timezone

from bots import venue_control
from bots.lineups import Plan
from bots.services import demo as demos
from tradeapp import secret_files, server_addresses
from tradeapp.up import death

PROJECT = Path(__file__).resolve().parents[2]
START_SECONDS = 60.0
STOP_SECONDS = 10.0


class StackFailed(AssertionError):
    """A process of the stack ended, or what was waited for did not happen; carries the ends of the logs."""


@dataclass
class Stack:
    """Everything between candles and fills, started in the order that `up` starts it."""

    directory: Path
    market: Sequence[str]
    venue_port: int = 0
    control_port: int = 0
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    commands: dict[str, list[str]] = field(default_factory=dict)
    demo: demos.Demo | None = None

    def __enter__(self) -> Self:
        self.directory.mkdir(parents=True, exist_ok=True)
        self.venue_port = self.venue_port or free_port()
        self.control_port = self.control_port or free_port()
        secret_files.read_or_create(settings.MASTER_KEY_FILE, lambda: Fernet.generate_key().decode())
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()

    @property
    def control_url(self) -> str:
        return f"http://127.0.0.1:{self.control_port}"

    def start_venue(self) -> None:
        """Start the local exchange and wait until it answers."""
        ports = ["--port", str(self.venue_port), "--control-port", str(self.control_port)]
        self.start("venue", [sys.executable, "-m", "venue", "--data-dir", str(self.directory / "venue"), *ports, *self.market])
        self.wait_until(self._answers, what="the venue answers")

    def set_up(self, plan: Plan) -> demos.Demo:
        """Open the demo account with the bots of a plan, as `setup_demo` does."""
        now = timezone.now()
        address = f"127.0.0.1:{self.venue_port}"
        venue = demos.Venue(f"http://{address}", f"ws://{address}", self.control_url, venue_control.read_clock(self.control_url))
        market = demos.market_of(venue, now=now)
        if not market.instruments.exists():
            listings = venue_control.read_listings(exchange="binance", rest_url=venue.rest_url, stream_url=venue.stream_url)
            demos.list_instruments(market, listings, now=now)
        key = venue_control.open_paper_account(self.control_url, name=demos.ACCOUNT, balances={demos.QUOTE: demos.BALANCE})
        deploy = f"t{secrets.token_hex(2)}"
        self.demo = demos.set_up(market=market, venue=venue, key=key, plan=plan, deploy=deploy, now=now)
        return self.demo

    def start_all(self, *, trading_processes: int = 1, with_workers: bool = True) -> None:
        """Start feed, trader and, unless nobody shall answer the doorbells, a worker."""
        assert self.demo is not None
        account = self.demo.account
        manage = [sys.executable, str(PROJECT / "manage.py")]
        worker = [sys.executable, "-m", "celery", "-A", "tradeapp", "--quiet", "worker", "-Q", "trading", "-n", "trading@%h"]
        if with_workers:
            self.start(
                "worker trading", [*worker, "-c", str(trading_processes), "--without-gossip", "--without-mingle", "-l", "INFO"]
            )
        self.start(f"feed {account.market_id}", [*manage, "run_feed", "--market", str(account.market_id)])
        self.start(f"trader {account.pk}", [*manage, "run_trader", "--account", str(account.pk)])

    def start(self, name: str, command: list[str]) -> None:
        """Start a process; its output goes to a file of its name."""
        self.commands[name] = command
        with self.log(name).open("ab") as log:
            self.processes[name] = subprocess.Popen(
                command,
                cwd=PROJECT,
                env=self.environment(name),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                preexec_fn=death.follow_parent(signal.SIGKILL),  # noqa: PLW1509 - nothing else runs in the child yet.
            )

    def kill(self, name: str, number: int = signal.SIGKILL) -> None:
        """End a process the hard way."""
        self.processes[name].send_signal(number)
        self.processes[name].wait(STOP_SECONDS)

    def restart(self, name: str) -> None:
        """Start a process again, as the supervisor would."""
        self.start(name, self.commands[name])

    def stop(self) -> None:
        """Stop everything, the venue last."""
        for name in sorted(self.processes, key=lambda name: name == "venue"):
            process = self.processes[name]
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in self.processes.values():
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def wait_until(self, done: Callable[[], bool], *, what: str, seconds: float = START_SECONDS) -> None:
        """Wait until something happened, or say which process prevented it."""
        deadline = time.monotonic() + seconds
        while not done():
            dead = [name for name, process in self.processes.items() if process.poll() is not None]
            if dead or time.monotonic() > deadline:
                raise StackFailed(f"Waited for: {what}. Ended: {dead or 'none'}.\n{self.tails()}")
            time.sleep(0.05)

    def run_until(self, market_ms: int, *, seconds: float) -> None:
        """Let market time pass until a moment, then pause the market."""
        self.control("/control/resume", {})
        self.wait_until(lambda: self.clock()["market_time"] >= market_ms, what=f"market time {market_ms}", seconds=seconds)
        self.control("/control/pause", {})

    def clock(self) -> dict[str, Any]:
        """Read the venue's clock."""
        return venue_control.read_clock(self.control_url)

    def books(self) -> dict[str, Any]:
        """Read the venue's own books of the demo account."""
        assert self.demo is not None
        return self.control(f"/control/books/{self.demo.account.venue_uid}")

    def control(self, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Ask the venue's control address."""
        content = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.control_url}{path}", data=content, headers={"Content-Type": "application/json"})
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=60) as answer:
            said: dict[str, Any] = json.load(answer)
            return said

    def environment(self, name: str) -> dict[str, str]:
        """Point a child at the servers and the database of this run."""
        # A drill kills more often than a crash loop is allowed to.
        return (
            {"TRADER_CRASHES_MAX": "1000"}
            | os.environ
            | {
                "DJANGO_SETTINGS_MODULE": "tradeapp.settings",
                "DATABASE_URL": database_url(),
                "VENUE_URL": f"http://127.0.0.1:{self.venue_port}",
                "VENUE_CONTROL_URL": self.control_url,
                "TRADEAPP_PROCESS": name,
                "PYTHONUNBUFFERED": "1",
                "STRATEGIES_DIR": str(settings.STRATEGIES_DIR),
            }
        )

    def log(self, name: str) -> Path:
        """Answer where a process's output goes."""
        return self.directory / f"{name.replace(' ', '-')}.log"

    def tails(self, lines: int = 15) -> str:
        """Answer the last lines of every log."""
        parts = []
        for name in self.processes:
            text = self.log(name).read_text(encoding="utf-8", errors="replace").splitlines()[-lines:]
            parts.append(f"--- {name}\n" + "\n".join(text))
        return "\n".join(parts)

    def _answers(self) -> bool:
        try:
            return bool(self.clock())
        except venue_control.VenueAway:
            return False


def database_url() -> str:
    """Write this process's database as an address for its children."""
    known = connection.settings_dict
    return server_addresses.database_url(socket_directory=known["HOST"], role=known["USER"], name=known["NAME"])


def free_port() -> int:
    """Find a port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
