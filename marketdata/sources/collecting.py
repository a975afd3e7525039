"""Fetch what sources say: the only place from which they reach the network, within a size, a time and a circuit breaker."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Callable
from datetime import datetime
from typing import Final

import aiohttp
import structlog

from marketdata.models import Observation
from marketdata.sources import keeping
from marketdata.sources.plugin import KeyMissing, Question, Unreadable
from marketdata.sources.registry import source_named

log = structlog.get_logger(__name__)

ANSWER_SECONDS: Final = 20.0
ANSWER_BYTES_MAX: Final = 8 * 2**20
USER_AGENT: Final = "tradeapp/1 (self-hosted)"
Get = Callable[[list[str]], list[bytes]]


class NotAnswered(Exception):
    """Raised when an address does not answer as it should."""


def collect(
    name: str, *, clock: Callable[[], datetime], get: Get | None = None, environment: dict[str, str] | None = None
) -> int:
    """Ask one source and keep what is new; every failure is counted, none is raised. Safe to repeat."""
    source, known = source_named(name), os.environ if environment is None else environment
    now = clock()
    if not keeping.claim(name, now=now):
        return 0
    since = Observation.objects.filter(source=name).order_by("-event_at").values_list("event_at", flat=True).first()
    try:
        question = Question(since=since, until=now, key=known.get(source.key_name, "") if source.key_name else "")
        answers = (get or fetch)(source.addresses(question))
        added = 0
        for raw in answers:
            # Known is what we have in hand: the moment it arrived, not the one it was asked for.
            added += keeping.keep(name, source.parse(raw), raw_hash=hashlib.sha256(raw).hexdigest(), now=clock())
    except (NotAnswered, Unreadable, KeyMissing) as trouble:
        log.warning("source.failed", source=name, reason=str(trouble))
        keeping.note_failure(name, str(trouble), now=now)
        return 0
    keeping.note_answer(name, added=added, now=clock())
    return added


def fetch(addresses: list[str]) -> list[bytes]:
    """Fetch addresses one after another; one that fails fails them all."""
    return asyncio.run(_fetch_all(addresses))


async def _fetch_all(addresses: list[str]) -> list[bytes]:
    timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS)
    async with aiohttp.ClientSession(timeout=timeout, headers={"User-Agent": USER_AGENT}) as session:
        return [await _fetch(session, address) for address in addresses]


async def _fetch(session: aiohttp.ClientSession, address: str) -> bytes:
    # Never with its query: that may hold a key.
    where = address.partition("?")[0]
    try:
        async with session.get(address, max_redirects=3) as answer:
            if answer.status != 200:
                raise NotAnswered(f"{where}: HTTP {answer.status}")
            pieces, size = [], 0
            async for piece in answer.content.iter_any():
                size += len(piece)
                if size > ANSWER_BYTES_MAX:
                    raise NotAnswered(f"{where}: more than {ANSWER_BYTES_MAX} bytes")
                pieces.append(piece)
            return b"".join(pieces)
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise NotAnswered(f"{where}: {type(error).__name__}") from error
