"""Figures of merit, with the conventions of a market that never closes.

Equity is sampled daily at 00:00 UTC, 365 days make a year, deviations have ddof 1. What cannot be
known from too little data is None, never zero and never infinite.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from statistics import NormalDist
from typing import Final

import numpy as np

from trading.bars import Floats, Times
from trading.round_trips import ZERO, RoundTrip

DAY_MS: Final = 86_400_000
WEEK_MS: Final = 7 * DAY_MS
YEAR_MS: Final = int(365.25 * DAY_MS)
DAYS_PER_YEAR: Final = 365
# Days on which shares are traded: the other convention of a yearly figure.
SESSIONS_PER_YEAR: Final = 252
OBSERVATIONS_MIN: Final = 30
# A shorter stretch is not scaled up to a year.
ANNUAL_FROM_MS: Final = 90 * DAY_MS
# Returns that differ by no more than floats do are equal.
NOISE: Final = 1e-12
# Less than a unit of quote is what floats make of nothing.
NOTHING: Final = 1e-8
# From this correlation of one day with the next on, the yearly Sharpe ratio is corrected for it.
CORRELATION_MIN: Final = 0.1
EULER_GAMMA: Final = 0.5772156649015329
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


def time_weighted(worths: Floats, flows: Mapping[int, float]) -> Floats:
    """Answer what the first worth would have become had nothing come or gone; `flows` come right after the worth at their place.

    The true time-weighted return of the Global Investment Performance Standards (CFA Institute 2020, section 2): what an
    account holds is valued at each external flow, not only once a day, and the growth between flows is linked geometrically.
    So a flow is no return, and neither when it came nor how large it was changes one. Where a flow leaves nothing, nothing is
    won or lost until the next one.
    """
    if not flows:
        return worths
    linked = np.empty_like(worths)
    level = base = float(worths[0])
    first = 0
    for place in sorted({*flows, len(worths) - 1}):
        held = worths[first : place + 1]
        linked[first : place + 1] = held * (level / base) if base > NOTHING else level
        level, base = float(linked[place]), float(worths[place]) + flows.get(place, 0.0)
        first = place + 1
    return linked


def midnight_bars(times: Times) -> Times:
    """Find the bar that is known at each midnight: the last one that opened until then."""
    if not len(times):
        return np.empty(0, dtype=np.int64)
    midnights = np.arange(-(-int(times[0]) // DAY_MS), int(times[-1]) // DAY_MS + 1) * DAY_MS
    return np.searchsorted(times, midnights, side="right").astype(np.int64) - 1


def max_drawdown(equity: Floats) -> float:
    """Answer the deepest fall from an earlier peak, as a share below zero."""
    return float(np.min(equity / np.maximum.accumulate(equity) - 1.0))


def annual_growth(total_return: float, elapsed_ms: int) -> float | None:
    """Answer the yearly growth rate that leads to a return in the time that passed; None under 90 days or when all is lost."""
    if elapsed_ms < ANNUAL_FROM_MS or total_return <= -1.0:
        return None
    return float((1.0 + total_return) ** (YEAR_MS / elapsed_ms) - 1.0)


def calmar(growth: float | None, deepest: float) -> float | None:
    """Answer the yearly growth over the deepest fall; None without either."""
    return None if growth is None or deepest == 0.0 else growth / abs(deepest)


def sharpe(returns: Floats, periods: int = DAYS_PER_YEAR, *, risk_free: float = 0.0) -> float | None:
    """Answer the yearly Sharpe ratio of returns, daily ones unless told otherwise, or None if they are too few or all equal.

    `risk_free` is what a year without risk would have brought.
    """
    sigma = volatility(returns, periods)
    mean = 0.0 if sigma is None else float(np.mean(returns))
    if sigma is None or sigma <= abs(mean) * NOISE:
        return None
    if risk_free:
        mean -= (1.0 + risk_free) ** (1.0 / periods) - 1.0
    return mean * periods / sigma


def in_sessions(ratio: float | None) -> float | None:
    """Answer a yearly ratio as it would be quoted for shares, which are traded on 252 days."""
    return None if ratio is None else ratio * math.sqrt(SESSIONS_PER_YEAR / DAYS_PER_YEAR)


def autocorrelation(returns: Floats) -> float | None:
    """Answer how far a day's return goes with that of the day before; None if they are too few or all equal."""
    sigma = volatility(returns, 1)
    if sigma is None or sigma <= abs(float(np.mean(returns))) * NOISE:
        return None
    away = returns - np.mean(returns)
    return float(np.sum(away[1:] * away[:-1]) / np.sum(away**2))


def correlated_sharpe(returns: Floats, periods: int = DAYS_PER_YEAR) -> float | None:
    """Answer the yearly Sharpe ratio corrected as Lo does it, where days depend on the day before by more than 0.1.

    The correlation is taken to fade by its own factor with every further day.
    """
    ratio, rho = sharpe(returns, periods), autocorrelation(returns)
    if ratio is None or rho is None or abs(rho) <= CORRELATION_MIN:
        return None
    lags = np.arange(1, periods)
    spread = periods + 2.0 * float(np.sum((periods - lags) * rho**lags))
    return ratio / math.sqrt(periods) * periods / math.sqrt(spread)


def sharpe_interval(returns: Floats, periods: int = DAYS_PER_YEAR) -> tuple[float | None, float | None]:
    """Answer the 95 % interval of the yearly Sharpe ratio; skewed and fat-tailed returns make it wider."""
    ratio = sharpe(returns, periods)
    if ratio is None:
        return None, None
    reach = Z_95 * sharpe_error(returns, ratio / math.sqrt(periods)) * math.sqrt(periods)
    return ratio - reach, ratio + reach


def probabilistic_sharpe(returns: Floats, bar: float = 0.0) -> float | None:
    """Answer how likely the true ratio of one period is above `bar`, the ratio of one period to beat."""
    ratio = sharpe(returns, 1)
    if ratio is None:
        return None
    error = sharpe_error(returns, ratio)
    return NormalDist().cdf((ratio - bar) / error) if error > 0.0 else None


def luckiest_sharpe(trials: int, variance: float) -> float:
    """Answer the ratio of one period that the best of so many trials without any skill is expected to show."""
    if trials < 2:
        return 0.0
    normal = NormalDist()
    high, higher = normal.inv_cdf(1.0 - 1.0 / trials), normal.inv_cdf(1.0 - 1.0 / (trials * math.e))
    return math.sqrt(variance) * ((1.0 - EULER_GAMMA) * high + EULER_GAMMA * higher)


def deflated_sharpe(one: float, error: float, *, trials: int, variance: float) -> float:
    """Answer how likely a ratio of one period is more than the luck of so many trials, whose ratios vary so much."""
    return NormalDist().cdf((one - luckiest_sharpe(trials, variance)) / error)


def sharpe_error(returns: Floats, one: float) -> float:
    """Answer the standard error of a ratio of one period; skew and fat tails make it larger."""
    scores = (returns - np.mean(returns)) / np.std(returns)
    skew, kurtosis = float(np.mean(scores**3)), float(np.mean(scores**4))
    square = (1 - skew * one + (kurtosis - 1) / 4 * one**2) / (len(returns) - 1)
    return math.sqrt(max(square, 0.0))


def sortino(returns: Floats, least: float = 0.0) -> float | None:
    """Answer the yearly Sortino ratio over the least acceptable return of a day; the denominator counts every day."""
    if len(returns) < OBSERVATIONS_MIN:
        return None
    downside = math.sqrt(float(np.mean(np.minimum(returns - least, 0.0) ** 2)))
    if downside == 0.0:
        return None
    return (float(np.mean(returns)) - least) / downside * math.sqrt(DAYS_PER_YEAR)


def value_at_risk(returns: Floats, share: float = 0.05) -> float | None:
    """Answer the daily return that the worst share of days stayed at or below, as it was; None if they are too few."""
    if len(returns) < OBSERVATIONS_MIN:
        return None
    return float(np.quantile(returns, share, method="inverted_cdf"))


def expected_shortfall(returns: Floats, share: float = 0.05) -> float | None:
    """Answer the mean daily return of the worst share of days."""
    worst = value_at_risk(returns, share)
    return None if worst is None else float(np.mean(returns[returns <= worst]))


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
