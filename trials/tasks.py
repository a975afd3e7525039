"""Celery's envelopes round the jobs of trials: doorbells only, every one safe to ring twice."""

from __future__ import annotations

from celery import shared_task
from django.utils import timezone

from trials import jobs
from trials.models import Trial
from trials.selectors import simulated_waiting

SECONDS_MAX = 60


@shared_task(name="trials.advance", queue="trading", time_limit=SECONDS_MAX, expires=120)
def advance(*, account_id: int, **_later: object) -> None:
    """Take the trial of an account one step further."""
    jobs.take_step(account_id=account_id, clock=timezone.now)


@shared_task(name="trials.simulate", queue="backtests")
def simulate(*, trial_id: int, **_later: object) -> None:
    """Run some turns and ring for the next, so that other work comes in between."""
    if jobs.run_turns(trial_id=trial_id, clock=timezone.now):
        simulate.delay(trial_id=trial_id)


@shared_task(name="trials.sweep", queue="trading", time_limit=SECONDS_MAX, expires=30)
def sweep(**_later: object) -> None:
    """Find trials whose doorbell was lost, or whose worker was."""
    held = Trial.objects.filter(kind=Trial.Kind.ACCOUNT, state__in=(Trial.State.RUNNING, Trial.State.RESTORING))
    for account_id in held.values_list("account", flat=True):
        jobs.take_step(account_id=account_id, clock=timezone.now)
    for trial_id in simulated_waiting(now=timezone.now()):
        simulate.delay(trial_id=trial_id)
