"""Celery's envelopes round the jobs of backtests."""

from __future__ import annotations

from celery import shared_task
from django.utils import timezone

from backtests import jobs
from backtests.selectors import comparisons, sweeps


@shared_task(queue="backtests")
def run_backtest(*, run_id: int, **_later: object) -> None:
    """Run one backtest."""
    jobs.run_backtest(run_id=run_id, clock=timezone.now)


@shared_task(queue="backtests")
def run_waiting_backtests(**_later: object) -> None:
    """Run what a lost message left behind."""
    jobs.run_waiting(clock=timezone.now)


@shared_task(queue="backtests")
def run_sweep(*, sweep_id: int, **_later: object) -> None:
    """Try one chunk of a sweep and ring for the next, so that other work comes in between."""
    if jobs.run_sweep_chunk(sweep_id=sweep_id, clock=timezone.now):
        run_sweep.delay(sweep_id=sweep_id)


@shared_task(queue="backtests")
def run_comparison(*, comparison_id: int, **_later: object) -> None:
    """Simulate one plan of a comparison and ring for the next, so that other work comes in between."""
    if jobs.run_comparison_plan(comparison_id=comparison_id, clock=timezone.now):
        run_comparison.delay(comparison_id=comparison_id)


@shared_task(name="backtests.sweep", queue="backtests")
def find_waiting(**_later: object) -> None:
    """Find backtests, sweeps and comparisons whose doorbell was lost, or whose worker was."""
    jobs.run_waiting(clock=timezone.now)
    for sweep_id in sweeps.stalled_sweeps(now=timezone.now()):
        run_sweep.delay(sweep_id=sweep_id)
    for comparison_id in comparisons.stalled_comparisons(now=timezone.now()):
        run_comparison.delay(comparison_id=comparison_id)
