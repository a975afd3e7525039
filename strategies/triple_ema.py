"""TripleEMA: follow the trend while three exponential averages stand in order."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final

from strategies import answers, lifecycle
from trading.bars import Floats
from trading.compilation import compiled
from trading.costs import round_trip_cost
from trading.indicators import (
    ATR_CELLS,
    EMA_CELLS,
    MACD_CELLS,
    RSI_CELLS,
    atr,
    ema,
    macd,
    rsi,
)
from trading.kernels.runner import advance, answer
from trading.kernels.world import Tape
from trading.strategy import (
    CLOSE,
    HIGH,
    LOW,
    Choice,
    OrderKind,
    Plot,
    Range,
    Reason,
    Record,
    StrategyDefinition,
    record_dtype,
)

ALIGNMENT: Final = 0
PULLBACK: Final = 1
EXIT_FAST: Final = 0

ATR_PERIOD: Final = 14
RSI_PERIOD: Final = 14
MACD_FAST: Final = 12
MACD_SLOW: Final = 26
MACD_SIGNAL: Final = 9
SMALLEST_RATIO: Final = 1.6


@dataclass(frozen=True, slots=True)
class Params:
    """What an operator may set."""

    mode: Annotated[
        str,
        Choice(
            ("alignment", "pullback"),
            "Enter when the averages come into order, or at a pullback while they are.",
        ),
    ] = "alignment"
    fast: Annotated[int, Range(4, 13, 1, "Bars of the fast average.")] = 8
    middle: Annotated[int, Range(9, 34, 1, "Bars of the middle average.")] = 21
    slow: Annotated[int, Range(18, 100, 1, "Bars of the slow average.")] = 55
    exit_on: Annotated[
        str,
        Choice(
            ("fast", "slow"),
            "Leave when the fast average falls below the middle one, or the close below the slow.",
        ),
    ] = "fast"
    rsi_low: Annotated[float, Range(30, 60, 1, "Lowest RSI of an entry (pullback).")] = 45.0
    rsi_high: Annotated[float, Range(60, 90, 1, "Highest RSI of an entry (pullback).")] = 70.0
    stop_atr: Annotated[float, Range(1.0, 4.0, 0.25, "Hard stop in ATRs below the entry.")] = 2.0
    target_atr: Annotated[float, Range(0.0, 10.0, 0.25, "Target in ATRs above the entry, 0 for none.")] = 0.0
    trail_atr: Annotated[float, Range(0.0, 6.0, 0.25, "Stop in ATRs below the highest high, 0 for no trail.")] = 3.0
    trail_step_atr: Annotated[float, Range(0.05, 1.0, 0.05, "Move the stop only if it rises by this many ATRs.")] = 0.25
    cost_gate: Annotated[float, Range(0.0, 5.0, 0.25, "Enter only if the expected move is this many costs.")] = 3.0
    expected_atr: Annotated[float, Range(1.0, 20.0, 0.5, "Expected move of a trend in ATRs, where there is no target.")] = 6.0
    share: Annotated[float, Range(0.01, 1.0, 0.01, "Largest position, of the allocation.")] = 0.10
    risk_share: Annotated[float, Range(0.0, 0.02, 0.0025, "Equity lost at the stop; 0 for no such limit.")] = 0.01
    cooldown: Annotated[int, Range(0, 50, 1, "Bars to wait after a position.")] = 3


STATE: Final = record_dtype(
    [
        *lifecycle.LIFECYCLE_FIELDS,
        *lifecycle.PLAN_FIELDS,
        ("fast_memory", "f8", (EMA_CELLS,)),
        ("middle_memory", "f8", (EMA_CELLS,)),
        ("slow_memory", "f8", (EMA_CELLS,)),
        ("atr_memory", "f8", (ATR_CELLS,)),
        ("rsi_memory", "f8", (RSI_CELLS,)),
        ("macd_memory", "f8", (MACD_CELLS,)),
        ("fast", "f8"),
        ("middle", "f8"),
        ("slow", "f8"),
        ("range_now", "f8"),
        ("rsi", "f8"),
        ("macd_gap", "f8"),
        ("close_before", "f8"),
        ("middle_before", "f8"),
        ("was_aligned", "i8"),
        ("is_aligned", "i8"),
    ]
)


@compiled
def start(_params: Record, state: Record) -> None:
    """Begin with averages that have seen nothing, as if they already stood in order."""
    # An order that was there before the bot looked is not news.
    state[0].is_aligned = 1


@compiled
def step(state: Record, panel: Floats, i: int, book: Record, params: Record, decisions: Record) -> int:
    """Decide at the close of bar i."""
    me, money, p = state[0], book[0], params[0]
    lifecycle.take_in(me, money, 0, p.cooldown)
    if answers.is_missing(panel, 0, i):
        return answers.nothing(decisions)
    lifecycle.count_bar(me, panel[HIGH, 0, i])
    close = panel[CLOSE, 0, i]
    _observe(me, panel, i, p)
    count = _manage(me, money, p, close, decisions) if me.holding == 1 else _look(me, money, p, close, decisions)
    me.close_before = close
    me.middle_before = me.middle
    me.may_retry = 0
    return count


@compiled
def run(world: Record, tape: Tape, state: Record, params: Record, until: int) -> int:
    """Walk the tape of a backtest and step wherever a bar has closed."""
    while advance(world, tape, until):
        count = step(state, tape.panel, world[0].bar, tape.book, params, tape.decisions)
        answer(world, tape, count)
    return int(world[0].status)


@compiled
def _observe(me: Any, panel: Floats, i: int, p: Any) -> None:
    high, low, close = panel[HIGH, 0, i], panel[LOW, 0, i], panel[CLOSE, 0, i]
    me.fast = ema(me.fast_memory, close, p.fast)
    me.middle = ema(me.middle_memory, close, p.middle)
    me.slow = ema(me.slow_memory, close, p.slow)
    me.range_now = atr(me.atr_memory, high, low, close, ATR_PERIOD)
    me.rsi = rsi(me.rsi_memory, close, RSI_PERIOD)
    me.macd_gap = macd(me.macd_memory, close, MACD_FAST, MACD_SLOW, MACD_SIGNAL)[2]
    me.was_aligned = me.is_aligned
    if not math.isnan(me.slow):
        me.is_aligned = 1 if me.fast > me.middle > me.slow else 0


@compiled
def _manage(me: Any, money: Any, p: Any, close: float, decisions: Record) -> int:
    """Mind the position that is held."""
    mended = lifecycle.mend_stop(me, money, 0, decisions, close)
    if mended:
        return mended
    held = float(me.bars_held)
    if me.target > 0.0 and close >= me.target:
        return answers.leave(decisions, Reason.SIGNAL_EXIT_TARGET, close, me.stop, me.target, held)
    if p.exit_on == EXIT_FAST and me.fast < me.middle:
        return answers.leave(decisions, Reason.SIGNAL_EXIT_CROSS, close, me.fast, me.middle, me.slow)
    if p.exit_on != EXIT_FAST and close < me.slow:
        return answers.leave(decisions, Reason.SIGNAL_EXIT_TREND, close, me.fast, me.middle, me.slow)
    if p.trail_atr > 0.0:
        stop = me.highest - p.trail_atr * me.range_now
        smallest = p.trail_step_atr * me.range_now
        moved = lifecycle.raise_stop(me, decisions, stop, close, smallest, Reason.STOP_TRAILED)
        if moved:
            return moved
    return answers.hold(decisions, Reason.POSITION_HELD, close, me.stop, me.target, held)


@compiled
def _look(me: Any, money: Any, p: Any, close: float, decisions: Record) -> int:
    """Look for an entry."""
    if math.isnan(me.slow + me.range_now + me.macd_gap + me.rsi) or money.equity <= 0.0:
        return answers.hold(decisions, Reason.SIGNAL_WARMING_UP, close, me.fast, me.middle, me.slow)
    if me.cooldown > 0:
        wait = float(me.cooldown)
        return answers.hold(decisions, Reason.COOLDOWN_ACTIVE, close, me.fast, me.middle, wait)
    reason = _entry_reason(me, p, close)
    if reason == Reason.NONE.value:
        return answers.hold(decisions, Reason.SIGNAL_NO_OPINION, close, me.fast, me.middle, me.slow)
    way = (p.target_atr if p.target_atr > 0.0 else p.expected_atr) * me.range_now
    needed = p.cost_gate * round_trip_cost(money.fee_rate, money.half_spread)
    if way / close < needed:
        return answers.hold(decisions, Reason.COST_GATE, close, me.slow, way / close, needed)
    stop = close - p.stop_atr * me.range_now
    target = close + p.target_atr * me.range_now if p.target_atr > 0.0 else 0.0
    lifecycle.plan_entry(me, stop, target)
    terms = (p.share, p.risk_share, stop)
    return answers.enter(decisions, reason, terms, close, me.fast, me.slow, stop)


@compiled
def _entry_reason(me: Any, p: Any, close: float) -> int:
    if me.is_aligned == 0:
        return Reason.NONE.value
    if me.may_retry == 1:
        return Reason.SIGNAL_ENTRY_RETRY.value
    if p.mode == ALIGNMENT:
        came = me.was_aligned == 0
        return Reason.SIGNAL_ENTRY_ALIGNMENT.value if came else Reason.NONE.value
    back = me.close_before < me.middle_before and close > me.middle
    calm = p.rsi_low <= me.rsi <= p.rsi_high
    if back and calm and me.macd_gap > 0.0:
        return Reason.SIGNAL_ENTRY_PULLBACK.value
    return Reason.NONE.value


def warmup_bars(params: Record) -> int:
    """Count the bars after which the slowest average has converged."""
    return max(250, 5 * int(params[0].slow))


def check(values: Mapping[str, Any]) -> None:
    """Refuse averages that lie too close together to tell a trend."""
    for quick, calm in (("fast", "middle"), ("middle", "slow")):
        if values[calm] < SMALLEST_RATIO * values[quick]:
            raise ValueError(
                f"triple_ema: {calm} ({values[calm]}) must be at least {SMALLEST_RATIO} times {quick} ({values[quick]})"
            )


def fact_names(_params: Record, reason: int) -> tuple[str, ...]:
    """Name the facts beside a reason."""
    if reason in lifecycle.HELD_REASONS:
        return lifecycle.HELD_FACTS
    if reason == Reason.COOLDOWN_ACTIVE:
        return ("close", "ema_fast", "ema_middle", "cooldown_bars")
    if reason == Reason.COST_GATE:
        return ("close", "ema_slow", "expected_move", "needed_move")
    if reason in _ENTRIES:
        return ("close", "ema_fast", "ema_slow", "stop")
    return ("close", "ema_fast", "ema_middle", "ema_slow")


_ENTRIES: Final = frozenset({Reason.SIGNAL_ENTRY_ALIGNMENT, Reason.SIGNAL_ENTRY_PULLBACK, Reason.SIGNAL_ENTRY_RETRY})


def plots(_params: Record) -> tuple[Plot, ...]:
    """Show the three averages and the RSI."""
    return (
        Plot("Fast average", "fast"),
        Plot("Middle average", "middle"),
        Plot("Slow average", "slow"),
        Plot("RSI", "rsi", pane="below"),
    )


DEFINITION: Final = StrategyDefinition(
    name="triple_ema",
    title="TripleEMA",
    summary="Follows a trend while a fast, a middle and a slow average stand in order.",
    params_type=Params,
    # Calibrated for activity on real candles, never for profit: docs/strategies/README.md.
    presets={"1m": {"cost_gate": 5.0, "expected_atr": 4.0}, "5m": {}, "15m": {}, "1h": {}},
    named_presets={
        "legacy_4_9_18": {"fast": 4, "middle": 9, "slow": 18},
        "legacy_5_10_20": {"fast": 5, "middle": 10, "slow": 20},
        "legacy_10_25_50": {"fast": 10, "middle": 25, "slow": 50},
        "pullback": {"mode": "pullback", "exit_on": "slow"},
    },
    state_dtype=STATE,
    start=start,
    step=step,
    run=run,
    check=check,
    warmup_bars=warmup_bars,
    fact_names=fact_names,
    plots=plots,
    order_kinds=(OrderKind.ENTRY, OrderKind.EXIT, OrderKind.STOP),
    regimes_expected=("bull_lo", "bull_hi"),
)
