"""One combination, bar by bar: the plain definition that the fast paths must reproduce bit for bit.

Reads every bar once and does at its close what a step of a strategy would do: take in what was
filled at its open and what its stop did inside it, mark the equity, then decide. It shares no code
with the fast paths and keeps the whole equity, so that trading/metrics can be asked as well.
"""

import math
from typing import Final

import numpy as np

from trading.bars import Floats
from trading.compilation import allocating
from trading.strategy import CLOSE, HIGH, LOW, OPEN

ENTER: Final = 1
EXIT: Final = 2


@allocating
def cross_signals(fast: Floats, slow: Floats) -> Floats:
    """Answer per bar whether to enter or to leave; equal rows and missing ones change nothing."""
    signals = np.zeros(len(fast))
    is_above = True
    for t in range(len(fast)):
        if is_above and fast[t] < slow[t]:
            is_above = False
            signals[t] = EXIT
        elif not is_above and fast[t] > slow[t]:
            is_above = True
            signals[t] = ENTER
    return signals


@allocating
def reversal_signals(closes: Floats, mean: Floats, sigma: Floats, width: float) -> Floats:
    """Answer per bar whether the close lies below the lower band, or at the mean or above."""
    signals = np.zeros(len(closes))
    for t in range(len(closes)):
        if closes[t] < mean[t] - width * sigma[t]:
            signals[t] = ENTER
        elif closes[t] >= mean[t]:
            signals[t] = EXIT
    return signals


@allocating
def simple_average(closes: Floats, period: int) -> Floats:
    """Average the last `period` closes: the difference of two running sums."""
    averages = np.full(len(closes), np.nan)
    sums = np.zeros(len(closes) + 1)
    for t in range(len(closes)):
        sums[t + 1] = sums[t] + closes[t]
        if t >= period - 1:
            averages[t] = (sums[t + 1] - sums[t + 1 - period]) / period
    return averages


@allocating
def exponential_average(closes: Floats, period: int) -> Floats:
    """Average exponentially, seeded with the mean of the first values."""
    averages = np.full(len(closes), np.nan)
    total = level = 0.0
    for t in range(len(closes)):
        if t < period:
            total += closes[t]
            level = total / period
        else:
            level += (closes[t] - level) * (2.0 / (period + 1.0))
        if t >= period - 1:
            averages[t] = level
    return averages


@allocating
def mean_and_deviation(closes: Floats, period: int) -> tuple[Floats, Floats]:
    """Answer mean and population deviation of the last `period` closes, summed oldest first."""
    means, deviations = np.full(len(closes), np.nan), np.full(len(closes), np.nan)
    for t in range(period - 1, len(closes)):
        total = 0.0
        for k in range(t - period + 1, t + 1):
            total += closes[k]
        mean = total / period
        squares = 0.0
        for k in range(t - period + 1, t + 1):
            squares += (closes[k] - mean) * (closes[k] - mean)
        means[t], deviations[t] = mean, math.sqrt(squares / period)
    return means, deviations


@allocating
def walk(
    values: Floats, signals: Floats, keep_in: float, keep_out: float, stop: float, target: float
) -> tuple[Floats, Floats, Floats]:
    """Follow the signals; answer equity and position per bar, and the profit of each trade.

    A signal at a close is filled at the next open. `stop` and `target` are shares away from the
    entry's price, 0 for none. They are live from the bar of the fill on; a bar that opens beyond one
    fills there; of both in one bar the stop is met. A sale at the open comes before either.
    """
    bars = values.shape[1]
    equity, position, profits = np.empty(bars), np.empty(bars), np.empty(bars)
    cash, units, price, trades, due = 1.0, 0.0, 0.0, 0, 0.0
    for t in range(bars):
        sold = 0.0
        if due == EXIT and units > 0.0:
            sold = values[OPEN, t]
        elif due == ENTER and units == 0.0:
            price = values[OPEN, t]
            units = cash * keep_in / price
        if units > 0.0 and sold == 0.0:
            sold = _met(values, t, price, stop, target)
        if sold > 0.0:
            proceeds = units * sold * keep_out
            profits[trades] = proceeds - cash
            trades += 1
            cash, units = proceeds, 0.0
        equity[t] = units * values[CLOSE, t] if units > 0.0 else cash
        position[t] = units
        due = signals[t]
    return equity, position, profits[:trades]


@allocating
def _met(values: Floats, t: int, price: float, stop: float, target: float) -> float:
    stop_level, target_level = price * (1.0 - stop), price * (1.0 + target)
    if stop > 0.0 and values[LOW, t] <= stop_level:
        return float(min(values[OPEN, t], stop_level))
    if target > 0.0 and values[HIGH, t] >= target_level:
        return float(max(values[OPEN, t], target_level))
    return 0.0
