"""Celery's envelopes round the jobs of backtests."""

from __future__ import annotations

from celery import shared_task
from django.utils import timezone

from backtests import jobs


@shared_task(queue="backtests")
def run_backtest(*, run_id: int, **_later: object) -> None:
    """Run one backtest."""
    jobs.run_backtest(run_id=run_id, clock=timezone.now)


@shared_task(queue="backtests")
def run_waiting_backtests(**_later: object) -> None:
    """Run what a lost message left behind."""
    jobs.run_waiting(clock=timezone.now)
