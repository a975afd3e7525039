"""Copy a database out and back in with PostgreSQL's own tools from the wheel."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Final

import psycopg
from psycopg import sql

from tradeapp.backups.archive import BooksHead
from tradeapp.up import binaries, death
from tradeapp.up.postgres import DATABASE, OWNER_ROLE, Postgres

START_SECONDS: Final = 60.0
_HEADS: Final = "SELECT name, deploy, ledger_seq, ledger_hash, trades_posted FROM portfolio_account ORDER BY id"


class DatabaseRefused(Exception):
    """Raised when a database cannot be copied, or not be filled; says why."""


@contextmanager
def running(server: Postgres) -> Iterator[str]:
    """Run the embedded server for a while, as `up` would; yield the owner's address."""
    server.create()
    server.allow_current_user()
    server.clear_stale_lock()
    process = subprocess.Popen(
        server.command(),
        env=server.programs.environment(),
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=death.follow_parent(signal.SIGINT),  # noqa: PLW1509 - a command has one thread.
        **server.account.process_user(),
    )
    try:
        deadline = time.monotonic() + START_SECONDS
        while not server.is_ready():
            if process.poll() is not None or time.monotonic() > deadline:
                raise DatabaseRefused("The embedded PostgreSQL does not start; `python manage.py doctor` says more.")
            time.sleep(0.05)
        server.create_database()
        yield server.url(role=OWNER_ROLE)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(START_SECONDS)


def dump(url: str, target: Path) -> tuple[str, list[BooksHead]]:
    """Copy a database out at one moment while others write; answer the server's version and where the books stood."""
    with psycopg.connect(url) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        snapshot = str(connection.execute("SELECT pg_export_snapshot()").fetchall()[0][0])
        heads = [BooksHead(*row) for row in connection.execute(_HEADS).fetchall()]
        version = str(connection.execute("SHOW server_version").fetchall()[0][0])
        options = ["--format=custom", "--no-owner", "--no-privileges", f"--snapshot={snapshot}", f"--file={target}"]
        _run("pg_dump", [*options, url])
    return version, heads


def load(source: Path, url: str) -> None:
    """Fill an empty database, all of it or nothing."""
    if _has_tables(url):
        raise DatabaseRefused("The database holds tables already: name an empty one.")
    _run(
        "pg_restore", ["--no-owner", "--no-privileges", "--single-transaction", "--exit-on-error", f"--dbname={url}", str(source)]
    )


def set_aside(server: Postgres, now: datetime) -> str:
    """Keep the embedded database under another name and make an empty one; answer the name, empty if there was nothing."""
    if not _has_tables(server.url(role=OWNER_ROLE)):
        return ""
    kept = f"{DATABASE}_before_{now:%Y%m%d_%H%M%S}"
    with psycopg.connect(server.url(role=OWNER_ROLE, database="postgres"), autocommit=True) as connection:
        old, new = sql.Identifier(DATABASE), sql.Identifier(kept)
        connection.execute(sql.SQL("ALTER DATABASE {} RENAME TO {}").format(old, new))
        connection.execute(sql.SQL("CREATE DATABASE {}").format(old))
    return kept


def _has_tables(url: str) -> bool:
    with psycopg.connect(url) as connection:
        found = connection.execute("SELECT 1 FROM pg_tables WHERE schemaname = 'public' LIMIT 1").fetchall()
        return bool(found)


def _run(program: str, words: list[str]) -> None:
    programs = binaries.postgres_tools()
    answer = subprocess.run(
        [str(programs.bin / program), *words], env=programs.environment(), capture_output=True, text=True, check=False
    )
    if answer.returncode:
        lines = [line for line in answer.stderr.splitlines() if line.strip()] or ["no reason given"]
        raise DatabaseRefused(f"{program}: {' / '.join(lines[-3:])}")
