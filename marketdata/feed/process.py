"""The feed as a process: one for each market, ended by a signal or by a database that is gone."""

from __future__ import annotations

import asyncio
import gc
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Final

from django.db import connection

from exchange.connect import market_port
from marketdata.feed.loop import Feed
from marketdata.feed.market_clock import MarketClock, VenueClock, WallClock
from marketdata.feed.store import DatabaseStore
from marketdata.models import Market
from trading.bars import MINUTE_MS

# The first key of PostgreSQL's advisory locks: it says what the second one is a number of.
FEED_LOCK: Final = 0x46_45_45_44
LOCK_SECONDS: Final = 15.0
LOCK_POLL_SECONDS: Final = 0.5


class AnotherFeed(Exception):
    """Raised when a feed of this market is running already."""


def run(*, market_id: int, clock: Callable[[], datetime]) -> None:
    """Run the feed of one market until SIGTERM or SIGINT."""
    # One thread owns the connection: the lock lives and dies with it.
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="database") as database:
        try:
            asyncio.run(_run(market_id, clock, database))
        finally:
            database.submit(_disconnect).result()


def _disconnect() -> None:
    # A function of its own, so that `connection` is looked up in the thread that owns it.
    connection.close()


async def _run(market_id: int, clock: Callable[[], datetime], database: ThreadPoolExecutor) -> None:
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    assert task is not None
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, task.cancel)
    try:
        market = await loop.run_in_executor(database, lambda: Market.objects.get(id=market_id))
        await _lock(market_id, database)
        await _feed(market, clock, database)
    except asyncio.CancelledError:
        return
    except ExceptionGroup as group:
        # One of the feed's parts failed and took the others along: say what it was, not how they were bundled.
        raise _first(group) from None


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    error = group.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error


async def _feed(market: Market, clock: Callable[[], datetime], database: ThreadPoolExecutor) -> None:
    port = market_port(exchange=market.exchange, rest_url=market.rest_url, stream_url=market.stream_url)
    market_clock: MarketClock = VenueClock(market.control_url) if market.control_url else WallClock(MINUTE_MS)
    try:
        # A full collection of all that is loaded takes a tenth of a second, and every bot may be waiting for it.
        gc.freeze()
        store = DatabaseStore(market_id=market.pk, clock=clock, database=database)
        await Feed(market=market, port=port, market_clock=market_clock, store=store).run()
    finally:
        await market_clock.close()
        await port.close()


async def _lock(market_id: int, database: ThreadPoolExecutor) -> None:
    """Take the market's feed lock; a feed that was just killed holds it until the server notices."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + LOCK_SECONDS
    while not await loop.run_in_executor(database, _try_lock, market_id):
        if loop.time() > deadline:
            raise AnotherFeed(f"Another process feeds market {market_id} already. Stop it first.")
        await asyncio.sleep(LOCK_POLL_SECONDS)


def _try_lock(market_id: int) -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s, %s)", [FEED_LOCK, market_id])
        return bool(cursor.fetchone()[0])
