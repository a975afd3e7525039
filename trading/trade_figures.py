"""What closed trades say of themselves: how large, how long, at what cost, and how far they went on the way."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, NamedTuple

import numpy as np
from scipy.special import stdtrit

from trading.bars import Candles, Floats
from trading.metrics import NOISE, YEAR_MS
from trading.round_trips import ZERO, FillLike, RoundTrip
from trading.strategy import CLOSE, HIGH, LOW

# What is said of the mean of fewer trades is said of chance.
TRADES_MIN: Final = 5
# More trades make the mean surer, not the system better.
SQN_TRADES_MAX: Final = 100


@dataclass(frozen=True, slots=True)
class TradeFigures:
    """Sizes of wins and losses; None where there are too few of them."""

    mean_win: Decimal | None
    # Without its sign.
    mean_loss: Decimal | None
    payoff: float | None
    # The payoff at which wins pay for losses at this win rate.
    payoff_break_even: float | None
    expectancy: Decimal | None
    expectancy_low: float | None
    expectancy_high: float | None
    # The mean result as a part of what was paid.
    mean_part: float | None
    best: Decimal | None
    worst: Decimal | None
    # The share of the purse that grows fastest if the future is like these trades; for reading, never for sizing.
    kelly: float | None
    mean_holding_ms: float | None
    median_holding_ms: float | None
    losses_in_a_row: int


@dataclass(frozen=True, slots=True)
class RiskFigures:
    """Results in R, multiples of what a trade risked at first; None where too few trades came with a stop."""

    # Trades that have a multiple, and those that have none because an entry came without a stop.
    r_trades: int
    r_less: int
    r_expectancy: float | None
    r_expectancy_low: float | None
    r_expectancy_high: float | None
    r_best: float | None
    r_worst: float | None
    # The root of their count, at most 100, times mean over deviation (Van Tharp).
    sqn: float | None


class Excursion(NamedTuple):
    """How far a trade's price went against it and for it, as parts of its entry price."""

    adverse: float
    favourable: float


def trade_figures(trips: Sequence[RoundTrip]) -> TradeFigures:
    """Measure closed trades; one that ends at zero counts as a loss."""
    profits = [trip.profit for trip in trips]
    wins, losses = [one for one in profits if one > 0], [-one for one in profits if one <= 0]
    mean_win, mean_loss = _mean(wins), _mean(losses)
    win_rate = len(wins) / len(trips) if trips else 0.0
    payoff = float(mean_win / mean_loss) if mean_win is not None and mean_loss else None
    low, high = mean_interval([float(one) for one in profits])
    holdings = [trip.closed - trip.opened for trip in trips]
    return TradeFigures(
        mean_win=mean_win,
        mean_loss=mean_loss,
        payoff=payoff,
        payoff_break_even=(1.0 - win_rate) / win_rate if wins else None,
        expectancy=_mean(profits),
        expectancy_low=low,
        expectancy_high=high,
        mean_part=float(np.mean([trip.part for trip in trips])) if trips else None,
        best=max(profits, default=None),
        worst=min(profits, default=None),
        kelly=None if payoff is None else win_rate - (1.0 - win_rate) / payoff,
        mean_holding_ms=float(np.mean(holdings)) if holdings else None,
        median_holding_ms=float(np.median(holdings)) if holdings else None,
        losses_in_a_row=losing_streak(profits),
    )


def risk_figures(trips: Sequence[RoundTrip]) -> RiskFigures:
    """Measure closed trades in R."""
    multiples = [trip.multiple for trip in trips if trip.multiple is not None]
    low, high = mean_interval(multiples)
    return RiskFigures(
        r_trades=len(multiples),
        r_less=len(trips) - len(multiples),
        r_expectancy=float(np.mean(multiples)) if multiples else None,
        r_expectancy_low=low,
        r_expectancy_high=high,
        r_best=max(multiples, default=None),
        r_worst=min(multiples, default=None),
        sqn=system_quality(multiples),
    )


def system_quality(multiples: Sequence[float]) -> float | None:
    """Answer the system quality number of multiples of R; None of fewer than five, or of equal ones."""
    if len(multiples) < TRADES_MIN:
        return None
    mean, deviation = float(np.mean(multiples)), float(np.std(multiples, ddof=1))
    if deviation <= abs(mean) * NOISE:
        return None
    return math.sqrt(min(len(multiples), SQN_TRADES_MAX)) * mean / deviation


def mean_interval(values: Sequence[float]) -> tuple[float | None, float | None]:
    """Answer the 95 % interval of a mean, by Student's t; None of fewer than five values."""
    if len(values) < TRADES_MIN:
        return None, None
    middle = float(np.mean(values))
    error = float(np.std(values, ddof=1)) / math.sqrt(len(values))
    reach = float(stdtrit(len(values) - 1, 0.975)) * error
    return middle - reach, middle + reach


def losing_streak(profits: Sequence[Decimal]) -> int:
    """Count the most trades in a row that earned nothing."""
    longest = current = 0
    for profit in profits:
        current = current + 1 if profit <= 0 else 0
        longest = max(longest, current)
    return longest


def excursions(trips: Sequence[RoundTrip], markets: Mapping[str, Candles]) -> list[Excursion]:
    """Answer how far each trade went against itself and for itself, by the candles of its market.

    Candles are taken whole, those of entry and exit too, so both are at least what they were.
    """
    found = []
    for trip in trips:
        candles = markets[trip.symbol]
        first = max(0, int(np.searchsorted(candles.times, trip.opened, side="right")) - 1)
        last = int(np.searchsorted(candles.times, trip.closed, side="right"))
        entry = float(trip.entry_price)
        low, high = float(np.min(candles.values[LOW, first:last])), float(np.max(candles.values[HIGH, first:last]))
        found.append(Excursion(min(low / entry - 1.0, 0.0), max(high / entry - 1.0, 0.0)))
    return found


def traded_amount(fills: Sequence[FillLike]) -> Decimal:
    """Add up what was bought and sold, in quote."""
    return sum((fill.quantity * fill.price for fill in fills), ZERO)


def annual_turnover(traded: Decimal, *, mean_equity: float, elapsed_ms: int) -> float | None:
    """Answer how often a year the equity is turned over, one way; None when no time passed."""
    if elapsed_ms <= 0 or mean_equity <= 0:
        return None
    return float(traded) / 2.0 / mean_equity * YEAR_MS / elapsed_ms


def cost_share(costs: Decimal, trips: Sequence[RoundTrip]) -> float | None:
    """Answer the costs as a part of what the winning trades earned; None when none did."""
    won = sum((trip.profit for trip in trips if trip.profit > 0), ZERO)
    return float(costs / won) if won else None


def slippage_bps(fills: Sequence[FillLike], candles: Candles) -> Floats:
    """Answer, for each fill, how much worse its price is than the last close before it, in hundredths of a per cent."""
    times = np.array([fill.time for fill in fills], dtype=np.int64)
    prices = np.array([float(fill.price) for fill in fills])
    signs = np.array([1.0 if fill.side == "buy" else -1.0 for fill in fills])
    before = np.searchsorted(candles.times, times - candles.interval_ms, side="right") - 1
    closes = candles.values[CLOSE, np.maximum(before, 0)]
    worse: Floats = signs * (prices / closes - 1.0) * 1e4
    return worse[before >= 0]


def _mean(values: Sequence[Decimal]) -> Decimal | None:
    return sum(values, ZERO) / len(values) if values else None
