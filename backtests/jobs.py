"""What the machine does for backtests in the background; safe to repeat."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import structlog
from django.db import transaction

from backtests import runs, selectors, writers

log = structlog.get_logger(__name__)


def run_backtest(*, run_id: int, clock: Callable[[], datetime]) -> bool:
    """Run one waiting backtest and store what came of it; false when there was nothing to do."""
    if not writers.claim_run(run_id=run_id, waiting=selectors.waiting_runs(now=clock())):
        return False  # Another worker took this run.
    found = selectors.run(run_id)
    spec = selectors.spec_of(found)
    try:
        instrument = selectors.known_instrument(spec.symbol)
        outcome = runs.run(spec, candles=selectors.candles(spec), instrument=instrument)
    except ValueError as error:
        writers.fail_run(run_id=run_id, message=str(error), now=clock())
        log.warning("backtest.failed", run=run_id, error=str(error))
        return True
    with transaction.atomic():
        result = outcome.result
        writers.finish_run(run=found, fills=result.fills, metrics=outcome.metrics, reasons=result.reasons, now=clock())
    log.info("backtest.done", run=run_id, fills=len(outcome.result.fills))
    return True


def run_waiting(*, clock: Callable[[], datetime]) -> int:
    """Run every waiting backtest: what a lost message left behind is found here."""
    return sum(run_backtest(run_id=run_id, clock=clock) for run_id in selectors.waiting_runs(now=clock()))
