"""How results in R, and the share of orders that filled, look in JSON: the same of backtests, bots and trials."""

from __future__ import annotations

from typing import Any

from ninja import Schema

from marketdata.schemas import shown

RISK_SHOWN: dict[str, Any] = {
    "r_trades": 118,
    "r_less": 2,
    "r_expectancy": 0.21,
    "r_expectancy_low": -0.04,
    "r_expectancy_high": 0.46,
    "r_best": 4.8,
    "r_worst": -1.3,
    "sqn": 1.52,
}
FILLED_SHOWN: dict[str, Any] = {
    "orders": 412,
    "filled": 371,
    "by_count": 0.9004854368932039,
    "by_count_low": 0.867777230206106,
    "by_count_high": 0.9257944375536787,
    "by_quantity": 0.9127,
}


class InR(Schema):
    """Results in R; null where too few trades had a stop."""

    r_trades: int = 0
    # Trades without a multiple: an entry came without a stop.
    r_less: int = 0
    r_expectancy: float | None = None
    r_expectancy_low: float | None = None
    r_expectancy_high: float | None = None
    r_best: float | None = None
    r_worst: float | None = None
    # The root of the trades, at most 100, times mean over deviation of R.
    sqn: float | None = None


class RiskFiguresOut(InR):
    """Results in R, multiples of what entries risked down to the stops they came with; null where too few trades had one."""

    model_config = shown(RISK_SHOWN)


class FillRatioOut(Schema):
    """Orders placed and over against those of them that were filled whole, with its 95 % interval, and by quantity."""

    model_config = shown(FILLED_SHOWN)

    orders: int
    filled: int
    by_count: float | None
    by_count_low: float | None
    by_count_high: float | None
    by_quantity: float | None


class KindFilledOut(FillRatioOut):
    """The same of one kind of order: ENTRY and EXIT take what is there, LIMIT rests."""

    model_config = shown({"kind": "LIMIT", **FILLED_SHOWN})

    kind: str


class OrdersOut(FillRatioOut):
    """How much of what was ordered was filled; stops are counted apart, each level that one was moved to."""

    model_config = shown({**FILLED_SHOWN, "kinds": [{"kind": "LIMIT", **FILLED_SHOWN}], "stops": 64, "stops_filled": 21})

    kinds: list[KindFilledOut]
    stops: int
    stops_filled: int
