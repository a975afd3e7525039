"""What changes single backtests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from django.contrib.auth.models import User
from django.db.models import F, Q, QuerySet

from backtests.models import BacktestFill, BacktestRun
from backtests.spec import BacktestSpec, moment
from backtests.writers import MESSAGE_LENGTH_MAX
from trading.kernels.backtest import Fill

State = BacktestRun.State


def add_run(*, spec: BacktestSpec, source_hash: str, by: User | None, now: datetime) -> BacktestRun:
    """Write down that a backtest was asked for."""
    values: dict[str, Any] = {**asdict(spec), "params": dict(spec.params), "others": list(spec.others)}
    values["frictions"] = spec.frictions.as_plain()
    values["taker_fees"] = [str(fee) for fee in spec.taker_fees]
    return BacktestRun.objects.create(
        **values, fingerprint=spec.fingerprint, source_hash=source_hash, requested_by=by, requested_at=now
    )


def claim_run(*, run_id: int, waiting: Q, now: datetime) -> BacktestRun | None:
    """Take a waiting run, inside the caller's transaction; None when somebody else has it or it is over."""
    run = BacktestRun.objects.filter(waiting, id=run_id).select_for_update(skip_locked=True).first()
    if run is None:
        return None
    run.state, run.claimed_at, run.attempts = State.RUNNING, now, run.attempts + 1
    run.started_at, run.bars, run.bars_done = None, 0, 0
    run.save(update_fields=["state", "claimed_at", "attempts", "started_at", "bars", "bars_done"])
    return run


def note_progress(*, run: BacktestRun, bars_done: int, bars: int, now: datetime) -> bool:
    """Write down how far a run is; false when the work is in vain: cancelled, or another worker has it."""
    run.started_at = run.started_at or now
    values = {"claimed_at": now, "started_at": run.started_at, "bars_done": bars_done, "bars": bars}
    return _mine(run).update(**values) == 1


def finish_run(
    *, run: BacktestRun, fills: Sequence[Fill], metrics: Mapping[str, Any], reasons: Mapping[str, int], now: datetime
) -> bool:
    """Store what came of a run, inside the caller's transaction; false when the work was lost or in vain."""
    values = {"state": State.DONE, "metrics": dict(metrics), "reasons": dict(reasons), "finished_at": now, "error": ""}
    if not _mine(run).update(**values, bars_done=F("bars")):
        return False
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
                symbol=fill.symbol,
                stop_price=fill.stop_price,
            )
            for number, fill in enumerate(fills)
        ],
        batch_size=1000,
    )
    return True


def fail_run(*, run: BacktestRun, message: str, now: datetime) -> None:
    """Store why a run came to nothing."""
    _mine(run).update(state=State.FAILED, error=message[:MESSAGE_LENGTH_MAX], finished_at=now)


def cancel_run(*, run_id: int, now: datetime) -> bool:
    """Stop a run; its worker notices within moments."""
    under_way = BacktestRun.objects.filter(id=run_id, state__in=(State.QUEUED, State.RUNNING))
    return under_way.update(state=State.CANCELLED, finished_at=now) == 1


def _mine(run: BacktestRun) -> QuerySet[BacktestRun]:
    return BacktestRun.objects.filter(id=run.id, state=State.RUNNING, attempts=run.attempts)
