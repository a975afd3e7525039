"""Run a backtest from its spec, and say what came of it; no table is touched."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any, Final

import numpy as np

from backtests.spec import BacktestSpec, milliseconds
from strategies import registry
from trading.bars import Candles, Floats, interval_milliseconds
from trading.fill_ratios import order_figures
from trading.instruments import Instrument
from trading.kernels.backtest import BacktestResult, Costs, Simulation, prepare_backtest
from trading.kernels.panel_backtest import PanelResult, PanelSimulation, prepare_panel_backtest
from trading.metrics import measure
from trading.round_trips import ZERO, RoundTrip, closed_trips, fee_in_quote, split_grid_result
from trading.strategy import Record, StrategyDefinition
from trading.trade_figures import risk_figures

# How many base candles were walked, and how many there are; what it raises ends the walk.
Note = Callable[[int, int], None]
# A walk tells of itself so often.
SLICES: Final = 100


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """What came of a backtest: fill by fill, and in figures."""

    result: BacktestResult | PanelResult
    trips: tuple[RoundTrip, ...]
    # JSON values: amounts as strings, unknown figures as None.
    metrics: dict[str, Any]


def _tell_nobody(_bars_done: int, _bars: int) -> None:
    """Be what is told where nobody waits for it."""


def run(
    spec: BacktestSpec,
    *,
    candles: Sequence[Candles],
    instruments: Sequence[Instrument],
    details: Sequence[Candles] = (),
    note: Note = _tell_nobody,
) -> Outcome:
    """Run the backtest that the spec asks for; candles, details and instruments in the order of its markets."""
    params, definition = registry.make_params(spec.strategy, spec.params, spec.interval), registry.definition(spec.strategy)
    return run_definition(definition, params, spec, candles=candles, instruments=instruments, details=details, note=note)


def run_definition(
    definition: StrategyDefinition,
    params: Record,
    spec: BacktestSpec,
    *,
    candles: Sequence[Candles],
    instruments: Sequence[Instrument],
    details: Sequence[Candles] = (),
    note: Note = _tell_nobody,
) -> Outcome:
    """Run a strategy that the registry need not know."""
    asked: dict[str, Any] = {
        "definition": definition,
        "params": params,
        "interval_ms": interval_milliseconds(spec.interval),
        "costs": _costs(spec),
        "allocation": spec.allocation,
        "anchor": milliseconds(spec.anchor_at),
        "start": milliseconds(spec.trade_from_at),
    }
    simulation: Simulation | PanelSimulation
    is_plain = spec.frictions.is_none and not details
    if len(instruments) == 1 and definition.run is not None and is_plain:
        simulation = prepare_backtest(candles=candles[0], instrument=instruments[0], **asked)
    else:
        simulation = prepare_panel_backtest(candles=candles, instruments=instruments, details=details, **asked)
    _walk(simulation, note)
    result = simulation.result()
    trips = closed_trips(result.fills, {one.symbol: one.lot_size for one in instruments}, is_grid=definition.is_grid)
    return Outcome(result, tuple(trips), _figures(result, trips, instruments, definition.is_grid))


def _costs(spec: BacktestSpec) -> Costs:
    rates = spec.taker_fee, spec.maker_fee, spec.half_spread, spec.slippage, spec.participation
    return Costs(*rates, spec.frictions, spec.taker_fees)


def _walk(simulation: Simulation | PanelSimulation, note: Note) -> None:
    """Walk to the end; where a walk stops and goes on changes nothing."""
    bars = len(simulation.tape.times)
    for number in range(SLICES):
        note(bars * number // SLICES, bars)
        simulation.run(bars * (number + 1) // SLICES)


def held_lots(result: BacktestResult | PanelResult, instruments: Sequence[Instrument]) -> Floats:
    """Answer what was held per bar, of the largest position in lots: what a fee left behind, and nobody can sell, is none."""
    rows = result.positions if isinstance(result, PanelResult) else result.position[np.newaxis]
    # A position is a float of an exact amount: a lot may lie a last bit below one.
    lots = [np.floor(row / float(one.lot_size) + 1e-6) for row, one in zip(rows, instruments, strict=True)]
    largest: Floats = np.max(lots, axis=0)
    return largest


def _figures(
    result: BacktestResult | PanelResult, trips: list[RoundTrip], instruments: Sequence[Instrument], is_grid: bool
) -> dict[str, Any]:
    metrics = measure(
        times=result.times[:-1],
        equity=result.equity[:-1],
        position=held_lots(result, instruments)[:-1],
        starting_equity=float(result.allocation),
        trips=trips,
        fees=fees_in_quote(result),
    )
    figures = {key: str(value) if isinstance(value, Decimal) else value for key, value in asdict(metrics).items()}
    figures["total_return"] = float(result.final_equity / result.allocation - 1)
    figures["final_equity"] = str(result.final_equity)
    if isinstance(result, PanelResult):
        owned = zip(result.symbols, result.base, strict=True)
        figures["open_quantity"] = {symbol: str(base) for symbol, base in owned}
        figures["resolved_bars"] = result.resolved_bars
        figures["fills_per_symbol"] = dict(Counter(fill.symbol for fill in result.fills))
    else:
        figures["open_quantity"] = str(result.base)
    figures |= asdict(risk_figures(trips))
    figures["orders"] = order_figures(result.tallies, last_prices(result, instruments))
    figures["fills"] = len(result.fills)
    figures["denials"] = result.denials
    figures["prices_off_grid"] = result.prices_off_grid
    figures["ambiguous_bars"] = result.ambiguous_bars
    if is_grid:
        split = split_grid_result(result.fills, equity_change=result.final_equity - result.allocation)
        figures["grid_profit"] = str(split.grid_profit)
        figures["inventory_profit"] = str(split.inventory_profit)
    return figures


def last_prices(result: BacktestResult | PanelResult, instruments: Sequence[Instrument]) -> dict[str, Decimal]:
    """Answer what one of each market's coins was worth in the end."""
    last = result.last_prices if isinstance(result, PanelResult) else (result.last_price,)
    return {instrument.symbol: price for instrument, price in zip(instruments, last, strict=True)}


def fees_in_quote(result: BacktestResult | PanelResult) -> Decimal:
    """Add up the fees; one taken in base counts at the price of its fill."""
    return sum((fee_in_quote(fill) for fill in result.fills), ZERO)
