"""What can be read about the reports of backtests: what was measured, and how much was tried to find it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import variance
from typing import Any, Final

from backtests import curves
from backtests.models import BacktestReport, BacktestRun, Sweep
from backtests.selectors.markets import load_candles, stored_instrument
from backtests.selectors.runs import spec_of
from backtests.selectors.sweeps import results
from trading.bars import interval_milliseconds
from trading.metrics import DAYS_PER_YEAR

UNDER_WAY: Final = (BacktestRun.State.QUEUED, BacktestRun.State.RUNNING)
# Sweeps whose ratios are read to see how much trials differ.
SWEEPS_READ: Final = 5
FILLS_MAX: Final = 3_000


@dataclass(frozen=True, slots=True)
class Tried:
    """How much was tried with this strategy on this market over candles of the same time, by anybody."""

    backtests: int
    sweep_trials: int
    # Of the yearly ratios of those trials, as far as they had any; in days.
    daily_variance: float | None

    @property
    def trials(self) -> int:
        """Count all of them."""
        return self.backtests + self.sweep_trials


def newest_runs(*, limit: int) -> list[BacktestRun]:
    """List backtests, newest first."""
    return list(BacktestRun.objects.select_related("requested_by").order_by("-id")[:limit])


def report(found: BacktestRun) -> BacktestReport | None:
    """Find the report of a run; None when it is not done, or was done before there were reports."""
    return BacktestReport.objects.filter(run=found).first()


def tried(found: BacktestRun) -> Tried:
    """Count what was tried: the best of many looks good by luck alone."""
    same = {"strategy": found.strategy, "symbol": found.symbol, "begin_at__lt": found.end_at, "end_at__gt": found.begin_at}
    runs = BacktestRun.objects.filter(**same, state=BacktestRun.State.DONE)
    swept = list(Sweep.objects.filter(**same).exclude(state=Sweep.State.QUEUED).order_by("-trials"))
    return Tried(runs.count(), sum(sweep.trials for sweep in swept), _daily_variance(swept[:SWEEPS_READ]))


def is_synthetic(found: BacktestRun) -> bool:
    """Say whether the candles of a run, if they came from the database, were made up."""
    if found.folder:
        return False
    stored = [stored_instrument(symbol) for symbol in (found.symbol, *found.others)]
    return any(one is not None and one.market.is_synthetic for one in stored)


def candles_between(found: BacktestRun, *, symbol: str, begin_at: datetime, end_at: datetime) -> dict[str, Any]:
    """Read the candles of a stretch of a run, put together to as many as a plot can show, and the fills among them."""
    spec = spec_of(found)
    candles = load_candles(folder=spec.folder, symbol=symbol, interval=spec.base_interval, begin_at=begin_at, end_at=end_at)
    fills = found.fills.filter(filled_at__gte=begin_at, filled_at__lt=end_at).order_by("number")
    mine = fills.filter(symbol__in=(symbol, "") if symbol == found.symbol else (symbol,))
    return {
        "symbol": symbol,
        **curves.thinned(candles, interval_ms=interval_milliseconds(spec.interval)),
        "fills": [
            {
                "time": int(fill.filled_at.timestamp() * 1000),
                "side": fill.side,
                "price": float(fill.price),
                "symbol": symbol,
                "reason": fill.reason,
            }
            for fill in mine[:FILLS_MAX]
        ],
    }


def _daily_variance(swept: Sequence[Sweep]) -> float | None:
    ratios: list[float] = []
    for sweep in swept:
        table = results(sweep)
        column = [] if table is None else table.column("sharpe").to_pylist()
        # Unknown is None in a backtest's column and not a number in a fast one's.
        ratios += [one for one in column if one is not None and one == one]
    return variance(ratios) / DAYS_PER_YEAR if len(ratios) > 1 else None
