"""What a person may ask of backtests."""

from __future__ import annotations

from datetime import datetime
from functools import partial

from django.contrib.auth.models import User
from django.db import transaction

from backtests import selectors, tasks, writers
from backtests.models import BacktestRun
from backtests.spec import BacktestSpec
from strategies import registry


def request_backtest(*, spec: BacktestSpec, by: User | None, now: datetime) -> BacktestRun:
    """Queue a backtest; raises ValueError with the reason when it could not run."""
    with transaction.atomic():
        run = record_backtest(spec=spec, by=by, now=now)
        transaction.on_commit(partial(tasks.run_backtest.delay, run_id=run.id))
    return run


def record_backtest(*, spec: BacktestSpec, by: User | None, now: datetime) -> BacktestRun:
    """Store what is asked for without ringing for a worker: the caller runs it, or the sweep finds it."""
    checked = spec.checked()
    selectors.known_instrument(checked.symbol)
    source_hash = registry.definition(checked.strategy).source_hash
    return writers.add_run(spec=checked, source_hash=source_hash, by=by, now=now)
