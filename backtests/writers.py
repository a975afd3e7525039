"""The single place that changes the tables of backtests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from django.contrib.auth.models import User

from backtests.models import BacktestFill, BacktestRun
from backtests.spec import BacktestSpec, moment
from trading.kernels.backtest import Fill

MESSAGE_LENGTH_MAX = 2000


def add_run(*, spec: BacktestSpec, source_hash: str, by: User | None, now: datetime) -> BacktestRun:
    """Write down that a backtest was asked for."""
    values: dict[str, Any] = {**asdict(spec), "params": dict(spec.params)}
    return BacktestRun.objects.create(
        **values, fingerprint=spec.fingerprint, source_hash=source_hash, requested_by=by, requested_at=now
    )


def claim_run(*, run_id: int, waiting: Sequence[int]) -> bool:
    """Take a waiting run; false when somebody else has it or it is finished."""
    if run_id not in waiting:
        return False
    states = [BacktestRun.State.QUEUED, BacktestRun.State.RUNNING]
    claimed = BacktestRun.objects.filter(id=run_id, state__in=states)
    return claimed.update(state=BacktestRun.State.RUNNING) == 1


def finish_run(
    *, run: BacktestRun, fills: Sequence[Fill], metrics: Mapping[str, Any], reasons: Mapping[str, int], now: datetime
) -> None:
    """Store what came of a run, in the place of what an interrupted attempt left."""
    BacktestFill.objects.filter(run=run).delete()
    BacktestFill.objects.bulk_create(
        [
            BacktestFill(
                run=run,
                number=number,
                filled_at=moment(fill.time),
                side=fill.side,
                kind=fill.kind,
                quantity=fill.quantity,
                price=fill.price,
                fee=fill.fee,
                fee_asset=fill.fee_asset,
                reason=fill.reason,
                slot=fill.slot,
            )
            for number, fill in enumerate(fills)
        ],
        batch_size=1000,
    )
    BacktestRun.objects.filter(id=run.id).update(
        state=BacktestRun.State.DONE, metrics=dict(metrics), reasons=dict(reasons), finished_at=now, error=""
    )


def fail_run(*, run_id: int, message: str, now: datetime) -> None:
    """Store why a run came to nothing."""
    BacktestRun.objects.filter(id=run_id).update(
        state=BacktestRun.State.FAILED, error=message[:MESSAGE_LENGTH_MAX], finished_at=now
    )
