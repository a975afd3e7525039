"""Backtest one strategy on one market: exact money, its own matching, every fill kept."""

from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import Final

import numpy as np

from trading import live_step
from trading.bars import Candles, Floats, Times, aggregate, to_panel
from trading.costs import rate_ppm
from trading.fill_ratios import OrderTally
from trading.frictions import NONE, Frictions
from trading.instruments import Instrument, amount, instrument_numbers, units
from trading.kernels.roughness import equip
from trading.kernels.runner import JOURNAL_FULL, JOURNAL_MARGIN, advance, answer
from trading.kernels.tallies import read_tallies
from trading.kernels.world import JOURNAL_DTYPE, WORLD_DTYPE, Tape
from trading.sizing import SIZED_DTYPE
from trading.strategy import (
    BUY,
    CLOSE,
    MAX_DECISIONS,
    OrderKind,
    Reason,
    Record,
    StrategyDefinition,
    new_book,
    new_decisions,
)

JOURNAL_START: Final = 4 * JOURNAL_MARGIN


class UnableToBacktest(ValueError):
    """These inputs make no backtest."""


@dataclass(frozen=True, slots=True)
class Costs:
    """What trading costs, as rates; each a whole number of millionths."""

    taker_fee: Decimal = Decimal("0.001")
    maker_fee: Decimal = Decimal("0.001")
    half_spread: Decimal = Decimal("0.00005")
    slippage: Decimal = Decimal(0)
    # The share of a base bar's volume that resting orders, or a taker at one depth, may have.
    participation: Decimal = Decimal("0.1")
    frictions: Frictions = NONE
    # What a taker pays in each market, where they differ: one rate for each; empty: the same in all.
    taker_fees: tuple[Decimal, ...] = ()


@dataclass(frozen=True, slots=True)
class Fill:
    """One fill as the exchange would report it; `time` in UTC milliseconds."""

    time: int
    side: str
    quantity: Decimal
    price: Decimal
    fee: Decimal
    fee_asset: str
    kind: str
    reason: str
    order_id: int
    slot: int
    symbol: str = ""
    # The stop that an entry came with; None for none, and for every other fill.
    stop_price: Decimal | None = None


@dataclass(frozen=True, slots=True, eq=False)
class BacktestResult:
    """What came of a backtest."""

    fills: tuple[Fill, ...]
    # Open time, equity and position of every strategy bar from the first that could trade.
    times: Times
    equity: Floats
    position: Floats
    allocation: Decimal
    cash: Decimal
    base: Decimal
    last_price: Decimal
    reasons: dict[str, int]
    denials: dict[str, int]
    prices_off_grid: int
    # Bars in which a falling and a rising price both met an order.
    ambiguous_bars: int
    tallies: tuple[OrderTally, ...]

    @property
    def final_equity(self) -> Decimal:
        """Value everything at the last close."""
        return self.cash + self.base * self.last_price


@dataclass(slots=True, eq=False)
class Simulation:
    """A backtest in progress: it can stop before any base bar and go on later."""

    definition: StrategyDefinition
    params: Record
    instrument: Instrument
    state: Record
    world: Record
    tape: Tape
    strategy_times: Times
    prices_off_grid: int

    def run(self, until: int | None = None) -> None:
        """Walk to the base bar `until`, or to the end."""
        run = self.definition.run or partial(_step_by_step, self.definition)
        end = len(self.tape.times) if until is None else min(until, len(self.tape.times))
        while run(self.world, self.tape, self.state, self.params, end) == JOURNAL_FULL:
            self.lengthen_journal()

    def lengthen_journal(self) -> None:
        """Make room for twice as many fills."""
        self.tape = self.tape._replace(journal=longer_journal(self.tape.journal))

    def result(self) -> BacktestResult:
        """Answer what came of it so far."""
        world = self.world[0]
        first = int(world.first_bar)
        journal = self.tape.journal[: world.fill_count]
        last = self.tape.ticks[CLOSE, max(0, world.cursor - 1)]
        return BacktestResult(
            fills=tuple(readable_fill(row, self.instrument) for row in journal),
            times=self.strategy_times[first:],
            equity=self.tape.equity[first:],
            position=self.tape.position[first:],
            allocation=amount(int(world.allocation)),
            cash=amount(int(world.cash + world.cash_locked)),
            base=amount(int(world.base_owned)),
            last_price=self.instrument.price(int(last)),
            reasons=count_reasons(self.tape.reasons),
            denials=count_reasons(self.tape.denials),
            prices_off_grid=self.prices_off_grid,
            ambiguous_bars=int(world.ambiguous),
            tallies=read_tallies(self.world, [self.instrument]),
        )


def run_backtest(
    *,
    definition: StrategyDefinition,
    params: Record,
    candles: Candles,
    interval_ms: int,
    instrument: Instrument,
    costs: Costs,
    allocation: Decimal,
    anchor: int | None = None,
    start: int | None = None,
) -> BacktestResult:
    """Run a strategy over base candles.

    `anchor` is the open time of the first bar that its indicators see (default: the first whole
    bar), `start` that of the first bar it may trade on (default: `warmup_bars` later).
    """
    simulation = prepare_backtest(
        definition=definition,
        params=params,
        candles=candles,
        interval_ms=interval_ms,
        instrument=instrument,
        costs=costs,
        allocation=allocation,
        anchor=anchor,
        start=start,
    )
    simulation.run()
    return simulation.result()


def prepare_backtest(
    *,
    definition: StrategyDefinition,
    params: Record,
    candles: Candles,
    interval_ms: int,
    instrument: Instrument,
    costs: Costs,
    allocation: Decimal,
    anchor: int | None = None,
    start: int | None = None,
) -> Simulation:
    """Warm the strategy up and lay out the tape, up to the first bar that may trade."""
    if not (allocation.is_finite() and allocation > 0):
        raise UnableToBacktest(f"The allocation must be above zero, not {allocation}")
    if not costs.frictions.is_none:
        # The loop of one market is kept lean; that of several knows frictions and takes one market as well.
        raise UnableToBacktest("Frictions are simulated by the engine of several markets only")
    base = from_anchor(candles, interval_ms, anchor)
    bars = aggregate(base, interval_ms)
    first_bar = find_first_bar(bars.times, definition.warmup_bars(params), start)
    panel = to_panel(bars)
    state = live_step.state_from_bytes(definition, live_step.warm(definition, params, panel, first_bar))
    tape, off_grid = _lay_tape(base, bars, panel, instrument)
    world = new_world(instrument, costs, allocation, first_bar)
    world[0].bar_length = base.interval_ms
    world[0].cursor = int(np.argmax(tape.closes >= first_bar))
    return Simulation(definition, params, instrument, state, world, tape, bars.times, off_grid)


def _step_by_step(definition: StrategyDefinition, world: Record, tape: Tape, state: Record, params: Record, until: int) -> int:
    """Do what a compiled loop does, for a strategy that has none."""
    while advance(world, tape, until):
        count = definition.step(state, tape.panel, int(world[0].bar), tape.book, params, tape.decisions)
        answer(world, tape, count)
    return int(world[0].status)


def from_anchor(candles: Candles, interval_ms: int, anchor: int | None) -> Candles:
    """Leave out what lies before the first bar that the indicators see."""
    if anchor is None:
        # A bar whose first part is missing would not be the bar that the exchange shows.
        anchor = -(-int(candles.times[0]) // interval_ms) * interval_ms
    if anchor % interval_ms:
        raise UnableToBacktest(f"The anchor {anchor} does not open a bar of {interval_ms} ms")
    first = int(np.searchsorted(candles.times, anchor))
    if first == len(candles):
        raise UnableToBacktest(f"No candles from the anchor {anchor} on")
    if first == 0:
        return candles
    return Candles(candles.interval_ms, candles.times[first:], candles.values[:, first:])


def find_first_bar(times: Times, warmup_bars: int, start: int | None) -> int:
    """Find the first strategy bar that may trade."""
    first = warmup_bars if start is None else int(np.searchsorted(times, start))
    if first + 1 >= len(times):
        raise UnableToBacktest(
            f"{len(times)} candles are too few: {first} warm the strategy up and at least 2 more are needed to trade"
        )
    if first < 1:
        raise UnableToBacktest("At least one bar before the start is needed to warm up")
    return first


def _lay_tape(base: Candles, bars: Candles, panel: Floats, instrument: Instrument) -> tuple[Tape, int]:
    ticks, volume_lots, off_grid = whole_candles(base, instrument)
    tape = Tape(
        times=base.times,
        ticks=ticks,
        volume_lots=volume_lots,
        closes=find_closes(base.times, bars.times),
        panel=panel,
        book=new_book(),
        decisions=new_decisions(),
        # One more than may be asked for: what a coordinator does on its own.
        sized=np.zeros(MAX_DECISIONS + 1, dtype=SIZED_DTYPE),
        numbers=instrument_numbers(instrument),
        journal=np.zeros(JOURNAL_START, dtype=JOURNAL_DTYPE),
        equity=np.full(len(bars), np.nan),
        position=np.full(len(bars), np.nan),
        reasons=np.zeros(max(Reason) + 1, dtype=np.int64),
        denials=np.zeros(max(Reason) + 1, dtype=np.int64),
    )
    return tape, off_grid


def whole_candles(base: Candles, instrument: Instrument) -> tuple[Times, Times, int]:
    """Turn candles into ticks and lots, and count those whose prices lie between two ticks."""
    exact = base.values[: CLOSE + 1] / float(instrument.tick_size)
    ticks = np.rint(exact).astype(np.int64)
    off_grid = int((np.abs(exact - ticks) > 1e-3).any(axis=0).sum())
    if (ticks <= 0).any():
        raise UnableToBacktest(f"A price is below one tick of {instrument.tick_size}")
    volume_units = np.rint(base.values[CLOSE + 1] * 1e8).astype(np.int64)
    return ticks, volume_units // units(instrument.lot_size), off_grid


def whole_details(base: Candles, detail: Candles, instrument: Instrument) -> Times:
    """Turn detail candles into ticks, or refuse those that do not make up base candles."""
    if detail.interval_ms >= base.interval_ms or base.interval_ms % detail.interval_ms:
        raise UnableToBacktest(f"Details of {detail.interval_ms} ms do not make up base candles of {base.interval_ms} ms")
    return whole_candles(detail, instrument)[0]


def find_closes(base: Times, bars: Times) -> Times:
    """Answer, per base bar, the strategy bar that closes where it opens, or -1."""
    owner = np.searchsorted(bars, base, side="right") - 1
    is_first = np.append(True, np.diff(owner) > 0)
    return np.where(is_first, owner - 1, -1).astype(np.int64)


def new_world(instrument: Instrument, costs: Costs, allocation: Decimal, first_bar: int) -> Record:
    """Make the world of one market before its first trade."""
    numbers = instrument_numbers(instrument)[0]
    world = np.zeros(1, dtype=WORLD_DTYPE)
    w = world[0]
    w.first_bar = first_bar
    w.allocation = units(allocation)
    w.cash = w.capital = w.allocation
    w.taker_ppm = rate_ppm(costs.taker_fee)
    w.maker_ppm = rate_ppm(costs.maker_fee)
    w.half_spread_ppm = rate_ppm(costs.half_spread)
    w.slippage_ppm = rate_ppm(costs.slippage)
    w.participation_ppm = rate_ppm(costs.participation)
    w.units_per_lot = numbers.units_per_lot
    w.price_units_per_tick = numbers.price_units_per_tick
    w.quote_units_per_tick_lot = numbers.quote_units_per_tick_lot
    w.min_notional = numbers.min_notional_units
    w.min_lots = numbers.min_lots
    w.next_id = 1
    equip(world, costs.frictions, int(w.taker_ppm), int(w.maker_ppm))
    return world


def longer_journal(journal: Record) -> Record:
    """Copy a journal into one with room for twice as many fills."""
    longer = np.zeros(2 * len(journal), dtype=JOURNAL_DTYPE)
    longer[: len(journal)] = journal
    return longer


def readable_fill(row: Record, instrument: Instrument, *, in_quote: bool = False) -> Fill:
    """Turn an entry of the journal into what the exchange would report; fees of buys are in base, or all in quote."""
    bought, stop_ticks = row["side"] == BUY, int(row["stop_ticks"])
    return Fill(
        time=int(row["time"]),
        side="buy" if bought else "sell",
        quantity=instrument.quantity(int(row["lots"])),
        price=instrument.price(int(row["ticks"])),
        fee=amount(int(row["fee"])),
        fee_asset=instrument.base if bought and not in_quote else instrument.quote,
        kind=OrderKind(int(row["kind"])).name,
        reason=Reason(int(row["reason"])).name,
        order_id=int(row["order_id"]),
        slot=int(row["slot"]),
        symbol=instrument.symbol,
        stop_price=instrument.price(stop_ticks) if stop_ticks else None,
    )


def count_reasons(counters: Times) -> dict[str, int]:
    """Name the reasons that were given, with how often."""
    return {reason.name: int(counters[reason]) for reason in Reason if counters[reason]}
