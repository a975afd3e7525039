"""How backtests and their reports look in JSON."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any

from ninja import Schema
from pydantic import Field

from backtests.friction_schemas import FrictionsIn, Participation, Rate
from backtests.schemas import NO_PROMISE, Word
from backtests.spec import USUAL_PARTICIPATION, BacktestSpec
from marketdata.schemas import Amount, AmountIn, Moment, Payload, shown
from portfolio.schemas.results import OrdersOut, RiskFiguresOut

Value = Annotated[str, Field(max_length=64)] | bool | int | float


class BacktestIn(Payload):
    """One strategy on one market, or on several that share a purse, over stored candles."""

    model_config = shown(
        {
            "strategy": "triple_ema",
            "params": {"cost_gate": 0},
            "symbol": "BTC/USDT",
            "interval": "1h",
            "begin_at": "2024-01-01T00:00:00Z",
            "end_at": "2024-07-01T00:00:00Z",
            "allocation": "10000",
        }
    )

    strategy: Word
    params: dict[str, Value] = {}
    symbol: Word
    others: Annotated[list[Word], Field(max_length=9)] = []
    interval: Annotated[str, Field(max_length=4)]
    # Candles that orders are matched on; empty: the strategy's own.
    base_interval: Annotated[str, Field(max_length=4)] = ""
    # A folder of Parquet candles on the server; administrators only. Empty: the candles in the database.
    folder: Annotated[str, Field(max_length=500)] = ""
    begin_at: Moment
    end_at: Moment
    anchor_at: Moment | None = None
    trade_from_at: Moment | None = None
    allocation: Annotated[AmountIn, Field(gt=0, le=10**12, decimal_places=8)] = Decimal(10_000)
    taker_fee: Rate = Decimal("0.001")
    maker_fee: Rate = Decimal("0.001")
    # What a taker pays in each market, where that differs; empty: `taker_fee` in all.
    taker_fees: Annotated[list[Rate], Field(max_length=10)] = []
    half_spread: Rate = Decimal("0.00005")
    slippage: Rate = Decimal(0)
    # The share of a base candle's volume that its orders may have.
    participation: Participation = USUAL_PARTICIPATION
    # Finer candles that tell in which order an ambiguous base candle went; empty for none.
    detail_interval: Annotated[str, Field(max_length=4)] = ""
    frictions: FrictionsIn = FrictionsIn()

    def to_spec(self) -> BacktestSpec:
        """Answer what the service is asked for."""
        values = self.dict() | {"others": tuple(self.others), "taker_fees": tuple(self.taker_fees)}
        values["frictions"] = self.frictions.to_frictions()
        return BacktestSpec(**{**values, "base_interval": self.base_interval or self.interval})


class BacktestOut(Schema):
    """A backtest: what was asked, and what came of it in figures."""

    id: int
    strategy: str
    params: dict[str, Any]
    symbols: list[str]
    interval: str
    base_interval: str
    folder: str
    begin_at: datetime
    end_at: datetime
    anchor_at: datetime | None
    trade_from_at: datetime | None
    allocation: Amount
    taker_fee: Amount
    maker_fee: Amount
    taker_fees: list[Amount]
    half_spread: Amount
    slippage: Amount
    participation: Amount
    detail_interval: str
    frictions: dict[str, Any]
    fingerprint: str
    source_hash: str
    state: str
    error: str
    bars: int
    bars_done: int
    bars_per_second: float | None
    seconds_left: float | None
    metrics: dict[str, Any]
    reasons: dict[str, int]
    requested_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    note: str = NO_PROMISE


class BacktestsOut(Schema):
    """Backtests, newest first."""

    items: list[BacktestOut]


class LuckOut(Schema):
    """How likely the Sharpe ratio is more than the luck of all tries."""

    deflated: float
    trials: int
    note: str


class BacktestReportOut(Schema):
    """Everything that a report shows: figures, curves, months, falls, trades and candles to plot."""

    run: BacktestOut
    content: dict[str, Any]
    # Parts of the content, said what they are; orders are null in reports of before they were counted.
    in_r: RiskFiguresOut
    orders: OrdersOut | None
    data_hash: str
    made_at: datetime
    is_synthetic: bool
    backtests_tried: int
    sweep_trials_tried: int
    luck: LuckOut | None


class ReportCandlesOut(Schema):
    """Candles of a stretch, put together to as many as a plot shows, and the fills among them; UTC milliseconds."""

    symbol: str
    interval_ms: int
    times: list[int]
    open: list[float]
    high: list[float]
    low: list[float]
    close: list[float]
    fills: list[dict[str, Any]]
