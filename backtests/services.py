"""What a person may ask of backtests."""

from __future__ import annotations

from datetime import datetime
from functools import partial

from django.contrib.auth.models import User
from django.db import transaction

from backtests import account_runs, selectors, tasks, writers
from backtests.comparison_spec import ComparisonSpec
from backtests.models import BacktestRun, PlanComparison, Sweep
from backtests.selectors import comparisons, sweeps
from backtests.spec import BacktestSpec
from backtests.sweep_spec import SweepSpec
from backtests.writers import comparisons as comparison_writers
from backtests.writers import runs as run_writers
from strategies import registry

# Workers that may be at one sweep at a time; each doorbell keeps ringing until no chunk is left.
DOORBELLS = 4


class UnableToSteer(Exception):
    """The sweep is not in a state in which this can be done."""

    code = "SWEEP_IS_OVER"


class BacktestIsOver(UnableToSteer):
    """The backtest is not in a state in which this can be done."""

    code = "BACKTEST_IS_OVER"


class ComparisonIsOver(UnableToSteer):
    """The comparison is not in a state in which this can be done."""

    code = "COMPARISON_IS_OVER"


def request_backtest(*, spec: BacktestSpec, by: User | None, now: datetime) -> BacktestRun:
    """Queue a backtest; raises ValueError with the reason when it could not run."""
    run = record_backtest(spec=spec, by=by, now=now)
    transaction.on_commit(partial(tasks.run_backtest.delay, run_id=run.id))
    return run


def record_backtest(*, spec: BacktestSpec, by: User | None, now: datetime) -> BacktestRun:
    """Store what is asked for without ringing for a worker: the caller runs it, or the sweep finds it.

    No transaction is open while it is checked: candles are read for that, and users' own strategies are asked.
    """
    checked = spec.checked()
    selectors.known_instruments(checked.symbols)
    source_hash = registry.definition(checked.strategy).source_hash
    return run_writers.add_run(spec=checked, source_hash=source_hash, by=by, now=now)


def cancel_backtest(*, run_id: int, now: datetime) -> BacktestRun:
    """Stop a backtest that waits or runs; nothing of it is kept."""
    if not run_writers.cancel_run(run_id=run_id, now=now):
        raise BacktestIsOver(f"Backtest {run_id} is {selectors.run(run_id).state} already")
    return selectors.run(run_id)


def request_sweep(*, spec: SweepSpec, by: User | None, now: datetime) -> Sweep:
    """Queue a sweep; raises ValueError with the reason when it could not run."""
    sweep = record_sweep(spec=spec, by=by, now=now)
    for _ in range(min(DOORBELLS, sweep.chunks.count())):
        transaction.on_commit(partial(tasks.run_sweep.delay, sweep_id=sweep.id))
    return sweep


def record_sweep(*, spec: SweepSpec, by: User | None, now: datetime) -> Sweep:
    """Store what is asked for without ringing for a worker: the caller runs it, or it is found."""
    checked = spec.checked()
    if not checked.is_fast:
        selectors.known_instrument(checked.symbol)
    sweeps.candles(checked)
    source_hash = checked.code_hash
    with transaction.atomic():
        return writers.add_sweep(spec=checked, source_hash=source_hash, by=by, now=now)


def cancel_sweep(*, sweep_id: int, now: datetime) -> Sweep:
    """Stop a sweep; the chunk under way is the last, and what was found stays."""
    if not writers.cancel_sweep(sweep_id=sweep_id, now=now):
        found = sweeps.sweep(sweep_id)
        raise UnableToSteer(f"Sweep {sweep_id} is {found.state} already")
    return sweeps.sweep(sweep_id)


def request_comparison(*, spec: ComparisonSpec, by: User | None, now: datetime) -> PlanComparison:
    """Queue a comparison of plans; raises ValueError with the reason when one of them could not be simulated."""
    comparison = record_comparison(spec=spec, by=by, now=now)
    for _ in range(min(DOORBELLS, len(spec.plans))):
        transaction.on_commit(partial(tasks.run_comparison.delay, comparison_id=comparison.id))
    return comparison


def record_comparison(*, spec: ComparisonSpec, by: User | None, now: datetime) -> PlanComparison:
    """Store what is asked for without ringing for a worker: the caller runs it, or it is found."""
    checked = spec.checked()
    described = []
    for number in range(len(checked.plans)):
        plan = account_runs.put_together(checked, number)
        begin = plan.begin_at.timestamp() * 1000
        bars = sum(int((candles.times >= begin).sum()) for bot in plan.bots for candles in bot.candles)
        described.append(comparison_writers.Described(plan.name, str(plan.mode), bars))
    source_hash = checked.code_hash
    with transaction.atomic():
        return comparison_writers.add_comparison(spec=checked, described=described, source_hash=source_hash, by=by, now=now)


def cancel_comparison(*, comparison_id: int, now: datetime) -> PlanComparison:
    """Stop a comparison; the plan under way stops within moments, and what is done stays."""
    if not comparison_writers.cancel_comparison(comparison_id=comparison_id, now=now):
        found = comparisons.comparison(comparison_id)
        raise ComparisonIsOver(f"Comparison {comparison_id} is {found.state} already")
    return comparisons.comparison(comparison_id)
