"""Have backtests leave the machine to what trades: they are served last, and take half of its memory at most (P08)."""

from __future__ import annotations

import os
import resource
from typing import Any, Final

import psutil
import structlog
from celery.signals import worker_init
from django.conf import settings

BACKTESTS: Final = "worker backtests"
NICENESS: Final = 10

log = structlog.get_logger(__name__)


def limit(*, memory_bytes: int) -> None:
    """Lower this process's priority and bound its memory; the threads that it starts later inherit both.

    What it asks for beyond is refused (MemoryError), so that the machine never has to choose whom to kill.
    """
    os.nice(NICENESS)
    resource.setrlimit(resource.RLIMIT_DATA, (memory_bytes, memory_bytes))


@worker_init.connect
def begin(**_facts: Any) -> None:
    """Begin before the worker starts its threads."""
    if settings.TRADEAPP_PROCESS == BACKTESTS:
        memory_bytes = psutil.virtual_memory().total // 2
        limit(memory_bytes=memory_bytes)
        log.info("worker.is_modest", niceness=NICENESS, megabytes=memory_bytes // 2**20)
