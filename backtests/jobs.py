"""What the machine does for backtests in the background; safe to repeat."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Final

import structlog
from django.db import transaction

from backtests import account_runs, runs, selectors, sweep_runs, writers
from backtests.models import BacktestRun, ComparedPlan, Sweep, SweepChunk
from backtests.reports.content import report
from backtests.selectors import comparisons, sweeps
from backtests.sweep_spec import SweepSpec
from backtests.writers import comparisons as comparison_writers
from backtests.writers import reports as report_writers
from backtests.writers import runs as run_writers
from trading.accounts.simulation import AccountSimulation

log = structlog.get_logger(__name__)
# A plan tells of itself so often; a worker that is silent for longer than a claim holds has lost it.
SLICES: Final = 100
TOLD_EVERY: Final = timedelta(seconds=1)
# What ends the work that was asked for, and leaves its worker fit for the next.
_EXPECTED: Final = (ValueError, MemoryError)


class WorkInVain(Exception):
    """Raised when nobody wants what this worker is at: it was cancelled, or another worker has it."""


def run_backtest(*, run_id: int, clock: Callable[[], datetime]) -> bool:
    """Run one waiting backtest and store what came of it; false when there was nothing to do."""
    with transaction.atomic():
        found = run_writers.claim_run(run_id=run_id, waiting=selectors.waiting(now=clock()), now=clock())
    if found is None:
        return False  # Another worker took this run.
    try:
        _run(found, clock)
    except WorkInVain:
        log.info("backtest.dropped", run=run_id)
    except _EXPECTED as error:
        run_writers.fail_run(run=found, message=_words(error), now=clock())
        log.warning("backtest.failed", run=run_id, error=_words(error))
    return True


def _run(found: BacktestRun, clock: Callable[[], datetime]) -> None:
    if found.attempts > writers.ATTEMPTS_MAX:
        raise ValueError(f"The backtest lost its worker {writers.ATTEMPTS_MAX} times")
    spec = selectors.spec_of(found)
    instruments = selectors.known_instruments(spec.symbols)
    candles, details = selectors.candles(spec), selectors.details(spec)
    told_at: datetime | None = None

    def note(bars_done: int, bars: int) -> None:
        nonlocal told_at
        now = clock()
        if told_at is not None and now - told_at < TOLD_EVERY:
            return
        told_at = now
        if not run_writers.note_progress(run=found, bars_done=bars_done, bars=bars, now=now):
            raise WorkInVain

    outcome = runs.run(spec, candles=candles, instruments=instruments, details=details, note=note)
    content = report(spec, outcome, candles=candles, instruments=instruments)
    data_hash, result = sweep_runs.data_fingerprint(*candles, *details), outcome.result
    with transaction.atomic():
        values = {"metrics": outcome.metrics, "reasons": result.reasons}
        if not run_writers.finish_run(run=found, fills=result.fills, now=clock(), **values):
            raise WorkInVain
        report_writers.keep_report(run=found, content=content, data_hash=data_hash, now=clock())
    log.info("backtest.done", run=found.pk, fills=len(result.fills))


def run_waiting(*, clock: Callable[[], datetime]) -> int:
    """Run every waiting backtest: what a lost message left behind is found here."""
    return sum(run_backtest(run_id=run_id, clock=clock) for run_id in selectors.waiting_runs(now=clock()))


class SweepGround:
    """The candles of one sweep laid out, for whoever tries several of its chunks in a row."""

    def __init__(self) -> None:
        self._laid: tuple[int, sweep_runs.Attempt, str] | None = None

    def of(self, sweep_id: int, spec: SweepSpec) -> tuple[sweep_runs.Attempt, str]:
        """Answer what tries the combinations, and the fingerprint of the candles, which are let go where they can be."""
        if self._laid is None or self._laid[0] != sweep_id:
            instrument = None if spec.is_fast else selectors.known_instrument(spec.symbol)
            candles = sweeps.candles(spec)
            attempt = sweep_runs.attempt_of(spec, candles=candles, instrument=instrument)
            self._laid = sweep_id, attempt, sweep_runs.data_fingerprint(candles)
        return self._laid[1:]


def run_sweep_chunk(*, sweep_id: int, clock: Callable[[], datetime], ground: SweepGround | None = None) -> bool:
    """Try the next chunk of a sweep and store what came of it; false when there is nothing left to do."""
    with transaction.atomic():
        chunk = writers.claim_chunk(sweep_id=sweep_id, now=clock())
    if chunk is None:
        return False
    sweep = sweeps.sweep(sweep_id)
    try:
        return _try_chunk(sweep, chunk, clock, ground or SweepGround())
    except _EXPECTED as error:
        writers.fail_sweep(sweep_id=sweep_id, message=_words(error), now=clock())
        log.warning("sweep.failed", sweep=sweep_id, error=_words(error))
        return False


def _try_chunk(sweep: Sweep, chunk: SweepChunk, clock: Callable[[], datetime], ground: SweepGround) -> bool:
    if chunk.attempts > writers.ATTEMPTS_MAX:
        raise ValueError(f"Trials {chunk.begin} to {chunk.end} lost their worker {writers.ATTEMPTS_MAX} times")
    spec = sweeps.spec_of(sweep)
    if sweep.source_hash != spec.code_hash:
        raise ValueError("The code changed since the sweep was asked for; ask for it again")
    attempt, data_hash = ground.of(sweep.id, spec)
    table = sweep_runs.run_trials(spec, begin=chunk.begin, end=chunk.end, attempt=attempt)
    results = sweep_runs.to_parquet(table)
    with transaction.atomic():
        is_kept = writers.finish_chunk(chunk=chunk, results=results, data_hash=data_hash, now=clock())
    log.info("sweep.chunk", sweep=sweep.id, chunk=chunk.number, trials=table.num_rows, is_kept=is_kept)
    return is_kept


def run_comparison_plan(*, comparison_id: int, clock: Callable[[], datetime]) -> bool:
    """Simulate the next plan of a comparison and store what came of it; false when there is nothing left to do."""
    with transaction.atomic():
        plan = comparison_writers.claim_plan(comparison_id=comparison_id, now=clock())
    if plan is None:
        return False
    try:
        return _simulate_plan(plan, clock)
    except (*_EXPECTED, LookupError) as error:
        with transaction.atomic():
            is_kept = comparison_writers.fail_plan(plan=plan, message=_words(error), now=clock())
        log.warning("comparison.plan_failed", comparison=comparison_id, plan=plan.number, error=_words(error))
        return is_kept


def _simulate_plan(plan: ComparedPlan, clock: Callable[[], datetime]) -> bool:
    if plan.attempts > writers.ATTEMPTS_MAX:
        raise ValueError(f"The plan lost its worker {writers.ATTEMPTS_MAX} times")
    spec = comparisons.spec_of(plan.comparison)
    if plan.comparison.source_hash != spec.code_hash:
        raise ValueError("The code changed since the comparison was asked for; ask for it again")
    asked = account_runs.put_together(spec, plan.number)
    # Compiling for the first time takes so long that the worker tells of itself before and after.
    comparison_writers.note_progress(plan=plan, market_at=asked.begin_at, now=clock())
    simulation = AccountSimulation(asked)
    reached = asked.begin_at
    for until in _slices(asked.begin_at, asked.end_at):
        if not comparison_writers.note_progress(plan=plan, market_at=reached, now=clock()):
            return False  # Cancelled, or another worker has the plan.
        simulation.run(until)
        reached = until
    result = simulation.result()
    found = {
        "report": account_runs.report(result),
        "curve": account_runs.curve_of(result),
        "benchmark": account_runs.benchmark(asked, result.times, result.paid),
        "data_hash": account_runs.data_fingerprint(asked),
    }
    with transaction.atomic():
        is_kept = comparison_writers.finish_plan(plan=plan, found=found, now=clock())
    log.info("comparison.plan", comparison=plan.comparison_id, plan=plan.number, is_kept=is_kept)
    return is_kept


def _slices(begin_at: datetime, end_at: datetime) -> Iterator[datetime]:
    for number in range(1, SLICES + 1):
        yield begin_at + (end_at - begin_at) * number / SLICES


def _words(error: Exception) -> str:
    """Say what went wrong; a process that may have no more memory says of itself nothing, or what nobody understands."""
    if isinstance(error, MemoryError):
        return "It needs more memory than backtests may take of this machine: ask for a shorter time or fewer markets."
    return str(error)
