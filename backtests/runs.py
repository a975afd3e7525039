"""Run a backtest from its spec, and say what came of it; no table is touched."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any

from backtests.spec import BacktestSpec, milliseconds
from strategies import registry
from trading.bars import Candles, interval_milliseconds
from trading.instruments import Instrument
from trading.kernels.backtest import BacktestResult, Costs, run_backtest
from trading.metrics import measure
from trading.round_trips import ZERO, RoundTrip, matched_pairs, round_trips, split_grid_result
from trading.strategy import OrderKind


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """What came of a backtest: fill by fill, and in figures."""

    result: BacktestResult
    trips: tuple[RoundTrip, ...]
    # JSON values: amounts as strings, unknown figures as None.
    metrics: dict[str, Any]


def run(spec: BacktestSpec, *, candles: Candles, instrument: Instrument) -> Outcome:
    """Run the backtest that the spec asks for."""
    definition = registry.definition(spec.strategy)
    result = run_backtest(
        definition=definition,
        params=registry.make_params(spec.strategy, spec.params, spec.interval),
        candles=candles,
        interval_ms=interval_milliseconds(spec.interval),
        instrument=instrument,
        costs=Costs(spec.taker_fee, spec.maker_fee, spec.half_spread, spec.slippage),
        allocation=spec.allocation,
        anchor=milliseconds(spec.anchor_at),
        start=milliseconds(spec.trade_from_at),
    )
    is_grid = OrderKind.LIMIT in definition.order_kinds
    trips = matched_pairs(result.fills) if is_grid else round_trips(result.fills, instrument.lot_size)
    return Outcome(result, tuple(trips), _figures(result, trips, is_grid))


def _figures(result: BacktestResult, trips: list[RoundTrip], is_grid: bool) -> dict[str, Any]:
    metrics = measure(
        times=result.times[:-1],
        equity=result.equity[:-1],
        position=result.position[:-1],
        starting_equity=float(result.allocation),
        trips=trips,
        fees=fees_in_quote(result),
    )
    figures = {key: str(value) if isinstance(value, Decimal) else value for key, value in asdict(metrics).items()}
    figures["total_return"] = float(result.final_equity / result.allocation - 1)
    figures["final_equity"] = str(result.final_equity)
    figures["open_quantity"] = str(result.base)
    figures["fills"] = len(result.fills)
    figures["denials"] = result.denials
    figures["prices_off_grid"] = result.prices_off_grid
    if is_grid:
        split = split_grid_result(result.fills, equity_change=result.final_equity - result.allocation)
        figures["grid_profit"] = str(split.grid_profit)
        figures["inventory_profit"] = str(split.inventory_profit)
    return figures


def fees_in_quote(result: BacktestResult) -> Decimal:
    """Add up the fees; one taken in base counts at the price of its fill."""
    fees = (fill.fee * fill.price if fill.side == "buy" else fill.fee for fill in result.fills)
    return sum(fees, ZERO)
