"""Count with all processes of this address what it has used of an exchange: a row for each host and kind."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import structlog
from django.db import Error, connection

log = structlog.get_logger(__name__)

_TAKE: Final = """
    INSERT INTO marketdata_addressuse AS mine (host, kind, "window", used) VALUES (%s, %s, %s, %s)
    ON CONFLICT (host, kind) DO UPDATE
    SET used = excluded.used + CASE WHEN mine."window" = excluded."window" THEN mine.used ELSE 0 END,
        "window" = excluded."window"
    RETURNING used
"""


class DatabaseCounter:
    """A counter in the database, behind a thread of its own."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="quota")

    async def take(self, host: str, kind: str, window: int, amount: int) -> int:
        """Add to what was used; without a database, what this process knows must do."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, _take, host, kind, window, amount)


def _take(host: str, kind: str, window: int, amount: int) -> int:
    try:
        with connection.cursor() as cursor:
            cursor.execute(_TAKE, [host[:128], kind, window, amount])
            return int(cursor.fetchone()[0])
    except Error as error:
        connection.close()
        log.warning("quota.not_counted", host=host, error=str(error).strip()[:200])
        return amount
