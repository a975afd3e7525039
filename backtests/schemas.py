"""How sweeps look in JSON."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any

from ninja import Schema
from pydantic import Field, StringConstraints

from backtests.sweep_spec import SweepSpec, parse_grid
from marketdata.schemas import Moment, Payload, shown

Word = Annotated[str, StringConstraints(min_length=1, max_length=64, strip_whitespace=True)]
GridText = Annotated[str, StringConstraints(min_length=3, max_length=2_000, strip_whitespace=True)]
Rate = Annotated[Decimal, Field(ge=0, lt=1, max_digits=8, decimal_places=6)]
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

    def to_spec(self) -> SweepSpec:
        """Answer what the service is asked for."""
        values = self.dict()
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
