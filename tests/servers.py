"""Real servers for the tests: one embedded PostgreSQL, one embedded Valkey for each pytest worker.

The first test that needs them starts a keeper (`python -m tests.servers DIRECTORY NAMES`). It runs the servers until the pytest
process that made the directory is gone, by whatever end: that process holds a lock, and the keeper waits for it.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TextIO

import psycopg
from psycopg import sql

from tradeapp.up import binaries, death, layout, server_account
from tradeapp.up.postgres import OWNER_ROLE, Postgres
from tradeapp.up.postgres import embedded as embedded_postgres
from tradeapp.up.valkey import Valkey

PROJECT = Path(__file__).resolve().parent.parent
DIRECTORY_VARIABLE = "TEST_SERVERS_DIRECTORY"
START_SECONDS = 60
# A crash of the machine may lose a test database. A test is one transaction, and may be idle in it while strategies compile.
FAST = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "log_min_duration_statement": "-1",
    "idle_in_transaction_session_timeout": "0",
}

_held: list[TextIO] = []


def directory() -> Path:
    """Return this run's directory; the first process of the run makes it and holds its lock."""
    known = os.environ.get(DIRECTORY_VARIABLE)
    if known:
        return Path(known)
    made = Path(tempfile.mkdtemp(prefix="tradeapp-test-"))
    made.chmod(0o711)
    os.environ[DIRECTORY_VARIABLE] = str(made)
    lock = (made / "alive").open("w")
    fcntl.flock(lock, fcntl.LOCK_EX)
    _held.append(lock)
    return made


def end_run() -> None:
    """Let go of the lock: the keeper stops the servers and removes the directory."""
    for lock in _held:
        made = Path(lock.name).parent
        if not (made / "keeper.log").exists():
            shutil.rmtree(made, ignore_errors=True)
        lock.close()
    _held.clear()


def worker_name() -> str:
    """Return the name of this pytest worker."""
    return os.environ.get("PYTEST_XDIST_WORKER", "main")


def set_environment() -> None:
    """Point the settings at the servers of this run, whether they run yet or not."""
    data_dir = directory() / "data"
    account = server_account.choose()
    places = layout.prepare(data_dir=data_dir, account=account)
    for name in list(os.environ):
        if name.startswith(("TRADEAPP_", "BINANCE_", "BOT_PERCENT_")) or name in {"ACTIVE_BOT", "TRADING_MODE"}:
            del os.environ[name]
    os.environ |= {
        "TRADEAPP_DATA_DIR": str(data_dir),
        "TRADEAPP_PROCESS": "test",
        # One for all workers and for every process they start: what is compiled once is compiled for all.
        "NUMBA_CACHE_DIR": str(PROJECT / "var" / "numba"),
        "DATABASE_URL": _postgres(data_dir).url(role=OWNER_ROLE),
        "REDIS_URL": f"unix://{places.sockets / _valkey_socket(worker_name())}?db=0",
    }


def ensure_running() -> None:
    """Start the servers unless another worker has, and wait until they answer."""
    home = directory()
    with (home / "starting").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if (home / "ready").exists():
            return
        count = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "0"))
        names = [f"gw{number}" for number in range(count)] or ["main"]
        with (home / "keeper.log").open("w") as log:
            keeper = subprocess.Popen(
                [sys.executable, "-m", "tests.servers", str(home), *names],
                cwd=PROJECT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_SECONDS
        while not (home / "ready").exists():
            if keeper.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"The test servers did not start:\n{(home / 'keeper.log').read_text()}")
            time.sleep(0.02)


def keep(home: Path, names: list[str]) -> None:
    """Run the servers until the pytest run is over."""
    data_dir = home / "data"
    postgres = _postgres(data_dir)
    postgres.create(sync=False)
    commands = [(postgres.command(**FAST), postgres.programs.environment(), signal.SIGINT)]
    valkeys = [_valkey(data_dir, name) for name in names]
    commands += [(valkey.command(), {}, signal.SIGTERM) for valkey in valkeys]
    children = [
        subprocess.Popen(
            command,
            env=environment,
            cwd="/",
            start_new_session=True,
            preexec_fn=death.follow_parent(end),  # noqa: PLW1509 - the keeper has one thread.
            **postgres.account.process_user(),
        )
        for command, environment, end in commands
    ]
    while not (postgres.is_ready() and all(valkey.is_ready() for valkey in valkeys)):
        if any(child.poll() is not None for child in children):
            raise SystemExit("A test server stopped at once.")
        time.sleep(0.02)
    postgres.create_database()
    (home / "ready").touch()
    with (home / "alive").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
    for child, (_command, _environment, end) in zip(children, commands, strict=True):
        child.send_signal(end)
    for child in children:
        child.wait(10)
    shutil.rmtree(home, ignore_errors=True)


def drop_database(server: psycopg.Connection, name: str) -> None:
    """Drop a database although somebody of ours is still connected, if it exists.

    FORCE would do it alone, but is refused while PostgreSQL's own cleaner is in there; a plain DROP sends that away by itself.
    """
    statement = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND usename = current_user"
    server.execute(statement, [name])
    server.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(sql.Identifier(name)))


def _postgres(data_dir: Path) -> Postgres:
    account = server_account.choose()
    return embedded_postgres(places=layout.prepare(data_dir=data_dir, account=account), account=account)


def _valkey(data_dir: Path, name: str) -> Valkey:
    account = server_account.choose()
    places = layout.prepare(data_dir=data_dir, account=account)
    program = binaries.valkey_program(places=places, account=account)
    return Valkey(program, places.valkey, places.sockets / _valkey_socket(name), account)


def _valkey_socket(name: str) -> str:
    return f"valkey-{name}.sock"


if __name__ == "__main__":
    keep(Path(sys.argv[1]), sys.argv[2:])
