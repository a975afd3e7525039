"""How far real executions lie from the prices that a backtest assumes, and when that is more than chance."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Final, NamedTuple

from trading.costs import taker_buy_ticks, taker_sell_ticks
from trading.trade_figures import mean_interval

# Beyond this mean a backtest promises what the exchange does not give (P7).
LIMIT_BPS: Final = 2.0
# The mean of fewer orders alarms nobody.
ORDERS_MIN: Final = 20
MEAN_WITHIN: Final = "DRIFT_MEAN_WITHIN"
ORDERS_FEW: Final = "DRIFT_ORDERS_FEW"


class Reference(StrEnum):
    """What a backtest takes as the price of an order."""

    OPEN = "open"
    STOP = "stop"
    LIMIT = "limit"


class Shortfall(NamedTuple):
    """What an order was executed at, beside the model's price: worse is positive, whichever side."""

    at: datetime
    bps: float
    # In quote.
    cost: Decimal


@dataclass(frozen=True, slots=True)
class DriftFigures:
    """The mean shortfall of some orders with its 95 % interval; the worst of them, and what they cost in quote."""

    orders: int
    mean: float | None = None
    low: float | None = None
    high: float | None = None
    worst: float | None = None
    cost: Decimal = Decimal(0)


def model_price(
    *, reference: Reference, side: str, level: Decimal | None, opened: float | None, tick_size: Decimal, half_spread_ppm: int
) -> Decimal | None:
    """Answer the price at which a backtest fills an order, None where the candle that tells it is not there.

    A resting limit fills at its own price. A market order pays the open of the candle that it meets and half the spread;
    a stop that is touched sells at its own price less half the spread, and from the open where that is below.
    """
    if reference is Reference.LIMIT:
        return level
    if opened is None:
        return None
    ticks = round(opened / float(tick_size))
    if reference is Reference.STOP and level is not None:
        ticks = min(ticks, int(level / tick_size))
    paid = taker_buy_ticks(ticks, half_spread_ppm) if side == "buy" else max(1, taker_sell_ticks(ticks, half_spread_ppm))
    return paid * tick_size


def shortfall(*, at: datetime, side: str, quantity: Decimal, amount: Decimal, model: Decimal) -> Shortfall:
    """Compare what a quantity cost, or brought, with what it would have at the model's price."""
    assumed = quantity * model
    cost = amount - assumed if side == "buy" else assumed - amount
    return Shortfall(at, float(cost / assumed) * 1e4, cost)


def drift_figures(shortfalls: Sequence[Shortfall]) -> DriftFigures:
    """Measure some orders, each counting alike; the interval is of five and more."""
    if not shortfalls:
        return DriftFigures(0)
    values = [one.bps for one in shortfalls]
    low, high = mean_interval(values)
    cost = sum((one.cost for one in shortfalls), Decimal(0))
    return DriftFigures(len(values), sum(values) / len(values), low, high, max(values), cost)


def drift_by_day(shortfalls: Sequence[Shortfall]) -> dict[date, DriftFigures]:
    """Measure each day of market time, the newest first."""
    days: dict[date, list[Shortfall]] = defaultdict(list)
    for one in shortfalls:
        days[one.at.date()].append(one)
    return {day: drift_figures(days[day]) for day in sorted(days, reverse=True)}


def begins_to_drift(figures: DriftFigures) -> bool:
    """Say whether the mean lies beyond the limit by more than chance: its whole interval does, of enough orders."""
    if figures.orders < ORDERS_MIN or figures.low is None or figures.high is None:
        return False
    return figures.low > LIMIT_BPS or figures.high < -LIMIT_BPS


def why_no_drift(figures: DriftFigures) -> str:
    """Say why an alarm ends, empty while it lasts: the mean itself is back, or too few orders are left to tell."""
    if figures.orders < ORDERS_MIN or figures.mean is None:
        return ORDERS_FEW
    return MEAN_WITHIN if abs(figures.mean) <= LIMIT_BPS else ""
