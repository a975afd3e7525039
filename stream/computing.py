"""Run what reads the database outside the event loop, with connections that are given back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from django.db import close_old_connections, connections

T = TypeVar("T")
# Two threads: one slow topic does not hold up the others, and pages keep most of the connections.
_THREADS: Final = ThreadPoolExecutor(max_workers=2, thread_name_prefix="stream")


async def compute(function: Callable[[], T]) -> T:
    """Return what the function answers, computed in a thread of the stream's own."""
    return await asyncio.get_running_loop().run_in_executor(_THREADS, _with_connection, function)


def _with_connection(function: Callable[[], T]) -> T:
    close_old_connections()
    try:
        return function()
    finally:
        # With a pool, closing gives the connection back.
        connections.close_all()
