"""Celery's envelopes round the jobs of market data: doorbells only, every one safe to ring twice."""

from __future__ import annotations

from celery import shared_task
from django.conf import settings
from django.utils import timezone

from marketdata.history import jobs
from marketdata.sources import collecting, keeping


@shared_task(name="marketdata.run_history_job", queue="backtests")
def run_history_job(*, job_id: int, **_later: object) -> None:
    """Do one job on the history root."""
    jobs.run_history_job(job_id=job_id, root=settings.HISTORY_ROOT, clock=timezone.now)


@shared_task(name="marketdata.find_waiting", queue="backtests")
def find_waiting(**_later: object) -> None:
    """Find history jobs whose doorbell was lost, or whose worker was."""
    for job_id in jobs.waiting(clock=timezone.now):
        run_history_job.delay(job_id=job_id)


@shared_task(name="marketdata.collect_sources", queue="backtests")
def collect_sources(**_later: object) -> None:
    """Ask every source that is wanted and due."""
    for name in keeping.due(timezone.now()):
        collecting.collect(name, clock=timezone.now)
