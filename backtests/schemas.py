"""How sweeps and comparisons of plans look in JSON."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Literal

from ninja import Schema
from pydantic import Field, StringConstraints

from backtests.comparison_spec import PLANS_MAX, ComparisonSpec, PlanAsked
from backtests.flow_schemas import FlowMarkOut, PlanFlowsOut
from backtests.friction_schemas import FrictionsIn, Participation, Rate
from backtests.spec import USUAL_PARTICIPATION
from backtests.sweep_spec import SweepSpec, parse_grid
from marketdata.schemas import Amount, AmountIn, Moment, Payload, shown
from portfolio.schemas.results import FillRatioOut, InR

Word = Annotated[str, StringConstraints(min_length=1, max_length=64, strip_whitespace=True)]
GridText = Annotated[str, StringConstraints(min_length=3, max_length=2_000, strip_whitespace=True)]
SHOWN_PLAN: dict[str, Any] = {
    "schema": 1,
    "name": "Two bots",
    "bots": [
        {
            "key": "GRID_TRADING",
            "name": "GridTrading",
            "strategy": "grid",
            "symbols": ["ETH/USDT"],
            "interval": "15m",
            "percent": "60",
            "position_cap_percent": "70",
        },
        {
            "key": "TRIPLE_EMA",
            "name": "TripleEMA",
            "strategy": "triple_ema",
            "symbols": ["BTC/USDT"],
            "interval": "15m",
            "percent": "30",
            "position_cap_percent": "50",
        },
    ],
}
FLOWING_PLAN: dict[str, Any] = SHOWN_PLAN | {
    "name": "Two bots, saving",
    "account": {
        "rebases_after_flows": True,
        "flows": [{"every": "month", "amount": "250"}, {"at": "2024-06-15T12:00:00Z", "amount": "-1000.5"}],
    },
}
NO_PROMISE = "The best of many trials looks good by luck alone: it is a candidate to test, not a promise."


class SweepIn(Payload):
    """What to try: `grid` and `fixed` as on the command line, such as `fast=5:50:5`."""

    model_config = shown(
        {
            "strategy": "sma_cross",
            "grid": ["fast=5:50:5", "slow=20:200:20"],
            "symbol": "BTC/USDT",
            "interval": "1h",
            "begin_at": "2024-01-01T00:00:00Z",
            "end_at": "2024-03-01T00:00:00Z",
        }
    )

    strategy: Word
    grid: Annotated[list[GridText], Field(min_length=1, max_length=12)]
    fixed: Annotated[list[GridText], Field(max_length=40)] = []
    sample: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] = 0
    symbol: Word
    interval: Annotated[str, Field(max_length=4)]
    # A folder of Parquet candles on the server; administrators only. Empty: the candles in the database.
    folder: Annotated[str, Field(max_length=500)] = ""
    begin_at: Moment
    end_at: Moment
    allocation: Annotated[Decimal, Field(gt=0, le=10**12, decimal_places=8)] = Decimal(1000)
    fee: Rate = Decimal("0.001")
    half_spread: Rate = Decimal("0.00005")
    slippage: Rate = Decimal(0)
    # Both of strategies only: signals that are tried event by event know rates alone, and refuse the rest.
    participation: Participation = USUAL_PARTICIPATION
    frictions: FrictionsIn = FrictionsIn()

    def to_spec(self) -> SweepSpec:
        """Answer what the service is asked for."""
        values = self.dict() | {"frictions": self.frictions.to_frictions()}
        values["grid"] = parse_grid(self.grid)
        values["fixed"] = {name: values[0] for name, values in parse_grid(self.fixed).items()}
        return SweepSpec(**values)


class SweepOut(Schema):
    """A sweep and how far it is."""

    id: int
    strategy: str
    grid: dict[str, list[Any]]
    fixed: dict[str, Any]
    sample: int
    seed: int
    symbol: str
    interval: str
    begin_at: datetime
    end_at: datetime
    participation: Amount
    frictions: dict[str, Any]
    state: str
    error: str
    trials: int
    trials_done: int
    trials_per_second: float | None
    seconds_left: float | None
    fingerprint: str
    source_hash: str
    data_hash: str
    requested_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    note: str = NO_PROMISE


class SweepsOut(Schema):
    """Sweeps, newest first."""

    items: list[SweepOut]


class HeatMapOut(Schema):
    """One figure over two parameters; medians over all others, null where nothing is known."""

    x: str
    y: str
    figure: str
    x_values: list[Any]
    y_values: list[Any]
    cells: list[list[float | None]]
    # The median of a cell and its neighbours, and the row and column where that is highest.
    plateau: list[list[float | None]]
    best: tuple[int, int] | None
    trials: int
    note: str = NO_PROMISE


class TrialsOut(Schema):
    """The trials with the highest figure, and how many were tried to find them."""

    figure: str
    parameters: list[str]
    items: list[dict[str, Any]]
    trials: int
    note: str = NO_PROMISE


class PlanAskedIn(Payload):
    """A plan file's content, as `lineups/export` gives it, and what goes before what it says itself.

    Its part `account` may list deposits (above zero) and withdrawals in quote: `{"at": moment, "amount": "500"}` once,
    `{"every": "week" or "month", "amount": "-50"}` at each Monday or first of a month at midnight UTC after the beginning.
    """

    model_config = shown({"plan": SHOWN_PLAN, "mode": "single", "bot": "GridTrading"})

    plan: dict[str, Any]
    mode: Literal["", "percentage", "single", "rotation"] = ""
    bot: Annotated[str, Field(max_length=64)] = ""
    rotation: Annotated[str, Field(max_length=10_000)] = ""
    budget: Annotated[AmountIn, Field(gt=0, le=10**12)] | None = None


class PlanComparisonIn(Payload):
    """Which plans to simulate over which candles, with which capital and costs."""

    model_config = shown(
        {
            "plans": [{"plan": FLOWING_PLAN}, {"plan": SHOWN_PLAN, "mode": "single", "bot": "GridTrading"}],
            "begin_at": "2024-01-01T00:00:00Z",
            "end_at": "2025-01-01T00:00:00Z",
            "capital": "9882.3",
            "interval": "15m",
        }
    )

    plans: Annotated[list[PlanAskedIn], Field(min_length=1, max_length=PLANS_MAX)]
    begin_at: Moment
    end_at: Moment
    capital: Annotated[AmountIn, Field(gt=0, le=10**12, decimal_places=8)]
    interval: Annotated[str, Field(max_length=4)] = ""
    base_interval: Annotated[str, Field(max_length=4)] = ""
    # A folder of Parquet candles on the server; administrators only. Empty: the candles in the database.
    folder: Annotated[str, Field(max_length=500)] = ""
    fee: Rate = Decimal("0.001")
    half_spread: Rate = Decimal("0.00005")
    slippage: Rate = Decimal(0)
    participation: Participation = USUAL_PARTICIPATION
    frictions: FrictionsIn = FrictionsIn()
    is_limited: bool = True

    def to_spec(self) -> ComparisonSpec:
        """Answer what the service is asked for."""
        values = {name: getattr(self, name) for name in PlanComparisonIn.model_fields if name != "plans"}
        plans = (
            PlanAsked(content=row.plan, mode=row.mode, bot=row.bot, rotation=row.rotation, budget=row.budget)
            for row in self.plans
        )
        return ComparisonSpec(plans=tuple(plans), **values | {"frictions": self.frictions.to_frictions()})


class ComparedBotOut(Schema):
    """What came of one bot of a plan."""

    key: str
    strategy: str
    symbol: str
    equity: Amount
    profit: Amount
    fills: int
    trades: int
    traded: Amount
    fees: Amount
    held: Amount
    refusals: dict[str, int]


class HardStopOut(Schema):
    """A moment at which a cap of the day shut a bot, or the account."""

    at: datetime
    of: str


class PlanReportOut(InR):
    """What came of a plan; null where too little data cannot tell. Returns, falls and ratios are time-weighted, without flows."""

    final_equity: Amount
    # Final equity less capital and flows. Null in plans that were simulated before there were flows.
    profit: Amount | None = None
    flows: PlanFlowsOut | None = None
    unallocated: Amount
    total_return: float
    max_drawdown: float
    sharpe: float | None
    sharpe_low: float | None
    sharpe_high: float | None
    trades: int
    win_rate: float | None
    win_rate_low: float | None
    win_rate_high: float | None
    break_even_win_rate: float | None
    # Null in plans that were simulated before it was measured.
    orders: FillRatioOut | None = None
    fills: int
    fees: Amount
    refusals: dict[str, int]
    decisions: int
    switches: int
    hard_stops: list[HardStopOut]
    # The share of base candles with something held that could be sold, and the mean share of the account in coins.
    time_in_market: float
    invested: float
    bots: list[ComparedBotOut]


class ComparedPlanOut(Schema):
    """A plan, how far it is, and what came of it once it is done."""

    number: int
    name: str
    mode: str
    state: str
    error: str
    done: float
    market_at: datetime | None
    bars: int
    attempts: int
    fingerprint: str
    data_hash: str
    report: PlanReportOut | None


class PlanComparisonOut(Schema):
    """A comparison of plans and how far it is."""

    id: int
    begin_at: datetime
    end_at: datetime
    capital: Amount
    interval: str
    base_interval: str
    folder: str
    fee: Amount
    half_spread: Amount
    slippage: Amount
    participation: Amount
    frictions: dict[str, Any]
    is_limited: bool
    state: str
    error: str
    bars: int
    bars_done: int
    bars_per_second: float | None
    seconds_left: float | None
    plans_tried: int
    fingerprint: str
    source_hash: str
    requested_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    plans: list[ComparedPlanOut]
    note: str = NO_PROMISE


class PlanComparisonsOut(Schema):
    """Comparisons, newest first."""

    items: list[PlanComparisonOut]


class PlanCurveOut(Schema):
    """Points to plot: UTC milliseconds, equity, and the deepest fall from the peak since the point before."""

    # The plan's number; without meaning for a benchmark.
    number: int
    name: str
    is_benchmark: bool
    times: list[int]
    equity: list[float]
    drawdown: list[float]
    flows: list[FlowMarkOut] = []


class PlanCurvesOut(Schema):
    """The curves of the plans that are done, and of buying their markets in equal parts and holding them."""

    items: list[PlanCurveOut]
    note: str = NO_PROMISE
