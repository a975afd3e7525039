"""What the machine does for backtests in the background; safe to repeat."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import structlog
from django.db import transaction

from backtests import runs, selectors, sweep_runs, writers
from backtests.models import Sweep, SweepChunk
from backtests.selectors import sweeps
from trading.compilation import sources_hash

log = structlog.get_logger(__name__)


def run_backtest(*, run_id: int, clock: Callable[[], datetime]) -> bool:
    """Run one waiting backtest and store what came of it; false when there was nothing to do."""
    if not writers.claim_run(run_id=run_id, waiting=selectors.waiting_runs(now=clock())):
        return False  # Another worker took this run.
    found = selectors.run(run_id)
    spec = selectors.spec_of(found)
    try:
        instruments = [selectors.known_instrument(symbol) for symbol in spec.symbols]
        outcome = runs.run(spec, candles=selectors.candles(spec), instruments=instruments)
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


def run_sweep_chunk(*, sweep_id: int, clock: Callable[[], datetime]) -> bool:
    """Try the next chunk of a sweep and store what came of it; false when there is nothing left to do."""
    with transaction.atomic():
        chunk = writers.claim_chunk(sweep_id=sweep_id, now=clock())
    if chunk is None:
        return False
    sweep = sweeps.sweep(sweep_id)
    try:
        return _try_chunk(sweep, chunk, clock)
    except ValueError as error:
        writers.fail_sweep(sweep_id=sweep_id, message=str(error), now=clock())
        log.warning("sweep.failed", sweep=sweep_id, error=str(error))
        return False


def _try_chunk(sweep: Sweep, chunk: SweepChunk, clock: Callable[[], datetime]) -> bool:
    if chunk.attempts > writers.ATTEMPTS_MAX:
        raise ValueError(f"Trials {chunk.begin} to {chunk.end} lost their worker {writers.ATTEMPTS_MAX} times")
    if sweep.source_hash != sources_hash():
        raise ValueError("The code changed since the sweep was asked for; ask for it again")
    spec = sweeps.spec_of(sweep)
    instrument = None if spec.is_fast else selectors.known_instrument(spec.symbol)
    candles = sweeps.candles(spec)
    table = sweep_runs.run_trials(spec, begin=chunk.begin, end=chunk.end, candles=candles, instrument=instrument)
    results, data_hash = sweep_runs.to_parquet(table), sweep_runs.data_fingerprint(candles)
    with transaction.atomic():
        is_kept = writers.finish_chunk(chunk=chunk, results=results, data_hash=data_hash, now=clock())
    log.info("sweep.chunk", sweep=sweep.id, chunk=chunk.number, trials=table.num_rows, is_kept=is_kept)
    return is_kept
