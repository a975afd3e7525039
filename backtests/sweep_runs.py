"""Try some combinations of a sweep, and keep what came of them as a table; no table of the database is touched."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from backtests import runs
from backtests.families import FAMILIES, Combination
from backtests.spec import BacktestSpec
from backtests.sweep_spec import SweepSpec
from trading.bars import Candles
from trading.instruments import Instrument
from trading.kernels.backtest import UnableToBacktest
from trading.metrics import wilson_interval
from trading.sweeps.figures import Terms
from trading.sweeps.market import SweepMarket, lay_market

# What tries combinations: a column for each figure.
Attempt = Callable[[Sequence[Combination]], dict[str, Any]]

# Figures of a trial; NaN where too little data cannot tell.
FIGURES: Final = (
    "total_return",
    "max_drawdown",
    "sharpe",
    "trades",
    "wins",
    "win_rate",
    "win_rate_low",
    "win_rate_high",
    "break_even_win_rate",
    "exposure",
)


def attempt_of(spec: SweepSpec, *, candles: Candles, instrument: Instrument | None) -> Attempt:
    """Answer what tries combinations on these candles; it keeps no more of them than it needs."""
    if spec.is_fast:
        return partial(_fast, spec, lay_market(candles, has_stops=FAMILIES[spec.strategy].has_stops))
    if instrument is None:
        raise ValueError(f"The filters of {spec.symbol} are needed to backtest {spec.strategy}")
    return partial(_backtests, spec, candles, instrument)


def run_trials(spec: SweepSpec, *, begin: int, end: int, attempt: Attempt) -> pa.Table:
    """Try the combinations of some trials; one row each, parameters first."""
    combinations = spec.combinations(begin, end)
    figures = attempt(combinations) if combinations else {name: np.empty(0) for name in FIGURES}
    return _table(spec, combinations, figures)


def data_fingerprint(*markets: Candles) -> str:
    """Identify the candles that something was run on, one market after the other."""
    digest = hashlib.sha256()
    for candles in markets:
        digest.update(np.ascontiguousarray(candles.times).data)
        digest.update(np.ascontiguousarray(candles.values).reshape(-1).data)
    return digest.hexdigest()


def to_parquet(table: pa.Table) -> bytes:
    """Write a table as Parquet."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    return sink.getvalue().to_pybytes()


def from_parquet(parts: Sequence[bytes]) -> pa.Table:
    """Read the tables of all chunks as one."""
    return pa.concat_tables([pq.read_table(pa.BufferReader(part)) for part in parts])


def _fast(spec: SweepSpec, market: SweepMarket, combinations: Sequence[Combination]) -> dict[str, Any]:
    terms = Terms.of(fee=spec.fee, half_spread=spec.half_spread, slippage=spec.slippage)
    completed = [spec.completed(one) for one in combinations]
    found = FAMILIES[spec.strategy].attempt(market, completed, terms)
    low, high = _wilson(found.wins, found.trades)
    return {
        "total_return": found.final_equity - 1.0,
        "max_drawdown": found.max_drawdown,
        "sharpe": found.sharpe,
        "trades": found.trades.astype(np.float64),
        "wins": found.wins.astype(np.float64),
        "win_rate": found.win_rate,
        "win_rate_low": low,
        "win_rate_high": high,
        "break_even_win_rate": found.break_even_win_rate,
        "exposure": found.exposure,
    }


def _wilson(wins: np.ndarray, trades: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    bounds = [wilson_interval(int(won), int(count)) for won, count in zip(wins, trades, strict=True)]
    low, high = np.array(bounds, dtype=np.float64).T
    return low, high


def _backtests(spec: SweepSpec, candles: Candles, instrument: Instrument, combinations: Sequence[Combination]) -> dict[str, Any]:
    figures = [_backtest(spec, one, candles, instrument) for one in combinations]
    return {name: np.array([one[name] for one in figures], dtype=np.float64) for name in FIGURES}


def _backtest(spec: SweepSpec, combination: Combination, candles: Candles, instrument: Instrument) -> dict[str, Any]:
    single = BacktestSpec(
        strategy=spec.strategy,
        params=spec.completed(combination),
        symbol=spec.symbol,
        interval=spec.interval,
        base_interval=spec.interval,
        folder=spec.folder,
        begin_at=spec.begin_at,
        end_at=spec.end_at,
        anchor_at=None,
        trade_from_at=None,
        allocation=spec.allocation,
        taker_fee=spec.fee,
        maker_fee=spec.fee,
        half_spread=spec.half_spread,
        slippage=spec.slippage,
        participation=spec.participation,
        frictions=spec.frictions,
    )
    try:
        figures = runs.run(single, candles=[candles], instruments=[instrument]).metrics
    except UnableToBacktest:
        # A slow combination may need more bars to warm up than there are: it has no figures.
        return dict.fromkeys(FIGURES)
    return {name: figures[name] for name in FIGURES}


def _table(spec: SweepSpec, combinations: Sequence[Combination], figures: dict[str, Any]) -> pa.Table:
    parameters = {name: [one[name] for one in combinations] for name in spec.grid}
    types = {name: _type(values) for name, values in spec.grid.items()}
    columns = {name: pa.array(values, type=types[name]) for name, values in parameters.items()}
    return pa.table({**columns, **{name: pa.array(figures[name], type=pa.float64()) for name in FIGURES}})


def _type(values: Sequence[Any]) -> pa.DataType:
    if isinstance(values[0], str):
        return pa.string()
    return pa.bool_() if isinstance(values[0], bool) else pa.float64()
