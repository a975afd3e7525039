"""EMARibbon: ride a ribbon of exponential averages while it is in order and widens."""

import math
from dataclasses import dataclass
from typing import Annotated, Any, Final

import numpy as np

from strategies import answers, lifecycle
from trading.bars import Floats
from trading.compilation import compiled
from trading.costs import round_trip_cost
from trading.indicators import (
    ATR_CELLS,
    EMA_CELLS,
    SMA_RING,
    WINDOW_RING,
    atr,
    ema,
    percentile_rank,
    sma,
)
from trading.kernels.runner import advance, answer
from trading.kernels.world import Tape
from trading.strategy import (
    CLOSE,
    HIGH,
    LOW,
    VOLUME,
    Choice,
    OrderKind,
    Plot,
    Range,
    Reason,
    Record,
    StrategyDefinition,
    record_dtype,
)

PULLBACK: Final = 0
MAX_LINES: Final = 20
MAX_WIDTH_WINDOW: Final = 400

# One row per ribbon: its periods, fastest first, filled up with zeros.
RIBBONS: Final = np.zeros((3, MAX_LINES), dtype=np.int64)
RIBBONS[0, :5] = (8, 13, 21, 34, 55)
RIBBONS[1, :12] = (3, 5, 8, 10, 12, 15, 30, 35, 40, 45, 50, 60)
RIBBONS[2, :20] = range(5, 101, 5)
LINES: Final = np.array([5, 12, 20])
# Which line leads, which one a pullback must touch, and which one carries the trend.
LEAD: Final = np.array([0, 2, 1])
TOUCH: Final = np.array([1, 5, 2])
CARRY: Final = np.array([2, 6, 3])

ATR_PERIOD: Final = 14
VOLUME_PERIOD: Final = 20
WIDTHS: Final = 4


@dataclass(frozen=True, slots=True)
class Params:
    """What an operator may set."""

    mode: Annotated[
        str,
        Choice(
            ("pullback", "breakout"),
            "Enter at a pullback into the widening ribbon, or when it opens after a squeeze.",
        ),
    ] = "pullback"
    ribbon: Annotated[str, Choice(("fib", "gmma", "madrid"), "Which averages make the ribbon.")] = "fib"
    stretch_atr: Annotated[float, Range(1.0, 6.0, 0.25, "No entry further above the carrying line, in ATRs.")] = 3.0
    squeeze_rank: Annotated[float, Range(0.05, 0.5, 0.05, "Width percentile that counts as squeezed (breakout).")] = 0.2
    squeeze_window: Annotated[int, Range(50, 400, 10, "Bars the width is ranked among (breakout).")] = 200
    squeeze_memory: Annotated[int, Range(1, 100, 1, "Bars a squeeze is remembered for (breakout).")] = 20
    fade: Annotated[float, Range(0.0, 0.8, 0.05, "Leave when the width falls to this share of its largest.")] = 0.25
    volume_factor: Annotated[float, Range(0.0, 3.0, 0.1, "Volume needed, in averages of 20 bars; 0 for any.")] = 0.0
    stop_atr: Annotated[float, Range(1.0, 4.0, 0.25, "Hard stop in ATRs below the entry.")] = 1.5
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
        ("lines_memory", "f8", (MAX_LINES * EMA_CELLS,)),
        ("lines", "f8", (MAX_LINES,)),
        ("atr_memory", "f8", (ATR_CELLS,)),
        ("volume_memory", "f8", (SMA_RING + VOLUME_PERIOD,)),
        ("width_memory", "f8", (WINDOW_RING + MAX_WIDTH_WINDOW,)),
        ("widths", "f8", (WIDTHS,)),
        ("widths_seen", "i8"),
        ("score", "f8"),
        ("score_before", "f8"),
        ("width", "f8"),
        ("width_rank", "f8"),
        ("width_largest", "f8"),
        ("is_widening", "i8"),
        ("squeezed_bars_ago", "i8"),
        ("range_now", "f8"),
        ("volume_average", "f8"),
    ]
)


@compiled
def start(_params: Record, state: Record) -> None:
    """Begin with averages that have seen nothing."""
    state[0].score = math.nan
    state[0].squeezed_bars_ago = 1_000_000


@compiled
def step(state: Record, panel: Floats, i: int, book: Record, params: Record, decisions: Record) -> int:
    """Decide at the close of bar i."""
    me, money, p = state[0], book[0], params[0]
    lifecycle.take_in(me, money, 0, p.cooldown)
    if answers.is_missing(panel, 0, i):
        return answers.nothing(decisions)
    lifecycle.count_bar(me, panel[HIGH, 0, i])
    _observe(me, panel, i, p)
    count = _manage(me, money, p, panel[CLOSE, 0, i], decisions) if me.holding == 1 else _look(me, money, p, panel, i, decisions)
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
    close = panel[CLOSE, 0, i]
    me.range_now = atr(me.atr_memory, panel[HIGH, 0, i], panel[LOW, 0, i], close, ATR_PERIOD)
    me.volume_average = sma(me.volume_memory, panel[VOLUME, 0, i], VOLUME_PERIOD)
    count = LINES[p.ribbon]
    for k in range(count):
        memory = me.lines_memory[k * EMA_CELLS : (k + 1) * EMA_CELLS]
        me.lines[k] = ema(memory, close, RIBBONS[p.ribbon, k])
    me.score_before = me.score
    me.score = _order(me.lines, count)
    if math.isnan(me.score) or math.isnan(me.range_now) or me.range_now <= 0.0:
        # In a dead market the width has no unit to be measured in.
        me.width = math.nan
        return
    me.width = (me.lines[0] - me.lines[count - 1]) / me.range_now
    _remember_width(me, p)


@compiled
def _order(lines: Floats, count: int) -> float:
    """Answer the share of neighbours in rising order less that in falling order."""
    balance = 0.0
    for k in range(count - 1):
        if math.isnan(lines[k]) or math.isnan(lines[k + 1]):
            return math.nan
        if lines[k] > lines[k + 1]:
            balance += 1.0
        elif lines[k] < lines[k + 1]:
            balance -= 1.0
    return balance / (count - 1)


@compiled
def _remember_width(me: Any, p: Any) -> None:
    me.width_rank = percentile_rank(me.width_memory, abs(me.width), p.squeeze_window)
    me.widths[me.widths_seen % WIDTHS] = me.width
    me.widths_seen += 1
    oldest = me.widths[me.widths_seen % WIDTHS]
    me.is_widening = 1 if me.widths_seen >= WIDTHS and me.width > oldest else 0
    if me.width_rank < p.squeeze_rank:
        me.squeezed_bars_ago = 0
    else:
        me.squeezed_bars_ago += 1
    if me.holding == 1:
        me.width_largest = max(me.width_largest, me.width)
    else:
        me.width_largest = me.width


@compiled
def _manage(me: Any, money: Any, p: Any, close: float, decisions: Record) -> int:
    """Mind the position that is held."""
    mended = lifecycle.mend_stop(me, money, 0, decisions, close)
    if mended:
        return mended
    held = float(me.bars_held)
    if me.target > 0.0 and close >= me.target:
        return answers.leave(decisions, Reason.SIGNAL_EXIT_TARGET, close, me.stop, me.target, held)
    lead, carry = me.lines[LEAD[p.ribbon]], me.lines[CARRY[p.ribbon]]
    if me.score <= 0.0 or lead < carry:
        return answers.leave(decisions, Reason.SIGNAL_EXIT_CROSS, close, lead, carry, me.score)
    if me.width < p.fade * me.width_largest:
        return answers.leave(decisions, Reason.SIGNAL_EXIT_COMPRESSION, close, me.width, me.width_largest, held)
    if p.trail_atr > 0.0:
        stop = me.highest - p.trail_atr * me.range_now
        smallest = p.trail_step_atr * me.range_now
        moved = lifecycle.raise_stop(me, decisions, stop, close, smallest, Reason.STOP_TRAILED)
        if moved:
            return moved
    return answers.hold(decisions, Reason.POSITION_HELD, close, me.stop, me.target, held)


@compiled
def _look(me: Any, money: Any, p: Any, panel: Floats, i: int, decisions: Record) -> int:
    """Look for an entry."""
    close = panel[CLOSE, 0, i]
    if math.isnan(me.width + me.width_rank + me.volume_average) or money.equity <= 0.0:
        return answers.hold(decisions, Reason.SIGNAL_WARMING_UP, close, me.score, me.width, me.width_rank)
    if me.cooldown > 0:
        wait = float(me.cooldown)
        return answers.hold(decisions, Reason.COOLDOWN_ACTIVE, close, me.score, me.width, wait)
    reason = _entry_reason(me, p, close, panel[LOW, 0, i])
    if reason == Reason.NONE.value:
        touch = me.lines[TOUCH[p.ribbon]]
        return answers.hold(decisions, Reason.SIGNAL_NO_OPINION, close, me.score, me.width, touch)
    volume = panel[VOLUME, 0, i]
    if volume < p.volume_factor * me.volume_average:
        return answers.hold(decisions, Reason.FILTER_VOLUME, close, me.score, volume, me.volume_average)
    way = (p.target_atr if p.target_atr > 0.0 else p.expected_atr) * me.range_now
    needed = p.cost_gate * round_trip_cost(money.fee_rate, money.half_spread)
    if way / close < needed:
        return answers.hold(decisions, Reason.COST_GATE, close, me.score, way / close, needed)
    stop = close - p.stop_atr * me.range_now
    target = close + p.target_atr * me.range_now if p.target_atr > 0.0 else 0.0
    lifecycle.plan_entry(me, stop, target)
    terms = (p.share, p.risk_share, stop)
    return answers.enter(decisions, reason, terms, close, me.score, me.width, stop)


@compiled
def _entry_reason(me: Any, p: Any, close: float, low: float) -> int:
    if me.score < 1.0:
        return Reason.NONE.value
    if me.may_retry == 1:
        return Reason.SIGNAL_ENTRY_RETRY.value
    stretch = close - me.lines[CARRY[p.ribbon]]
    if stretch >= p.stretch_atr * me.range_now:
        return Reason.NONE.value
    if p.mode == PULLBACK:
        touched = low <= me.lines[TOUCH[p.ribbon]] and close > me.lines[LEAD[p.ribbon]]
        if touched and me.is_widening == 1:
            return Reason.SIGNAL_ENTRY_PULLBACK.value
        return Reason.NONE.value
    if me.score_before < 1.0 and me.squeezed_bars_ago <= p.squeeze_memory:
        return Reason.SIGNAL_ENTRY_BREAKOUT.value
    return Reason.NONE.value


def warmup_bars(params: Record) -> int:
    """Count the bars after which the slowest average has converged and widths are ranked."""
    p = params[0]
    slowest = int(RIBBONS[int(p.ribbon)].max())
    return max(5 * slowest, slowest + int(p.squeeze_window), 250)


def fact_names(_params: Record, reason: int) -> tuple[str, ...]:
    """Name the facts beside a reason."""
    if reason in lifecycle.HELD_REASONS:
        return lifecycle.HELD_FACTS
    return _FACTS.get(Reason(reason), ("close", "score", "width", "stop"))


_FACTS: Final = {
    Reason.SIGNAL_WARMING_UP: ("close", "score", "width", "width_rank"),
    Reason.COOLDOWN_ACTIVE: ("close", "score", "width", "cooldown_bars"),
    Reason.SIGNAL_NO_OPINION: ("close", "score", "width", "touch_line"),
    Reason.FILTER_VOLUME: ("close", "score", "volume", "volume_average"),
    Reason.COST_GATE: ("close", "score", "expected_move", "needed_move"),
    Reason.SIGNAL_EXIT_CROSS: ("close", "lead_line", "carry_line", "score"),
    Reason.SIGNAL_EXIT_COMPRESSION: ("close", "width", "width_largest", "bars_held"),
}


def plots(params: Record) -> tuple[Plot, ...]:
    """Show every line of the ribbon, and how well they are in order."""
    periods = RIBBONS[int(params["ribbon"][0])]
    lines = tuple(Plot(f"EMA {int(period)}", "lines", cell=k) for k, period in enumerate(periods) if period)
    return (*lines, Plot("Order of the ribbon", "score", pane="below"))


DEFINITION: Final = StrategyDefinition(
    name="ema_ribbon",
    title="EMARibbon",
    summary="Rides a ribbon of averages while it is in order and widens.",
    params_type=Params,
    # Calibrated for activity on real candles, never for profit: docs/strategies/README.md.
    presets={"1m": {"cost_gate": 5.0, "expected_atr": 4.0}, "5m": {}, "15m": {}, "1h": {}},
    named_presets={
        "fib": {"ribbon": "fib"},
        "gmma": {"ribbon": "gmma"},
        "madrid": {"ribbon": "madrid"},
        "breakout": {"mode": "breakout"},
    },
    state_dtype=STATE,
    start=start,
    step=step,
    run=run,
    warmup_bars=warmup_bars,
    fact_names=fact_names,
    plots=plots,
    order_kinds=(OrderKind.ENTRY, OrderKind.EXIT, OrderKind.STOP),
    regimes_expected=("bull_lo", "bull_hi"),
    required_inputs=("open", "high", "low", "close", "volume"),
)
