"""Backtest one strategy on several markets at once, with one purse."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import partial

import numpy as np

from trading import live_step
from trading.bars import Candles, Floats, Times, aggregate
from trading.fill_ratios import OrderTally
from trading.frictions import NONE, Frictions
from trading.instruments import Instrument, amount, instrument_numbers
from trading.kernels import panel_runner
from trading.kernels.backtest import (
    JOURNAL_START,
    Costs,
    Fill,
    UnableToBacktest,
    count_reasons,
    find_closes,
    find_first_bar,
    from_anchor,
    longer_journal,
    new_world,
    readable_fill,
    whole_candles,
    whole_details,
)
from trading.kernels.panel_world import PanelTape
from trading.kernels.roughness import lay_ticks
from trading.kernels.runner import JOURNAL_FULL
from trading.kernels.tallies import read_tallies
from trading.kernels.world import JOURNAL_DTYPE
from trading.sizing import SIZED_DTYPE
from trading.strategy import (
    FIELDS,
    MAX_DECISIONS,
    MAX_SYMBOLS,
    Reason,
    Record,
    StrategyDefinition,
    new_book,
    new_decisions,
)


@dataclass(frozen=True, slots=True, eq=False)
class PanelResult:
    """What came of a backtest on several markets; what is kept per market is in their order."""

    symbols: tuple[str, ...]
    fills: tuple[Fill, ...]
    # Open time and equity of every strategy bar from the first that could trade; position `[symbol][bar]`.
    times: Times
    equity: Floats
    positions: Floats
    allocation: Decimal
    cash: Decimal
    base: tuple[Decimal, ...]
    last_prices: tuple[Decimal, ...]
    reasons: dict[str, int]
    denials: dict[str, int]
    prices_off_grid: int
    # Bars in which a falling and a rising price both met an order, and those whose details told which came first.
    ambiguous_bars: int
    resolved_bars: int
    tallies: tuple[OrderTally, ...]

    @property
    def position(self) -> Floats:
        """Answer, per bar, the largest position of any market: above zero while something is held."""
        largest: Floats = self.positions.max(axis=0)
        return largest

    @property
    def final_equity(self) -> Decimal:
        """Value everything at its last close."""
        worth = (base * price for base, price in zip(self.base, self.last_prices, strict=True))
        return self.cash + sum(worth, Decimal(0))


@dataclass(slots=True, eq=False)
class PanelSimulation:
    """A backtest in progress: it can stop before any base bar and go on later."""

    definition: StrategyDefinition
    params: Record
    instruments: tuple[Instrument, ...]
    state: Record
    # One record per market; the first keeps the clock and the purse.
    worlds: Record
    tape: PanelTape
    strategy_times: Times
    prices_off_grid: int

    def run(self, until: int | None = None) -> None:
        """Walk to the base bar `until`, or to the end."""
        run = self.definition.run_panel or partial(_step_by_step, self.definition)
        end = len(self.tape.times) if until is None else min(until, len(self.tape.times))
        while run(self.worlds, self.tape, self.state, self.params, end) == JOURNAL_FULL:
            self.lengthen_journal()

    def lengthen_journal(self) -> None:
        """Make room for twice as many fills."""
        self.tape = self.tape._replace(journal=longer_journal(self.tape.journal))

    def result(self) -> PanelResult:
        """Answer what came of it so far."""
        clock, first = self.worlds[0], int(self.worlds[0].first_bar)
        journal = self.tape.journal[: clock.fill_count]
        last_prices = [
            instrument.price(int(world.tick_now)) for instrument, world in zip(self.instruments, self.worlds, strict=True)
        ]
        return PanelResult(
            symbols=tuple(instrument.symbol for instrument in self.instruments),
            fills=tuple(
                readable_fill(row, self.instruments[int(row["symbol"])], in_quote=bool(clock.fee_in_quote)) for row in journal
            ),
            times=self.strategy_times[first:],
            equity=self.tape.equity[first:],
            positions=self.tape.position[:, first:],
            allocation=amount(int(clock.allocation)),
            cash=amount(int(clock.cash + clock.cash_locked)),
            base=tuple(amount(int(world.base_owned)) for world in self.worlds),
            last_prices=tuple(last_prices),
            reasons=count_reasons(self.tape.reasons),
            denials=count_reasons(self.tape.denials),
            prices_off_grid=self.prices_off_grid,
            ambiguous_bars=int(self.worlds["ambiguous"].sum()),
            resolved_bars=int(self.worlds["resolved"].sum()),
            tallies=read_tallies(self.worlds, self.instruments),
        )


def run_panel_backtest(
    *,
    definition: StrategyDefinition,
    params: Record,
    candles: Sequence[Candles],
    interval_ms: int,
    instruments: Sequence[Instrument],
    costs: Costs,
    allocation: Decimal,
    anchor: int | None = None,
    start: int | None = None,
    details: Sequence[Candles] = (),
) -> PanelResult:
    """Run a strategy over the base candles of several markets; see `run_backtest` for anchor, start and details."""
    simulation = prepare_panel_backtest(
        definition=definition,
        params=params,
        candles=candles,
        interval_ms=interval_ms,
        instruments=instruments,
        costs=costs,
        allocation=allocation,
        anchor=anchor,
        start=start,
        details=details,
    )
    simulation.run()
    return simulation.result()


def prepare_panel_backtest(
    *,
    definition: StrategyDefinition,
    params: Record,
    candles: Sequence[Candles],
    interval_ms: int,
    instruments: Sequence[Instrument],
    costs: Costs,
    allocation: Decimal,
    anchor: int | None = None,
    start: int | None = None,
    details: Sequence[Candles] = (),
) -> PanelSimulation:
    """Warm the strategy up and lay out the tape, up to the first bar that may trade."""
    _refuse_markets(definition, candles, instruments, allocation)
    costs.frictions.checked(interval_ms=interval_ms)
    if anchor is None:
        anchor = -(-min(int(one.times[0]) for one in candles) // interval_ms) * interval_ms
    base = [from_anchor(one, interval_ms, anchor) for one in candles]
    times, panel = lay_panel([aggregate(one, interval_ms) for one in base])
    first_bar = find_first_bar(times, definition.warmup_bars(params), start)
    state = live_step.state_from_bytes(definition, live_step.warm(definition, params, panel, first_bar))
    tape, off_grid = _lay_tape(base, times, panel, instruments, costs.frictions, details)
    each = _costs_of_each(costs, len(instruments))
    worlds = np.concatenate(
        [new_world(instrument, costs, allocation, first_bar) for instrument, costs in zip(instruments, each, strict=True)]
    )
    for symbol, world in enumerate(worlds):
        world.symbol = symbol
        world.bar_length = base[0].interval_ms
        world.has_details = int(bool(details))
    worlds[0].cursor = int(np.argmax(tape.closes >= first_bar))
    return PanelSimulation(definition, params, tuple(instruments), state, worlds, tape, times, off_grid)


def lay_panel(candles: Sequence[Candles]) -> tuple[Times, Floats]:
    """Lay the candles of several markets side by side: every time that one of them has, NaN where one has none."""
    times = np.unique(np.concatenate([one.times for one in candles]))
    panel = np.full((FIELDS, len(candles), len(times)), np.nan)
    for symbol, one in enumerate(candles):
        panel[:, symbol, np.searchsorted(times, one.times)] = one.values
    return times, panel


def _costs_of_each(costs: Costs, count: int) -> list[Costs]:
    """Answer what each market costs; fees that differ go with no fee tiers, which are the purse's."""
    if not costs.taker_fees:
        return [costs] * count
    if len(costs.taker_fees) != count:
        raise UnableToBacktest(f"{len(costs.taker_fees)} taker fees for {count} markets")
    if costs.frictions != NONE:
        raise UnableToBacktest("Taker fees that differ by market cannot be combined with frictions")
    return [replace(costs, taker_fee=fee, taker_fees=()) for fee in costs.taker_fees]


def _refuse_markets(
    definition: StrategyDefinition, candles: Sequence[Candles], instruments: Sequence[Instrument], allocation: Decimal
) -> None:
    count = len(instruments)
    if len(candles) != count:
        raise UnableToBacktest(f"{len(candles)} series of candles for {count} markets")
    if not definition.symbols_least <= count <= min(definition.symbols_most, MAX_SYMBOLS):
        bounds = f"{definition.symbols_least} to {definition.symbols_most}"
        raise UnableToBacktest(f"{definition.name} trades {bounds} markets, not {count}")
    symbols = [instrument.symbol for instrument in instruments]
    if len(set(symbols)) < count:
        raise UnableToBacktest(f"A market is named twice: {', '.join(symbols)}")
    if len({instrument.quote for instrument in instruments}) > 1:
        raise UnableToBacktest(f"One purse pays for all: {', '.join(symbols)} are not paid in one asset")
    if len({one.interval_ms for one in candles}) > 1:
        raise UnableToBacktest("All markets need base candles of one length")
    if not (allocation.is_finite() and allocation > 0):
        raise UnableToBacktest(f"The allocation must be above zero, not {allocation}")


def _lay_tape(
    base: Sequence[Candles],
    times: Times,
    panel: Floats,
    instruments: Sequence[Instrument],
    frictions: Frictions,
    details: Sequence[Candles],
) -> tuple[PanelTape, int]:
    grid = np.unique(np.concatenate([one.times for one in base]))
    volume_lots = np.zeros((len(base), len(grid)), dtype=np.int64)
    off_grid, rows = 0, []
    for symbol, (one, instrument) in enumerate(zip(base, instruments, strict=True)):
        there = np.searchsorted(grid, one.times)
        own_ticks, own_lots, off = whole_candles(one, instrument)
        volume_lots[symbol, there] = own_lots
        rows.append((one, own_ticks, own_lots))
        off_grid += off
    finer = [
        (detail, whole_details(one, detail, own)) for detail, one, own in zip(details, base, instruments, strict=bool(details))
    ]
    tape = PanelTape(
        times=grid,
        closes=find_closes(grid, times),
        ticks=lay_ticks(rows, grid, frictions, finer),
        volume_lots=volume_lots,
        panel=panel,
        book=new_book(),
        decisions=new_decisions(),
        # One more than may be asked for: what a coordinator does on its own.
        sized=np.zeros(MAX_DECISIONS + 1, dtype=SIZED_DTYPE),
        numbers=instrument_numbers(*instruments),
        journal=np.zeros(JOURNAL_START * len(base), dtype=JOURNAL_DTYPE),
        equity=np.full(len(times), np.nan),
        position=np.full((len(base), len(times)), np.nan),
        reasons=np.zeros(max(Reason) + 1, dtype=np.int64),
        denials=np.zeros(max(Reason) + 1, dtype=np.int64),
    )
    return tape, off_grid


def _step_by_step(
    definition: StrategyDefinition, worlds: Record, tape: PanelTape, state: Record, params: Record, until: int
) -> int:
    """Do what a compiled loop does, for a strategy that has none."""
    while panel_runner.advance(worlds, tape, until):
        count = definition.step(state, tape.panel, int(worlds[0].bar), tape.book, params, tape.decisions)
        panel_runner.answer(worlds, tape, count)
    return int(worlds[0].status)
