"""Hedge: hold no more of the market than its volatility allows, and none of it in a falling one."""

import math
from dataclasses import dataclass
from typing import Annotated, Any, Final

from strategies import answers, lifecycle
from trading.bars import Floats
from trading.compilation import compiled
from trading.indicators import SMA_RING, WINDOW_RING, correlation, deviation, sma
from trading.kernels import panel_runner
from trading.kernels.panel_world import PanelTape
from trading.strategy import (
    CLOSE,
    MAX_SYMBOLS,
    Choice,
    OrderKind,
    Plot,
    Range,
    Reason,
    Record,
    StrategyDefinition,
    record_dtype,
)

DIVERSIFIER: Final = 1

TREND: Final = 200
RETURNS_MOST: Final = 720
DAYS_PER_YEAR: Final = 365.0


@dataclass(frozen=True, slots=True)
class Params:
    """What an operator may set."""

    mode: Annotated[
        str,
        Choice(
            ("rotation", "diversifier"),
            "Rotate between coins and cash by volatility and regime, or hold what does not move with the first market.",
        ),
    ] = "rotation"
    volatility_target: Annotated[float, Range(0.05, 1.0, 0.05, "Yearly volatility that what is held may have.")] = 0.20
    volatility_bars: Annotated[int, Range(30, RETURNS_MOST, 10, "Bars that the volatility looks back on.")] = 240
    bars_per_day: Annotated[int, Range(1, 288, 1, "Bars in a day.")] = 24
    trend_bars: Annotated[int, Range(20, TREND, 10, "Bars of the average under which the market is a bear's.")] = 200
    band: Annotated[float, Range(0.02, 0.5, 0.01, "Trade only if the weight is off by this part of the share.")] = 0.10
    check_bars: Annotated[int, Range(1, 288, 1, "Bars between two looks at the weights.")] = 24
    correlation_window: Annotated[int, Range(30, RETURNS_MOST, 10, "Bars of the correlation (diversifier).")] = 720
    correlation_most: Annotated[float, Range(-0.5, 0.8, 0.05, "Highest correlation with the first market (diversifier).")] = 0.2
    share: Annotated[float, Range(0.01, 1.0, 0.01, "All that is held at most, of the allocation.")] = 0.10


COIN: Final = record_dtype(
    [
        *lifecycle.LIFECYCLE_FIELDS,
        *lifecycle.PLAN_FIELDS,
        ("returns", "f8", (RETURNS_MOST,)),
        ("close_before", "f8"),
        ("likeness", "f8"),
    ]
)

STATE: Final = record_dtype(
    [
        ("bars", "i8"),
        # An index of all markets in equal parts: its level, its average, its yearly volatility.
        ("level", "f8"),
        ("trend", "f8"),
        ("volatility", "f8"),
        ("weight", "f8"),
        ("change_memory", "f8", (WINDOW_RING + RETURNS_MOST,)),
        ("trend_memory", "f8", (SMA_RING + TREND,)),
        ("coins", COIN, (MAX_SYMBOLS,)),
    ]
)


@compiled
def start(_params: Record, state: Record) -> None:
    """Begin with an index at one, and returns that nobody has seen."""
    state[0].level = 1.0
    state[0].trend = math.nan
    state[0].volatility = math.nan
    for symbol in range(MAX_SYMBOLS):
        for k in range(RETURNS_MOST):
            state[0].coins[symbol].returns[k] = math.nan


@compiled
def step(state: Record, panel: Floats, i: int, book: Record, params: Record, decisions: Record) -> int:
    """Decide at the close of bar i: weigh the market, then bring each position to its weight."""
    all_of_it, money, p = state[0], book[0], params[0]
    symbols = panel.shape[1]
    for symbol in range(symbols):
        lifecycle.take_in(all_of_it.coins[symbol], money, symbol, 0)
    _observe(all_of_it, panel, i, symbols, p)
    count = 0
    for symbol in range(symbols):
        room = decisions[count:]
        if answers.is_missing(panel, symbol, i):
            said = answers.nothing(room)
        else:
            said = _speak(all_of_it, money, symbol, symbols, p, panel[CLOSE, symbol, i], room)
        count += answers.address(room, symbol, said)
    return count


@compiled
def run_panel(worlds: Record, tape: PanelTape, state: Record, params: Record, until: int) -> int:
    """Walk the tape of a backtest and step wherever a bar has closed."""
    while panel_runner.advance(worlds, tape, until):
        count = step(state, tape.panel, worlds[0].bar, tape.book, params, tape.decisions)
        panel_runner.answer(worlds, tape, count)
    return int(worlds[0].status)


@compiled
def _observe(all_of_it: Any, panel: Floats, i: int, symbols: int, p: Any) -> None:
    """Fold the bar into the index, its volatility and every coin's returns; a bar that no market has is none."""
    total, there = 0.0, 0
    cell = all_of_it.bars % p.correlation_window
    for symbol in range(symbols):
        me = all_of_it.coins[symbol]
        if answers.is_missing(panel, symbol, i):
            continue
        close = panel[CLOSE, symbol, i]
        lifecycle.count_bar(me, close)
        if me.close_before > 0.0:
            change = math.log(close / me.close_before)
            me.returns[cell] = change
            total += change
        there += 1
        me.close_before = close
    if there == 0:
        return
    for symbol in range(symbols):
        if answers.is_missing(panel, symbol, i):
            all_of_it.coins[symbol].returns[cell] = math.nan
    change = total / there
    bar = deviation(all_of_it.change_memory, change, p.volatility_bars)
    all_of_it.volatility = bar * math.sqrt(p.bars_per_day * DAYS_PER_YEAR)
    all_of_it.level *= math.exp(change)
    all_of_it.trend = sma(all_of_it.trend_memory, all_of_it.level, p.trend_bars)
    all_of_it.weight = 0.0
    if all_of_it.volatility > 0.0 and all_of_it.level >= all_of_it.trend:
        all_of_it.weight = min(1.0, p.volatility_target / all_of_it.volatility)
    all_of_it.bars += 1


@compiled
def _speak(all_of_it: Any, money: Any, symbol: int, symbols: int, p: Any, close: float, decisions: Record) -> int:
    me = all_of_it.coins[symbol]
    weight, part = all_of_it.weight, p.share / symbols
    reading = all_of_it.volatility
    if p.mode == DIVERSIFIER:
        part = p.share / max(symbols - 1, 1)
        if all_of_it.bars % p.check_bars == 0:
            me.likeness = correlation(all_of_it.coins[0].returns, me.returns, p.correlation_window)
        weight = 1.0 if symbol > 0 and me.likeness < p.correlation_most else 0.0
        reading = me.likeness
    if math.isnan(all_of_it.trend + all_of_it.volatility) or money.equity <= 0.0:
        return answers.hold(decisions, Reason.SIGNAL_WARMING_UP, close, weight, reading, all_of_it.trend)
    if all_of_it.bars % p.check_bars != 0:
        reason = Reason.POSITION_HELD.value if me.holding == 1 else Reason.SIGNAL_NO_OPINION.value
        return answers.hold(decisions, reason, close, weight, reading, all_of_it.trend)
    held, wanted = money.quantity[symbol] * close, part * weight * money.allocation
    if me.holding == 1 and weight == 0.0:
        reason = Reason.SIGNAL_EXIT_CORRELATION.value if p.mode == DIVERSIFIER else Reason.SIGNAL_EXIT_TREND.value
        return answers.leave(decisions, reason, close, weight, reading, all_of_it.trend)
    room = p.band * part * money.allocation
    if held < wanted - room:
        reason = Reason.SIGNAL_ENTRY_DIVERSIFIER.value if p.mode == DIVERSIFIER else Reason.SIGNAL_ENTRY_REBALANCE.value
        return answers.enter(decisions, reason, (part * weight, 0.0, 0.0), close, weight, reading, all_of_it.trend)
    if me.holding == 1 and held > wanted + room:
        answers.leave(decisions, Reason.SIGNAL_EXIT_REBALANCE, close, weight, reading, all_of_it.trend)
        decisions[0].quantity = (held - wanted) / close
        return 1
    reason = Reason.POSITION_HELD.value if me.holding == 1 else Reason.FILTER_REGIME.value
    return answers.hold(decisions, reason, close, weight, reading, all_of_it.trend)


def warmup_bars(params: Record) -> int:
    """Count the bars after which index, volatility and correlation have converged."""
    p = params[0]
    return max(250, int(p.trend_bars), int(p.volatility_bars) + 1, RETURNS_MOST if p.mode == DIVERSIFIER else 0)


def fact_names(params: Record, _reason: int) -> tuple[str, ...]:
    """Name the facts beside a reason."""
    return ("close", "weight", "correlation" if params[0].mode == DIVERSIFIER else "volatility", "trend")


def plots(params: Record) -> tuple[Plot, ...]:
    """Show what the weight comes from."""
    if params[0].mode == DIVERSIFIER:
        return (Plot("Correlation with the first market", "coins.likeness", pane="below", cell=1),)
    return (Plot("Weight", "weight", pane="below"), Plot("Yearly volatility", "volatility", pane="below"))


DEFINITION: Final = StrategyDefinition(
    name="hedge",
    title="Hedge",
    summary="Holds no more of the market than its volatility allows, and cash while it falls.",
    params_type=Params,
    # Calibrated for activity on real candles, never for profit: docs/strategies/README.md.
    presets={
        "5m": {"bars_per_day": 288, "check_bars": 12},
        "15m": {"bars_per_day": 96, "check_bars": 8},
        "1h": {"check_bars": 4},
        "1d": {"bars_per_day": 1, "check_bars": 1},
    },
    named_presets={"diversifier": {"mode": "diversifier"}},
    state_dtype=STATE,
    start=start,
    step=step,
    run_panel=run_panel,
    warmup_bars=warmup_bars,
    fact_names=fact_names,
    plots=plots,
    required_inputs=("close",),
    symbols_most=MAX_SYMBOLS,
    order_kinds=(OrderKind.ENTRY, OrderKind.EXIT),
    regimes_expected=("bull_lo", "bull_hi", "bear_lo", "bear_hi"),
)
