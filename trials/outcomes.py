"""What came of a turn, as it is stored and as the arithmetic of trials reads it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np

from trading.bars import Floats, Times
from trading.fill_ratios import OrderTally
from trading.metrics import max_drawdown
from trading.round_trips import RoundTrip
from trading.trials import HOUR_MS, Leg


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TurnOutcome:
    """What a bot was worth at moments of its turn, and what it closed."""

    starting_equity: Decimal
    times: Times
    equity: Floats
    trips: Sequence[RoundTrip]
    pnl: Decimal
    fees: Decimal
    exposure: float
    regime: str
    orders: Sequence[OrderTally]
    # What one of each market's coins was worth at the end.
    prices: Mapping[str, Decimal]


def stored(outcome: TurnOutcome) -> dict[str, Any]:
    """Return what is kept in the row: equity by the hour, whatever the candles were."""
    kept = (outcome.times % HOUR_MS == 0) | (np.arange(len(outcome.times)) == len(outcome.times) - 1)
    levels = np.append(float(outcome.starting_equity), outcome.equity)
    return {
        "starting_equity": float(outcome.starting_equity),
        "times": outcome.times[kept].tolist(),
        "equity": outcome.equity[kept].tolist(),
        # Of a turn that nobody drew a point of, nothing is known to have fallen.
        "deepest": max_drawdown(levels) if len(outcome.equity) else 0.0,
        "trips": [
            [
                trip.opened,
                trip.closed,
                str(trip.cost),
                str(trip.profit),
                trip.reason,
                None if trip.risk is None else str(trip.risk),
            ]
            for trip in outcome.trips
        ],
        "exposure": outcome.exposure,
        "regime": outcome.regime,
        "orders": [[*tally[:4], str(tally.quantity), str(tally.quantity_filled)] for tally in outcome.orders],
        "prices": {symbol: str(price) for symbol, price in outcome.prices.items()},
    }


def leg_of(row: Any) -> Leg:
    """Read a finished turn as the arithmetic wants it."""
    kept = row.outcome
    return Leg(
        begin=int(row.begin_at.timestamp() * 1000),
        end=int(row.end_at.timestamp() * 1000),
        starting_equity=kept["starting_equity"],
        times=np.array(kept["times"], dtype=np.int64),
        equity=np.array(kept["equity"], dtype=np.float64),
        deepest=kept["deepest"],
        trips=[_trip(*trip) for trip in kept["trips"]],
        pnl=row.pnl,
        fees=row.fees,
        exposure=kept["exposure"],
        regime=kept["regime"],
        # Turns that were stored before R and orders were measured have neither.
        orders=[_tally(*tally) for tally in kept["orders"]] if "orders" in kept else None,
        prices={symbol: Decimal(price) for symbol, price in kept.get("prices", {}).items()},
    )


def _trip(opened: int, closed: int, cost: str, profit: str, reason: str, risk: str | None = None) -> RoundTrip:
    return RoundTrip(opened, closed, Decimal(cost), Decimal(profit), reason, risk=None if risk is None else Decimal(risk))


def _tally(symbol: str, kind: str, orders: int, filled: int, quantity: str, quantity_filled: str) -> OrderTally:
    return OrderTally(symbol, kind, orders, filled, Decimal(quantity), Decimal(quantity_filled))
