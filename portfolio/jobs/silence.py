"""The board on which processes of one address tell each other that an exchange wants silence: a row for each host."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import structlog
from django.db import Error, connection
from django.db.models import Q
from django.utils import timezone

from exchange.errors import Outcome
from exchange.silence import Silence
from portfolio.models import HostSilence

log = structlog.get_logger()


class DatabaseBoard:
    """A board that every process reads and that outlives them all."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="silence")

    async def read(self, host: str) -> Silence | None:
        """Return what was last told of a host; without a database, what this process knows must do."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, _read, host)

    async def tell(self, host: str, silence: Silence) -> None:
        """Tell the others; the longer silence stands."""
        await asyncio.get_running_loop().run_in_executor(self._thread, _tell, host, silence)


def _read(host: str) -> Silence | None:
    try:
        row = HostSilence.objects.filter(host=host[:128]).first()
    except Error as error:
        connection.close()
        log.warning("silence.not_read", host=host, error=str(error).strip()[:200])
        return None
    return Silence(Outcome(row.outcome), row.until_at.timestamp()) if row else None


def _tell(host: str, silence: Silence) -> None:
    until, now = datetime.fromtimestamp(silence.until, UTC), timezone.now()
    news = {"outcome": str(silence.outcome), "until_at": until, "told_at": now}
    log.error("exchange.wants_silence", host=host, outcome=str(silence.outcome), until=until.isoformat())
    try:
        row, is_new = HostSilence.objects.get_or_create(host=host[:128], defaults=news)
        if not is_new:
            HostSilence.objects.filter(Q(id=row.pk) & Q(until_at__lt=until)).update(**news)
    except Error as error:
        connection.close()
        log.warning("silence.not_told", host=host, error=str(error).strip()[:200])
