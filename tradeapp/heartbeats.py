"""Celery's own processes give a sign of life too: a row that the health bar and `ready` read."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from typing import Any

import structlog
from celery.signals import beat_init, worker_ready, worker_shutdown
from django.conf import settings
from django.db import DatabaseError, InterfaceError, close_old_connections
from django.utils import timezone

from portfolio import running
from portfolio.models import Heartbeat

PERIOD_SECONDS = 5.0
WEB = "web"

log = structlog.get_logger(__name__)
_ended = threading.Event()


def record(*, process: str, facts: Mapping[str, Any] | None = None) -> None:
    """Write this process's sign of life, with what it has to say of itself; pages decide nothing, so nobody judges their code."""
    said = {"pid": os.getpid(), **(facts or {})}
    code_hash = "" if process == WEB else running.fingerprint()
    defaults = {"beat_at": timezone.now(), "facts": said, "code_hash": code_hash}
    Heartbeat.objects.update_or_create(process=process, defaults=defaults)


def keep_recording(*, process: str) -> None:
    """Give a sign of life every few seconds until the process ends; a database that is away is waited for."""
    while True:
        try:
            close_old_connections()
            record(process=process)
            # A pool has its connection back until the next one.
            close_old_connections()
        except (DatabaseError, InterfaceError) as error:
            log.warning("heartbeat.not_written", process=process, reason=str(error).strip())
        if _ended.wait(PERIOD_SECONDS):
            return


@worker_ready.connect
@beat_init.connect
def begin(**_facts: Any) -> None:
    """Begin when Celery's process is ready."""
    process = settings.TRADEAPP_PROCESS
    threading.Thread(target=keep_recording, kwargs={"process": process}, name="heartbeat", daemon=True).start()


def begin_web() -> None:
    """Begin in the process that serves pages; whoever else loads it, a test or a command, gives no sign."""
    if settings.TRADEAPP_PROCESS == WEB:
        begin()


@worker_shutdown.connect
def end(**_facts: Any) -> None:
    """Stop with the worker."""
    _ended.set()
