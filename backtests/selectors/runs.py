"""What can be read about single backtests, and the candles they need."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.db.models import Q

from backtests.models import CLAIM_HOLDS, BacktestFill, BacktestRun
from backtests.selectors.markets import load_candles
from backtests.spec import BacktestSpec
from trading.bars import Candles
from trading.frictions import read_frictions


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a backtest is."""

    bars_done: int
    # 0 until a worker has read the candles.
    bars: int
    # None until candles have been walked.
    bars_per_second: float | None
    seconds_left: float | None


class NoSuchRun(LookupError):
    """No backtest has this number."""


def run(run_id: int) -> BacktestRun:
    """Find a run."""
    found = BacktestRun.objects.filter(id=run_id).first()
    if found is None:
        raise NoSuchRun(f"There is no backtest {run_id}")
    return found


def fills(found: BacktestRun) -> list[BacktestFill]:
    """List the fills of a run in order."""
    return list(found.fills.order_by("number"))


def waiting(*, now: datetime) -> Q:
    """Say which runs nobody works on: queued, or their worker has not told of itself for longer than a claim holds."""
    lost = Q(state=BacktestRun.State.RUNNING) & (Q(claimed_at=None) | Q(claimed_at__lt=now - CLAIM_HOLDS))
    return Q(state=BacktestRun.State.QUEUED) | lost


def waiting_runs(*, now: datetime) -> list[int]:
    """List the runs that nobody works on, in the order in which they were asked for."""
    return list(BacktestRun.objects.filter(waiting(now=now)).order_by("requested_at").values_list("id", flat=True))


def progress(found: BacktestRun, *, now: datetime) -> Progress:
    """Say how far a run is, how fast it goes and how long it will take."""
    seconds = ((found.finished_at or now) - found.started_at).total_seconds() if found.started_at else 0
    rate = found.bars_done / seconds if seconds > 0 and found.bars_done else None
    is_running = found.state == BacktestRun.State.RUNNING
    return Progress(found.bars_done, found.bars, rate, (found.bars - found.bars_done) / rate if rate and is_running else None)


def spec_of(found: BacktestRun) -> BacktestSpec:
    """Read back what a run was asked to do."""
    return BacktestSpec(
        strategy=found.strategy,
        params=found.params,
        symbol=found.symbol,
        others=tuple(found.others),
        interval=found.interval,
        base_interval=found.base_interval,
        folder=found.folder,
        begin_at=found.begin_at,
        end_at=found.end_at,
        anchor_at=found.anchor_at,
        trade_from_at=found.trade_from_at,
        allocation=found.allocation,
        taker_fee=found.taker_fee,
        taker_fees=tuple(map(Decimal, found.taker_fees)),
        maker_fee=found.maker_fee,
        half_spread=found.half_spread,
        slippage=found.slippage,
        participation=found.participation,
        detail_interval=found.detail_interval,
        frictions=read_frictions(found.frictions),
    )


def candles(spec: BacktestSpec) -> list[Candles]:
    """Load the base candles of a backtest, one market after the other."""
    return _candles(spec, spec.base_interval)


def details(spec: BacktestSpec) -> list[Candles]:
    """Load the finer candles that tell in which order ambiguous base candles went, if they are asked for."""
    return _candles(spec, spec.detail_interval) if spec.detail_interval else []


def _candles(spec: BacktestSpec, interval: str) -> list[Candles]:
    return [
        load_candles(folder=spec.folder, symbol=symbol, interval=interval, begin_at=spec.begin_at, end_at=spec.end_at)
        for symbol in spec.symbols
    ]
