"""Figures of merit, with the conventions of a market that never closes.

Equity is sampled daily at 00:00 UTC, 365 days make a year, deviations have ddof 1. What cannot be
known from too little data is None, never zero and never infinite.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

import numpy as np

from trading.bars import Floats, Times
from trading.round_trips import ZERO, RoundTrip

DAY_MS: Final = 86_400_000
WEEK_MS: Final = 7 * DAY_MS
DAYS_PER_YEAR: Final = 365
OBSERVATIONS_MIN: Final = 30
Z_95: Final = 1.959963984540054


@dataclass(frozen=True, slots=True)
class Metrics:
    """What a run of trades and its equity come to."""

    total_return: float
    max_drawdown: float
    sharpe: float | None
    sortino: float | None
    volatility: float | None
    daily_observations: int
    exposure: float
    trades: int
    trades_per_week: float
    wins: int
    win_rate: float | None
    win_rate_low: float | None
    win_rate_high: float | None
    break_even_win_rate: float | None
    profit_factor: float | None
    expectancy: Decimal | None
    fees: Decimal


def measure(
    *,
    times: Times,
    equity: Floats,
    position: Floats,
    starting_equity: float,
    trips: Sequence[RoundTrip],
    fees: Decimal,
) -> Metrics:
    """Measure a run: its equity per bar, its closed trades and the fees it paid in quote."""
    daily = daily_returns(times, equity)
    wins = sum(1 for trip in trips if trip.profit > 0)
    low, high = wilson_interval(wins, len(trips))
    weeks = (int(times[-1]) - int(times[0])) / WEEK_MS if len(times) > 1 else 0.0
    return Metrics(
        total_return=float(equity[-1]) / starting_equity - 1.0,
        max_drawdown=max_drawdown(np.append(starting_equity, equity)),
        sharpe=sharpe(daily),
        sortino=sortino(daily),
        volatility=volatility(daily),
        daily_observations=len(daily),
        exposure=float(np.mean(position > 0)),
        trades=len(trips),
        trades_per_week=len(trips) / weeks if weeks > 0 else 0.0,
        wins=wins,
        win_rate=wins / len(trips) if trips else None,
        win_rate_low=low,
        win_rate_high=high,
        break_even_win_rate=break_even_win_rate(trips),
        profit_factor=profit_factor(trips),
        expectancy=sum((trip.profit for trip in trips), ZERO) / len(trips) if trips else None,
        fees=fees,
    )


def daily_returns(times: Times, equity: Floats) -> Floats:
    """Answer the returns between midnights; the equity at midnight is the last one known."""
    levels = equity[midnight_bars(times)]
    return levels[1:] / levels[:-1] - 1.0


def midnight_bars(times: Times) -> Times:
    """Find the bar that is known at each midnight: the last one that opened until then."""
    if not len(times):
        return np.empty(0, dtype=np.int64)
    midnights = np.arange(-(-int(times[0]) // DAY_MS), int(times[-1]) // DAY_MS + 1) * DAY_MS
    return np.searchsorted(times, midnights, side="right").astype(np.int64) - 1


def max_drawdown(equity: Floats) -> float:
    """Answer the deepest fall from an earlier peak, as a share below zero."""
    return float(np.min(equity / np.maximum.accumulate(equity) - 1.0))


def sharpe(returns: Floats, periods: int = DAYS_PER_YEAR) -> float | None:
    """Answer the yearly Sharpe ratio of returns, daily ones unless told otherwise, or None if they are too few or all equal."""
    sigma = volatility(returns, periods)
    if sigma is None or sigma == 0.0:
        return None
    return float(np.mean(returns)) * periods / sigma


def sharpe_interval(returns: Floats, periods: int = DAYS_PER_YEAR) -> tuple[float | None, float | None]:
    """Answer the 95 % interval of the yearly Sharpe ratio; skewed and fat-tailed returns make it wider."""
    ratio = sharpe(returns, periods)
    if ratio is None:
        return None, None
    one = ratio / math.sqrt(periods)
    scores = (returns - np.mean(returns)) / np.std(returns)
    skew, kurtosis = float(np.mean(scores**3)), float(np.mean(scores**4))
    square = (1 - skew * one + (kurtosis - 1) / 4 * one**2) / (len(returns) - 1)
    reach = Z_95 * math.sqrt(max(square, 0.0) * periods)
    return ratio - reach, ratio + reach


def sortino(returns: Floats) -> float | None:
    """Answer the yearly Sortino ratio; the denominator counts every day."""
    if len(returns) < OBSERVATIONS_MIN:
        return None
    downside = math.sqrt(float(np.mean(np.minimum(returns, 0.0) ** 2)))
    if downside == 0.0:
        return None
    return float(np.mean(returns)) / downside * math.sqrt(DAYS_PER_YEAR)


def volatility(returns: Floats, periods: int = DAYS_PER_YEAR) -> float | None:
    """Answer the yearly deviation of returns, daily ones unless told otherwise, or None if they are too few."""
    if len(returns) < OBSERVATIONS_MIN:
        return None
    return float(np.std(returns, ddof=1)) * math.sqrt(periods)


def wilson_interval(wins: int, trials: int) -> tuple[float | None, float | None]:
    """Answer the 95 % Wilson interval of a win rate."""
    if trials == 0:
        return None, None
    share, square = wins / trials, Z_95**2
    middle = share + square / (2 * trials)
    reach = Z_95 * math.sqrt(share * (1 - share) / trials + square / (4 * trials**2))
    scale = 1 + square / trials
    return (middle - reach) / scale, (middle + reach) / scale


def break_even_win_rate(trips: Sequence[RoundTrip]) -> float | None:
    """Answer the win rate at which the average win pays for the average loss."""
    wins = [trip.profit for trip in trips if trip.profit > 0]
    losses = [-trip.profit for trip in trips if trip.profit <= 0]
    if not wins or not losses:
        return None
    win, loss = sum(wins, ZERO) / len(wins), sum(losses, ZERO) / len(losses)
    return float(loss / (win + loss))


def profit_factor(trips: Sequence[RoundTrip]) -> float | None:
    """Answer what was won over what was lost; None while nothing was lost."""
    lost = -sum((trip.profit for trip in trips if trip.profit < 0), ZERO)
    won = sum((trip.profit for trip in trips if trip.profit > 0), ZERO)
    return float(won / lost) if lost else None
