"""What holding the market would have done, and what is left of a result beside it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from trading.bars import Candles, Floats, Times
from trading.metrics import DAYS_PER_YEAR, NOISE, OBSERVATIONS_MIN, Z_95
from trading.strategy import CLOSE, OPEN

# Fewer days up, or down, say nothing about either.
CAPTURE_MIN: Final = 5


@dataclass(frozen=True, slots=True)
class Regression:
    """Daily returns explained by those of a benchmark; alpha for a year, both with 95 % intervals."""

    alpha: float
    alpha_low: float
    alpha_high: float
    beta: float
    beta_low: float
    beta_high: float


def hold(markets: Sequence[Candles], times: Times, *, capital: float, cost_rate: float) -> Floats:
    """Buy all markets in equal parts at the first open, at a cost, and hold them: the worth at each moment.

    A moment sees the last candle that had opened before it; the first is before the purchase.
    """
    worths = np.zeros(len(times))
    for candles in markets:
        first = min(int(np.searchsorted(candles.times, times[0])), len(candles) - 1)
        bought = capital / len(markets) * (1.0 - cost_rate) / float(candles.values[OPEN, first])
        closed = np.maximum(np.searchsorted(candles.times, times) - 1, 0)
        worths += bought * candles.values[CLOSE, closed]
    worths[0] = capital
    return worths


class HeldWithFlows(NamedTuple):
    """What holding was worth at each moment, and what came and went, by its place: less than asked where there was less."""

    worths: Floats
    flows: Mapping[int, float]


def hold_with_flows(
    markets: Sequence[Candles], times: Times, *, capital: float, cost_rate: float, flows: Mapping[int, float]
) -> HeldWithFlows:
    """Hold as `hold` does, buy for what comes and sell for what goes, at the next open and the same cost.

    `flows` come right after the worth at their place. What comes is split in equal parts, what goes is
    taken from all markets alike.
    """
    worths, happened = np.zeros(len(times)), dict[int, float]()
    coins, first = np.zeros(len(markets)), 0
    closes, opens = _prices(markets, times)
    for place in sorted({0, *flows}):
        worths[first : place + 1] = coins @ closes[:, first : place + 1]
        there = float(coins @ opens[:, place]) * (1.0 - cost_rate)
        # The capital is the first that comes.
        begun = capital if place == 0 else 0.0
        moved = begun + flows.get(place, 0.0)
        if moved >= 0.0:
            coins = coins + moved / len(markets) * (1.0 - cost_rate) / opens[:, place]
        else:
            moved = max(moved, -there)
            coins = coins * (1.0 + moved / there) if there > 0.0 else coins
        if place in flows:
            happened[place] = moved - begun
        first = place + 1
    worths[first:] = coins @ closes[:, first:]
    worths[0] = capital
    return HeldWithFlows(worths, happened)


def _prices(markets: Sequence[Candles], times: Times) -> tuple[Floats, Floats]:
    """Return, a row a market, the last close before each moment and the next open."""
    closed = [np.maximum(np.searchsorted(candles.times, times) - 1, 0) for candles in markets]
    to_open = [np.minimum(np.searchsorted(candles.times, times), len(candles) - 1) for candles in markets]
    closes = np.array([candles.values[CLOSE, places] for candles, places in zip(markets, closed, strict=True)])
    opens = np.array([candles.values[OPEN, places] for candles, places in zip(markets, to_open, strict=True)])
    return closes, opens


def regress(returns: Floats, market: Floats) -> Regression | None:
    """Fit a line through daily returns, with errors that hold when days differ and depend on each other (Newey, West).

    None under 30 days, or when the market never moved.
    """
    count = len(returns)
    if count < OBSERVATIONS_MIN or np.std(market) <= abs(float(np.mean(market))) * NOISE:
        return None
    columns = np.column_stack([np.ones(count), market])
    inverse = np.linalg.inv(columns.T @ columns)
    fitted = inverse @ columns.T @ returns
    scores = columns * (returns - columns @ fitted)[:, None]
    middle = scores.T @ scores
    lags = newey_west_lags(count)
    for lag in range(1, lags + 1):
        shared = scores[lag:].T @ scores[:-lag]
        middle += (1.0 - lag / (lags + 1)) * (shared + shared.T)
    errors = np.sqrt(np.maximum(np.diag(inverse @ middle @ inverse), 0.0))
    alpha, beta = float(fitted[0]) * DAYS_PER_YEAR, float(fitted[1])
    reach, beta_reach = Z_95 * float(errors[0]) * DAYS_PER_YEAR, Z_95 * float(errors[1])
    return Regression(alpha, alpha - reach, alpha + reach, beta, beta - beta_reach, beta + beta_reach)


def newey_west_lags(count: int) -> int:
    """Answer over how many days errors are taken to depend on each other."""
    return int(4 * (count / 100) ** (2 / 9))


def information_ratio(returns: Floats, market: Floats) -> float | None:
    """Answer the yearly ratio of what was earned beyond the market to how much that varied."""
    beyond = returns - market
    if len(beyond) < OBSERVATIONS_MIN:
        return None
    sigma, mean = float(np.std(beyond, ddof=1)), float(np.mean(beyond))
    return None if sigma <= abs(mean) * NOISE else mean / sigma * math.sqrt(DAYS_PER_YEAR)


def capture(returns: Floats, market: Floats, *, is_up: bool) -> float | None:
    """Answer the mean return as a part of the market's, over the days on which that rose, or fell."""
    days = market > 0.0 if is_up else market < 0.0
    if int(days.sum()) < CAPTURE_MIN:
        return None
    return float(np.mean(returns[days]) / np.mean(market[days]))
