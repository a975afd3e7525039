"""The database from inside an event loop: one thread, one connection, and its loss as one exception."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final, ParamSpec, TypeVar

import psycopg
import structlog
from django.db import InterfaceError, OperationalError, connection

P = ParamSpec("P")
R = TypeVar("R")
log = structlog.get_logger()
_ATTEMPTS: Final = 3
# A trader that is stopped amid a transaction keeps its locks from the standby as long as its lease lasts, no longer (C20).
_IDLE_SECONDS: Final = 12
# Both mean that the transaction did not happen and may be tried as a whole.
_REPEATABLE: Final = (psycopg.errors.DeadlockDetected, psycopg.errors.SerializationFailure)


class DatabaseGone(Exception):
    """Raised when the database cannot be reached, or a commit's fate is unknown: only a fresh start is safe."""


class Database:
    """Runs functions that use Django's connection, one after the other, in one thread."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="database")

    async def run(self, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run a function in the database's thread."""
        loop = asyncio.get_running_loop()
        # Shielded: a commit that has begun is waited for, so that nobody guesses whether it happened.
        return await asyncio.shield(loop.run_in_executor(self._thread, partial(_guarded, function, *args, **kwargs)))

    async def close(self) -> None:
        """Close the connection and end the thread."""
        await asyncio.get_running_loop().run_in_executor(self._thread, _close)
        self._thread.shutdown(wait=False)


async def listen(channel: str) -> AsyncIterator[str]:
    """Yield what is notified on a channel; ends with DatabaseGone when the connection does."""
    parameters = connection.get_connection_params()
    for name in ("cursor_factory", "context", "prepare_threshold", "pool"):
        parameters.pop(name, None)
    try:
        async with await psycopg.AsyncConnection.connect(**parameters, autocommit=True) as listener:
            await listener.execute(psycopg.sql.SQL("LISTEN {}").format(psycopg.sql.Identifier(channel)))
            yield ""
            async for notice in listener.notifies():
                yield notice.payload
    except psycopg.Error as error:
        raise DatabaseGone(str(error)) from error
    raise DatabaseGone("The database has closed the connection that listens.")


def _close() -> None:
    # Named inside the thread that closes it: each thread has a connection of its own.
    connection.close()


def _connect() -> None:
    if connection.connection is None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT set_config('idle_in_transaction_session_timeout', %s, false)", [f"{_IDLE_SECONDS}s"])


def _guarded(function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            _connect()
            return function(*args, **kwargs)
        except (OperationalError, InterfaceError) as error:
            if isinstance(error.__cause__, _REPEATABLE) and attempt < _ATTEMPTS:
                time.sleep(0.01 * attempt)
                continue
            connection.close()
            raise DatabaseGone(str(error).strip()) from error
    raise AssertionError
