"""Our own engine on the jobs of the table: sweeps, the plain loop, and a simple step in the event engine."""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import Decimal

import numpy as np

from strategies import answers
from trading import metrics
from trading.accounts.plan import AccountPlan
from trading.accounts.simulation import AccountSimulation
from trading.bars import Candles, Floats, Times
from trading.compilation import compiled
from trading.indicators import SMA_RING, sma
from trading.instruments import Instrument
from trading.kernels.backtest import BacktestResult, Costs, Simulation, prepare_backtest
from trading.kernels.runner import advance, answer
from trading.kernels.world import Tape
from trading.strategy import CLOSE, OrderKind, Reason, Record, StrategyDefinition, record_dtype
from trading.sweeps import loops, rows
from trading.sweeps.crosses import sweep_crosses
from trading.sweeps.figures import Figures, Terms
from trading.sweeps.market import SweepMarket
from trading.sweeps.reversals import sweep_reversals

BTC = Instrument("BTC/USDT", "BTC", "USDT", *map(Decimal, ("0.01", "0.00001", "0.00001", "9000", "5")))
FAST_MAX, SLOW_MAX = 50, 400
STATE = record_dtype(
    [("fast", "f8", (SMA_RING + FAST_MAX,)), ("slow", "f8", (SMA_RING + SLOW_MAX,)), ("above", "i8"), ("seen", "i8")]
)
# The share of the allocation that an entry buys for, and how far below the close its stop lies; 0 for none.
PARAMS = record_dtype([("fast", "i8"), ("slow", "i8"), ("share", "f8"), ("stop", "f8")])


def sweep_pairs(market: SweepMarket, pairs: Times, *, fee: float, threads: int) -> Figures:
    """Sweep crosses with the fee on top of what is paid, as vectorbt takes it."""
    return sweep_crosses(market, pairs, kind=rows.SIMPLE, terms=Terms(1 / (1 + fee), 1 - fee), threads=threads)


def sweep_bands(market: SweepMarket, combinations: Floats, *, fee: float, threads: int) -> Figures:
    """Sweep reversals with the same fee."""
    return sweep_reversals(market, combinations, terms=Terms(1 / (1 + fee), 1 - fee), threads=threads)


def plain_loop(candles: Candles, fast: int, slow: int, *, fee: float) -> tuple[float, float, float | None]:
    """Run one cross bar by bar with all figures: one fused pass."""
    closes = candles.values[CLOSE]
    signals = loops.cross_signals(loops.simple_average(closes, fast), loops.simple_average(closes, slow))
    equity, _, profits = loops.walk(candles.values, signals, 1 / (1 + fee), 1 - fee, 0.0, 0.0)
    sharpe = metrics.sharpe(metrics.daily_returns(candles.times, equity))
    return float(equity[-1]), float(len(profits)), sharpe


def whole_account(plan: AccountPlan) -> Callable[[], object]:
    """Make a simulation of a whole account; calling the answer runs it."""
    return AccountSimulation(plan).run


def event_engine(candles: Candles, fast: int, slow: int) -> BacktestResult:
    """Run the cross as a strategy of the house: lots, ticks, spread, fees, every fill kept."""
    simulation = _simulation(candles, fast, slow)
    simulation.run()
    return simulation.result()


def free_of_costs(
    candles: Candles, instrument: Instrument, fast: int, slow: int, *, share: float, stop: float, allocation: Decimal
) -> BacktestResult:
    """Run the cross without fees and spread, with a stop: what is left is when it trades, at which price, how much."""
    simulation = prepare_backtest(
        definition=CROSS,
        params=_params(fast, slow, share=share, stop=stop),
        candles=candles,
        interval_ms=candles.interval_ms,
        instrument=instrument,
        costs=Costs(*(Decimal(0),) * 4),
        allocation=allocation,
    )
    simulation.run()
    return simulation.result()


def event_loop(candles: Candles, fast: int, slow: int) -> Callable[[], None]:
    """Prepare the same; the answer runs its loop."""
    return _simulation(candles, fast, slow).run


def _simulation(candles: Candles, fast: int, slow: int) -> Simulation:
    return prepare_backtest(
        definition=CROSS,
        params=_params(fast, slow),
        candles=candles,
        interval_ms=candles.interval_ms,
        instrument=BTC,
        costs=Costs(),
        allocation=Decimal(1_000_000),
    )


def _params(fast: int, slow: int, *, share: float = 0.9, stop: float = 0.0) -> Record:
    params = np.zeros(1, dtype=PARAMS)
    row = params[0]
    row.fast, row.slow, row.share, row.stop = fast, slow, share, stop
    return params


@compiled
def start(_params: Record, state: Record) -> None:
    """Begin above: the first entry needs a cross from below."""
    state[0].above = 1


@compiled
def step(state: Record, panel: Floats, i: int, book: Record, params: Record, decisions: Record) -> int:
    """Be in the market while the fast average stands above the slow one."""
    me, money, p = state[0], book[0], params[0]
    close = panel[CLOSE, 0, i]
    if math.isnan(close):
        return answers.nothing(decisions)
    quick, calm = sma(me.fast, close, p.fast), sma(me.slow, close, p.slow)
    if me.above == 1 and quick < calm:
        me.above = 0
        if money.quantity[0] > 0.0:
            return answers.leave(decisions, Reason.SIGNAL_EXIT_CROSS.value, close, quick, calm, 0.0)
    elif me.above == 0 and quick > calm:
        me.above = 1
        terms = (p.share, 0.0, close * (1.0 - p.stop) if p.stop > 0.0 else 0.0)
        return answers.enter(decisions, Reason.SIGNAL_ENTRY_ALIGNMENT.value, terms, close, quick, calm, 0.0)
    return answers.hold(decisions, Reason.SIGNAL_NO_OPINION.value, close, quick, calm, 0.0)


@compiled
def run(world: Record, tape: Tape, state: Record, params: Record, until: int) -> int:
    """Walk the tape of a backtest and step wherever a bar has closed."""
    while advance(world, tape, until):
        count = step(state, tape.panel, world[0].bar, tape.book, params, tape.decisions)
        answer(world, tape, count)
    return int(world[0].status)


def _fact_names(_params: Record, _reason: int) -> tuple[str, ...]:
    return ("close", "fast", "slow", "")


def _warmup_bars(params: Record) -> int:
    return int(params[0].slow)


CROSS: StrategyDefinition = StrategyDefinition(
    name="cross",
    title="Cross",
    summary="In the market while the fast average stands above the slow one.",
    params_type=object,
    presets={},
    state_dtype=STATE,
    start=start,
    step=step,
    run=run,
    warmup_bars=_warmup_bars,
    fact_names=_fact_names,
    order_kinds=(OrderKind.ENTRY, OrderKind.EXIT),
    regimes_expected=(),
)
