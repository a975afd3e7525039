"""SashaHybrid: buy pullbacks while the market trends and a ladder of dips while it ranges."""

import math
from dataclasses import dataclass
from typing import Annotated, Any, Final

from strategies import answers, lifecycle, sasha_ladder
from trading.bars import Floats
from trading.compilation import compiled
from trading.costs import round_trip_cost
from trading.indicators import (
    ATR_CELLS,
    EMA_CELLS,
    RSI_CELLS,
    SMA_RING,
    WINDOW_RING,
    atr,
    ema,
    percentile_rank,
    rsi,
    sma,
)
from trading.kernels.runner import advance, answer
from trading.kernels.world import Tape
from trading.strategy import (
    CLOSE,
    HIGH,
    LOW,
    OPEN,
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

HYBRID: Final = 0
LEGACY_G3: Final = 1

RANGING: Final = 0
TRENDING: Final = 1
VOLATILE: Final = 2

FAST: Final = 20
SLOW: Final = 50
ATR_PERIOD: Final = 14
RSI_PERIOD: Final = 14
VOLUME_PERIOD: Final = 20
MAX_VOLATILITY_WINDOW: Final = 1000

LEGACY_RSI: Final = 40.0
LEGACY_STRETCH: Final = 1.005
LEGACY_TARGET: Final = 1.025
LEGACY_STOP: Final = 0.98


@dataclass(frozen=True, slots=True)
class Params:
    """What an operator may set."""

    mode: Annotated[
        str,
        Choice(
            ("hybrid", "legacy_g3"),
            "Pullback and ladder by regime, or the fixed percentages of the third generation.",
        ),
    ] = "hybrid"
    trend_limit: Annotated[float, Range(0.25, 4.0, 0.25, "Distance of the averages in ATRs that makes a trend.")] = 1.0
    volatile_rank: Annotated[float, Range(0.5, 1.0, 0.05, "Rank of the range from which nothing is bought.")] = 0.9
    volatility_window: Annotated[int, Range(100, 1000, 50, "Bars that the range is ranked among.")] = 500
    rsi_low: Annotated[float, Range(10, 45, 1, "Lowest RSI of a pullback.")] = 32.0
    rsi_high: Annotated[float, Range(40, 70, 1, "Highest RSI of a pullback.")] = 48.0
    touch_atr: Annotated[float, Range(0.0, 1.5, 0.05, "How near the low must come to the fast average, in ATRs.")] = 0.25
    volume_factor: Annotated[float, Range(0.0, 3.0, 0.1, "Volume a pullback needs, in averages; 0 for any.")] = 0.0
    rungs: Annotated[int, Range(2, 8, 1, "Rungs of the ladder.")] = 4
    rung_atr: Annotated[float, Range(0.25, 3.0, 0.25, "Distance of the rungs in ATRs.")] = 0.75
    rung_growth: Annotated[float, Range(1.0, 1.5, 0.05, "How much larger each lower rung is.")] = 1.15
    first_rung_rsi: Annotated[float, Range(20, 60, 1, "Highest RSI at the first rung.")] = 45.0
    target_atr: Annotated[float, Range(1.5, 6.0, 0.25, "Target of a pullback in ATRs above the entry.")] = 2.5
    stop_atr: Annotated[float, Range(1.0, 4.0, 0.25, "Stop in ATRs below the entry or the lowest rung.")] = 2.0
    arm_atr: Annotated[float, Range(0.5, 4.0, 0.25, "Gain in ATRs from which the stop trails.")] = 1.5
    trail_atr: Annotated[float, Range(0.5, 4.0, 0.25, "Distance of the trailing stop in ATRs.")] = 1.0
    hold_max: Annotated[int, Range(10, 500, 1, "Longest time in a position, in bars.")] = 96
    cost_gate: Annotated[float, Range(0.0, 5.0, 0.25, "Least target, and least rung distance, in costs.")] = 3.0
    share: Annotated[float, Range(0.01, 1.0, 0.01, "Largest position, of the allocation.")] = 0.10
    risk_share: Annotated[float, Range(0.0, 0.02, 0.0025, "Equity lost at the stop; 0 for no such limit.")] = 0.01
    cooldown: Annotated[int, Range(0, 50, 1, "Bars to wait after a position.")] = 3


STATE: Final = record_dtype(
    [
        *lifecycle.LIFECYCLE_FIELDS,
        *lifecycle.PLAN_FIELDS,
        *sasha_ladder.LADDER_FIELDS,
        ("fast_memory", "f8", (EMA_CELLS,)),
        ("slow_memory", "f8", (EMA_CELLS,)),
        ("anchor_memory", "f8", (SMA_RING + SLOW,)),
        ("atr_memory", "f8", (ATR_CELLS,)),
        ("rsi_memory", "f8", (RSI_CELLS,)),
        ("volume_memory", "f8", (SMA_RING + VOLUME_PERIOD,)),
        ("volatility_memory", "f8", (WINDOW_RING + MAX_VOLATILITY_WINDOW,)),
        ("fast", "f8"),
        ("slow", "f8"),
        ("calm", "f8"),
        ("range_now", "f8"),
        ("rsi", "f8"),
        ("volume_average", "f8"),
        ("volatility_rank", "f8"),
        ("trend_score", "f8"),
        ("regime", "i8"),
    ]
)


@compiled
def start(_params: Record, state: Record) -> None:
    """Begin with averages that have seen nothing."""
    state[0].regime = RANGING


@compiled
def step(state: Record, panel: Floats, i: int, book: Record, params: Record, decisions: Record) -> int:
    """Decide at the close of bar i."""
    me, money, p = state[0], book[0], params[0]
    sasha_ladder.take_in_fills(me, money)
    lifecycle.take_in(me, money, 0, p.cooldown)
    sasha_ladder.forget_if_flat(me)
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
    high, low, close = panel[HIGH, 0, i], panel[LOW, 0, i], panel[CLOSE, 0, i]
    me.fast = ema(me.fast_memory, close, FAST)
    me.slow = ema(me.slow_memory, close, SLOW)
    me.calm = sma(me.anchor_memory, close, SLOW)
    me.range_now = atr(me.atr_memory, high, low, close, ATR_PERIOD)
    me.rsi = rsi(me.rsi_memory, close, RSI_PERIOD)
    me.volume_average = sma(me.volume_memory, panel[VOLUME, 0, i], VOLUME_PERIOD)
    if math.isnan(me.range_now):
        me.volatility_rank = math.nan
        return
    me.volatility_rank = percentile_rank(me.volatility_memory, me.range_now / close, p.volatility_window)
    # A dead market has no range to measure a trend in, and no trend.
    me.trend_score = (me.fast - me.slow) / me.range_now if me.range_now > 0.0 else 0.0
    if me.volatility_rank > p.volatile_rank:
        me.regime = VOLATILE
    elif abs(me.trend_score) > p.trend_limit:
        me.regime = TRENDING
    else:
        me.regime = RANGING


@compiled
def _manage(me: Any, money: Any, p: Any, close: float, decisions: Record) -> int:
    """Mind the position that is held."""
    mended = lifecycle.mend_stop(me, money, 0, decisions, close)
    if mended:
        return mended
    held = float(me.bars_held)
    if me.bars_held >= p.hold_max:
        return answers.leave(decisions, Reason.SIGNAL_EXIT_TIME, close, me.stop, me.target, held)
    if p.mode == LEGACY_G3:
        if me.target > 0.0 and close >= me.target:
            return answers.leave(decisions, Reason.SIGNAL_EXIT_TARGET, close, me.stop, me.target, held)
        return answers.hold(decisions, Reason.POSITION_HELD, close, me.stop, me.target, held)
    count = sasha_ladder.manage(me, p, close, decisions) if me.rungs_bought > 0 else _manage_pullback(me, p, close, decisions)
    if count:
        return count
    if me.regime == VOLATILE:
        tight = close - me.range_now
        smallest = 0.25 * me.range_now
        moved = lifecycle.raise_stop(me, decisions, tight, close, smallest, Reason.STOP_TIGHTENED)
        if moved:
            return moved
    return answers.hold(decisions, Reason.POSITION_HELD, close, me.stop, me.target, held)


@compiled
def _manage_pullback(me: Any, p: Any, close: float, decisions: Record) -> int:
    held = float(me.bars_held)
    if me.target > 0.0 and close >= me.target:
        return answers.leave(decisions, Reason.SIGNAL_EXIT_TARGET, close, me.stop, me.target, held)
    if me.fast < me.slow:
        return answers.leave(decisions, Reason.SIGNAL_EXIT_TREND, close, me.fast, me.slow, me.trend_score)
    if me.highest < me.entry_price + p.arm_atr * me.range_now:
        return 0
    stop = me.highest - p.trail_atr * me.range_now
    smallest = 0.25 * me.range_now
    return lifecycle.raise_stop(me, decisions, stop, close, smallest, Reason.STOP_TRAILED)


@compiled
def _look(me: Any, money: Any, p: Any, panel: Floats, i: int, decisions: Record) -> int:
    """Look for an entry."""
    close = panel[CLOSE, 0, i]
    if math.isnan(me.slow + me.volatility_rank + me.rsi) or money.equity <= 0.0:
        return answers.hold(decisions, Reason.SIGNAL_WARMING_UP, close, me.rsi, me.trend_score, me.volatility_rank)
    if me.cooldown > 0:
        wait = float(me.cooldown)
        return answers.hold(decisions, Reason.COOLDOWN_ACTIVE, close, me.rsi, me.trend_score, wait)
    cost = round_trip_cost(money.fee_rate, money.half_spread)
    if p.mode == LEGACY_G3:
        return _look_legacy(me, p, close, decisions)
    if me.regime == VOLATILE:
        return answers.hold(
            decisions,
            Reason.FILTER_VOLATILITY,
            close,
            me.rsi,
            me.volatility_rank,
            p.volatile_rank,
        )
    if me.regime == RANGING:
        return sasha_ladder.begin(me, p, close, cost, decisions)
    return _look_pullback(me, p, panel, i, cost, decisions)


@compiled
def _look_legacy(me: Any, p: Any, close: float, decisions: Record) -> int:
    near = close <= me.fast * LEGACY_STRETCH
    if not (near and me.rsi < LEGACY_RSI and close > me.slow):
        return answers.hold(decisions, Reason.SIGNAL_NO_OPINION, close, me.rsi, me.fast, me.slow)
    stop = close * LEGACY_STOP
    lifecycle.plan_entry(me, stop, close * LEGACY_TARGET)
    terms = (p.share, p.risk_share, stop)
    return answers.enter(decisions, Reason.SIGNAL_ENTRY_PULLBACK, terms, close, me.rsi, me.fast, stop)


@compiled
def _look_pullback(me: Any, p: Any, panel: Floats, i: int, cost: float, decisions: Record) -> int:
    close = panel[CLOSE, 0, i]
    rising = me.fast > me.slow and close > me.slow
    touched = panel[LOW, 0, i] <= me.fast + p.touch_atr * me.range_now
    turned = close > panel[OPEN, 0, i]
    weak = p.rsi_low <= me.rsi <= p.rsi_high
    again = me.may_retry == 1 and rising
    if not ((rising and touched and turned and weak) or again):
        return answers.hold(decisions, Reason.SIGNAL_NO_OPINION, close, me.rsi, me.trend_score, me.fast)
    volume = panel[VOLUME, 0, i]
    if volume < p.volume_factor * me.volume_average:
        return answers.hold(decisions, Reason.FILTER_VOLUME, close, me.rsi, volume, me.volume_average)
    way = p.target_atr * me.range_now / close
    if way < p.cost_gate * cost:
        return answers.hold(decisions, Reason.COST_GATE, close, me.rsi, way, p.cost_gate * cost)
    reason = Reason.SIGNAL_ENTRY_RETRY.value if again else Reason.SIGNAL_ENTRY_PULLBACK.value
    stop = close - p.stop_atr * me.range_now
    lifecycle.plan_entry(me, stop, close + p.target_atr * me.range_now)
    terms = (p.share, p.risk_share, stop)
    return answers.enter(decisions, reason, terms, close, me.rsi, me.fast, stop)


def warmup_bars(params: Record) -> int:
    """Count the bars after which averages have converged and ranges are ranked."""
    return max(250, int(params[0].volatility_window) + ATR_PERIOD + 1)


def fact_names(params: Record, reason: int) -> tuple[str, ...]:
    """Name the facts beside a reason."""
    if reason in lifecycle.HELD_REASONS:
        return lifecycle.HELD_FACTS
    legacy = int(params[0].mode) == LEGACY_G3
    if legacy and reason == Reason.SIGNAL_NO_OPINION:
        return ("close", "rsi", "ema_fast", "ema_slow")
    return _FACTS.get(Reason(reason), ("close", "rsi", "trend", "level"))


_FACTS: Final = {
    Reason.SIGNAL_WARMING_UP: ("close", "rsi", "trend", "volatility_rank"),
    Reason.COOLDOWN_ACTIVE: ("close", "rsi", "trend", "cooldown_bars"),
    Reason.FILTER_VOLATILITY: ("close", "rsi", "volatility_rank", "volatile_from"),
    Reason.FILTER_VOLUME: ("close", "rsi", "volume", "volume_average"),
    Reason.COST_GATE: ("close", "rsi", "expected_move", "needed_move"),
    Reason.SIGNAL_ENTRY_PULLBACK: ("close", "rsi", "ema_fast", "stop"),
    Reason.SIGNAL_ENTRY_RETRY: ("close", "rsi", "ema_fast", "stop"),
    Reason.SIGNAL_ENTRY_LADDER: ("close", "rung", "level", "stop"),
    Reason.SIGNAL_EXIT_LADDER: ("close", "rung", "level", "stop"),
    Reason.SIGNAL_EXIT_TREND: ("close", "ema_fast", "ema_slow", "trend"),
}


def plots(_params: Record) -> tuple[Plot, ...]:
    """Show the averages that name the regime, and the RSI."""
    return (
        Plot("Fast average", "fast"),
        Plot("Slow average", "slow"),
        Plot("Anchor average", "calm"),
        Plot("RSI", "rsi", pane="below"),
    )


DEFINITION: Final = StrategyDefinition(
    name="sasha_hybrid",
    title="Sasha-Hybrid-Optimized",
    summary="Buys pullbacks while the market trends and a ladder of dips while it ranges.",
    params_type=Params,
    # Calibrated for activity on real candles, never for profit: docs/strategies/README.md.
    presets={"1m": {}, "5m": {}, "15m": {}, "1h": {}},
    named_presets={"legacy_g3": {"mode": "legacy_g3"}},
    state_dtype=STATE,
    start=start,
    step=step,
    run=run,
    warmup_bars=warmup_bars,
    fact_names=fact_names,
    plots=plots,
    order_kinds=(OrderKind.ENTRY, OrderKind.EXIT, OrderKind.STOP),
    regimes_expected=("side_lo", "bull_lo"),
    required_inputs=("open", "high", "low", "close", "volume"),
    notes=("'Optimized' promises nothing yet: no discovery run has certified these parameters.",),
)
