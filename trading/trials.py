"""What bots made of it when each traded alone: one set of figures for each, and nothing that the sample cannot tell."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

import numpy as np

from trading.bars import Floats, Times
from trading.fill_ratios import FillRatio, OrderTally, fill_ratio
from trading.metrics import (
    DAY_MS,
    DAYS_PER_YEAR,
    OBSERVATIONS_MIN,
    break_even_win_rate,
    max_drawdown,
    profit_factor,
    sharpe,
    sharpe_interval,
    volatility,
    wilson_interval,
)
from trading.round_trips import ZERO, RoundTrip
from trading.trade_figures import RiskFigures, risk_figures

HOUR_MS: Final = 3_600_000
# By the length of a step: its name, and how many make a year. The first with enough returns is used.
GRIDS: Final = ((DAY_MS, "1d", DAYS_PER_YEAR), (HOUR_MS, "1h", 24 * DAYS_PER_YEAR))
# A market that went further than its own noise would carry it had a direction.
_DIRECTION: Final = 1.0
# So many legs of no regime in particular weigh against those of one.
_SHRINKING_LEGS: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Leg:
    """One bot alone for some hours: what it was worth at moments of market time, and the trades it closed."""

    begin: int
    end: int
    starting_equity: float
    times: Times
    equity: Floats
    # The deepest fall seen between the moments above, too.
    deepest: float
    trips: Sequence[RoundTrip]
    pnl: Decimal
    fees: Decimal
    exposure: float
    regime: str = ""
    # Its orders that are over, and the last prices of their markets; None of a leg that is older than their count.
    orders: Sequence[OrderTally] | None = ()
    prices: Mapping[str, Decimal] = field(default_factory=dict)

    @property
    def gain(self) -> float:
        """Answer what it made, as a share of what it began with."""
        return float(self.equity[-1]) / self.starting_equity - 1.0 if len(self.equity) else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialFigures:
    """What one bot's legs come to; None where too little data cannot tell."""

    legs: int
    hours: float
    trades: int
    wins: int
    win_rate: float | None
    win_rate_low: float | None
    win_rate_high: float | None
    break_even_win_rate: float | None
    profit_factor: float | None
    pnl: Decimal
    fees: Decimal
    total_return: float
    max_drawdown: float
    # Of returns over steps of this length: days, or hours where the days are too few.
    sharpe_step: str
    observations: int
    sharpe: float | None
    sharpe_low: float | None
    sharpe_high: float | None
    volatility: float | None
    # The share of legs that made money.
    consistency: float | None
    exposure: float
    # What a leg made on average in the regime of now, drawn towards the average of all while there are few.
    fit: float | None
    fit_legs: int
    # None where a leg is older than these figures.
    in_r: RiskFigures | None
    orders: FillRatio | None


def measure_legs(legs: Sequence[Leg], *, regime: str = "") -> TrialFigures:
    """Measure what a bot made in its legs, one after another; `regime` is the market's of now."""
    trips = [trip for leg in legs for trip in leg.trips]
    wins = sum(1 for trip in trips if trip.profit > 0)
    low, high = wilson_interval(wins, len(trips))
    step, periods, returns = _returns(legs)
    sharpe_low, sharpe_high = sharpe_interval(returns, periods)
    fit, fit_legs = _fit(legs, regime)
    levels = chained(legs)
    is_measured = all(leg.orders is not None for leg in legs)
    return TrialFigures(
        legs=len(legs),
        hours=sum(leg.end - leg.begin for leg in legs) / HOUR_MS,
        trades=len(trips),
        wins=wins,
        win_rate=wins / len(trips) if trips else None,
        win_rate_low=low,
        win_rate_high=high,
        break_even_win_rate=break_even_win_rate(trips),
        profit_factor=profit_factor(trips),
        pnl=sum((leg.pnl for leg in legs), ZERO),
        fees=sum((leg.fees for leg in legs), ZERO),
        total_return=float(levels[-1]) - 1.0,
        max_drawdown=min([max_drawdown(levels), *(leg.deepest for leg in legs)]),
        sharpe_step=step,
        observations=len(returns),
        sharpe=sharpe(returns, periods),
        sharpe_low=sharpe_low,
        sharpe_high=sharpe_high,
        volatility=volatility(returns, periods),
        consistency=sum(leg.gain > 0 for leg in legs) / len(legs) if legs else None,
        exposure=float(np.mean([leg.exposure for leg in legs])) if legs else 0.0,
        fit=fit,
        fit_legs=fit_legs,
        in_r=risk_figures(trips) if is_measured else None,
        orders=_orders_filled(legs) if is_measured else None,
    )


def chained(legs: Sequence[Leg]) -> Floats:
    """Answer what one unit would have become, leg after leg, each going on where the one before ended."""
    levels = [np.ones(1)]
    for leg in legs:
        levels.append(levels[-1][-1] * leg.equity / leg.starting_equity if len(leg.equity) else levels[-1][-1:])
    return np.concatenate(levels)


def leg_returns(leg: Leg, step_ms: int) -> Floats:
    """Answer the returns between whole hours or days of a leg, on the clock of UTC; what is left over at its ends is nobody's."""
    grid = np.arange(-(-leg.begin // step_ms) * step_ms, leg.end + 1, step_ms)
    times, equity = np.append(leg.begin, leg.times), np.append(leg.starting_equity, leg.equity)
    levels: Floats = equity[np.searchsorted(times, grid, side="right") - 1]
    return np.divide(levels[1:], levels[:-1]) - 1.0


def regime_of(closes: Floats) -> str:
    """Name what a market did: up, down or sideways, by how far it went against how far its own noise would carry it."""
    if len(closes) <= OBSERVATIONS_MIN or not (closes > 0).all():
        return ""
    moves = np.diff(np.log(closes))
    noise = float(np.std(moves, ddof=1)) * math.sqrt(len(moves))
    way = float(np.sum(moves)) / noise if noise > 0 else 0.0
    if abs(way) <= _DIRECTION:
        return "sideways"
    return "up" if way > 0 else "down"


def _returns(legs: Sequence[Leg]) -> tuple[str, int, Floats]:
    """Answer the returns over the longest step that gives enough of them, else over the shortest."""
    for step_ms, name, periods in GRIDS:
        found = np.concatenate([np.empty(0), *(leg_returns(leg, step_ms) for leg in legs)])
        if len(found) >= OBSERVATIONS_MIN or step_ms == HOUR_MS:
            return name, periods, found
    raise AssertionError("The last step is an hour")


def _orders_filled(legs: Sequence[Leg]) -> FillRatio:
    """Count the orders of all legs; quantities of several markets are added up at what each was worth last."""
    prices = {symbol: price for leg in legs for symbol, price in leg.prices.items()}
    return fill_ratio([tally for leg in legs for tally in leg.orders or ()], prices)


def _fit(legs: Sequence[Leg], regime: str) -> tuple[float | None, int]:
    if not legs:
        return None, 0
    overall = float(np.mean([leg.gain for leg in legs]))
    alike = [leg.gain for leg in legs if regime and leg.regime == regime]
    return (sum(alike) + _SHRINKING_LEGS * overall) / (len(alike) + _SHRINKING_LEGS), len(alike)
