"""vectorbt on the sweeps of the table, with its Rust engine."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import vectorbt as vbt

from trading import metrics
from trading.bars import Candles, Floats, Times
from trading.strategy import CLOSE, HIGH, LOW, OPEN

ENGINE = "rust"
# It takes amounts below 1e-9 for nothing: with a cash of 1 it would stop trading after some losses.
CASH = 1e9
# Of what a trade put in; rounding alone makes 1e-16.
EVEN = 1e-12
vbt.settings["engine"] = ENGINE


@dataclass(frozen=True)
class Found:
    """What vectorbt found of each combination."""

    final_equity: Floats
    max_drawdown: Floats
    sharpe: Floats
    trades: Times
    wins: Times
    # Trades that win or lose nothing but the last digits, of all combinations.
    even: int


def sweep_pairs(candles: Candles, pairs: Times, *, fee: float, is_exact: bool = False) -> Found:
    """Sweep crosses: decided at a close, filled at the next open.

    The Rust average adds and subtracts, so that errors pile up and averages that are equal are not;
    `is_exact` takes the one of the numba engine, which is a difference of two running sums.
    """
    closes = candles.values[CLOSE]
    averages = {int(period): _average(closes, int(period), is_exact) for period in np.unique(pairs)}
    fast = np.column_stack([averages[int(one)] for one in pairs[:, 0]])
    slow = np.column_stack([averages[int(one)] for one in pairs[:, 1]])
    entries = _later(vbt.generic.nb.crossed_above_nb(fast, slow))
    exits = _later(vbt.generic.nb.crossed_above_nb(slow, fast))
    portfolio = vbt.Portfolio.from_signals(
        closes[:, None], entries, exits, price=candles.values[OPEN][:, None], fees=fee, init_cash=CASH, freq="1min", engine=ENGINE
    )
    return _figures(candles, portfolio)


def sweep_bands(candles: Candles, combinations: Floats, *, fee: float) -> Found:
    """Sweep reversals with its own stop, which is no oracle: it does not look at the bar of the fill."""
    closes = candles.values[CLOSE]
    bands = {}
    for period, width in {(int(one[0]), float(one[1])) for one in combinations}:
        found = vbt.BBANDS.run(closes, period, alpha=width)
        bands[period, width] = closes < found.lower.to_numpy(), closes >= found.middle.to_numpy()
    entries = np.column_stack([bands[int(one[0]), float(one[1])][0] for one in combinations])
    exits = np.column_stack([bands[int(one[0]), float(one[1])][1] for one in combinations])
    portfolio = vbt.Portfolio.from_signals(
        closes[:, None],
        _later(entries),
        _later(exits),
        price=candles.values[OPEN][:, None],
        open=candles.values[OPEN][:, None],
        high=candles.values[HIGH][:, None],
        low=candles.values[LOW][:, None],
        sl_stop=combinations[:, 2],
        fees=fee,
        init_cash=CASH,
        freq="1min",
        engine=ENGINE,
    )
    return _figures(candles, portfolio)


def _average(closes: Floats, period: int, is_exact: bool) -> Floats:
    if is_exact:
        return np.asarray(vbt.generic.nb.rolling_mean_1d_nb(closes, period))
    return np.asarray(vbt.MA.run(closes, period).ma.to_numpy())


def _later(signals: np.ndarray) -> np.ndarray:
    shifted = np.zeros_like(signals)
    shifted[1:] = signals[:-1]
    return shifted


def _figures(candles: Candles, portfolio: vbt.Portfolio) -> Found:
    value = np.asarray(portfolio.value()).reshape(len(candles), -1)
    closed = portfolio.trades.closed
    levels = value[metrics.midnight_bars(candles.times)]
    daily = levels[1:] / levels[:-1] - 1.0
    sharpe = [metrics.sharpe(np.ascontiguousarray(column)) for column in daily.T]
    columns = value.shape[1]
    return Found(
        final_equity=value[-1] / CASH,
        max_drawdown=np.asarray(portfolio.max_drawdown()).reshape(-1),
        sharpe=np.array([np.nan if one is None else one for one in sharpe]),
        trades=np.asarray(closed.count()).reshape(-1) * np.ones(columns, dtype=np.int64),
        wins=np.asarray(closed.winning.count()).reshape(-1) * np.ones(columns, dtype=np.int64),
        even=int(np.sum(np.abs(np.asarray(closed.returns.values)) < EVEN)),
    )
