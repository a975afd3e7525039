"""What can be read about single backtests, and the candles and filters they need."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import numpy as np

from backtests import candle_files
from backtests.models import BacktestFill, BacktestRun
from backtests.spec import BacktestSpec, milliseconds
from marketdata import selectors as marketdata
from marketdata.models import Instrument as StoredInstrument
from trading.bars import Candles, interval_milliseconds
from trading.instruments import Instrument, find_instrument

ABANDONED_AFTER = timedelta(hours=1)


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


def waiting_runs(*, now: datetime) -> list[int]:
    """List the runs that nobody works on: queued, or running for longer than any run takes."""
    queued = BacktestRun.objects.filter(state=BacktestRun.State.QUEUED)
    abandoned = BacktestRun.objects.filter(state=BacktestRun.State.RUNNING, requested_at__lt=now - ABANDONED_AFTER)
    return list((queued | abandoned).order_by("requested_at").values_list("id", flat=True))


def known_instrument(text: str) -> Instrument:
    """Find the instrument that a person means, in the newest market that lists it."""
    stored = StoredInstrument.objects.order_by("market_id")
    return find_instrument(text, [marketdata.filters_of(instrument) for instrument in stored])


def spec_of(found: BacktestRun) -> BacktestSpec:
    """Read back what a run was asked to do."""
    return BacktestSpec(
        strategy=found.strategy,
        params=found.params,
        symbol=found.symbol,
        interval=found.interval,
        base_interval=found.base_interval,
        folder=found.folder,
        begin_at=found.begin_at,
        end_at=found.end_at,
        anchor_at=found.anchor_at,
        trade_from_at=found.trade_from_at,
        allocation=found.allocation,
        taker_fee=found.taker_fee,
        maker_fee=found.maker_fee,
        half_spread=found.half_spread,
        slippage=found.slippage,
    )


def candles(spec: BacktestSpec) -> Candles:
    """Load the base candles of a backtest."""
    return load_candles(
        folder=spec.folder, symbol=spec.symbol, interval=spec.base_interval, begin_at=spec.begin_at, end_at=spec.end_at
    )


def load_candles(*, folder: str, symbol: str, interval: str, begin_at: datetime, end_at: datetime) -> Candles:
    """Load candles from a folder of Parquet files, or from the database."""
    if folder:
        begin, end = milliseconds(begin_at) or 0, milliseconds(end_at) or 0
        return candle_files.read_candles(Path(folder), symbol=symbol, interval=interval, begin=begin, end=end)
    stored = StoredInstrument.objects.filter(symbol=symbol).order_by("-market_id").first()
    if stored is None:
        raise candle_files.NoCandles(f"No market in the database lists {symbol}")
    panel = marketdata.candle_panel(instrument_ids=[stored.id], interval=interval, begin_at=begin_at, end_at=end_at)
    there = ~np.isnan(panel.values[0, 0])
    if not there.any():
        raise candle_files.NoCandles(f"The database has no {interval} candles of {symbol} in that stretch")
    values = np.ascontiguousarray(panel.values[:, 0, there])
    return Candles(interval_milliseconds(interval), panel.times[there], values)
