"""MeanReversion: buy what fell too far from its average, sell at the average."""

import math
from dataclasses import dataclass
from typing import Annotated, Any, Final

from strategies import answers, lifecycle
from trading.compilation import compiled
from trading.costs import round_trip_cost
from trading.indicators import (
    ADX_CELLS,
    ATR_CELLS,
    RSI_CELLS,
    SMA_RING,
    WINDOW_RING,
    adx,
    atr,
    half_life,
    moments,
    rsi,
    sma,
)
from trading.kernels.runner import advance, answer
from trading.kernels.world import Tape
from trading.strategy import (
    CLOSE,
    HIGH,
    LOW,
    Choice,
    Flag,
    OrderKind,
    Plot,
    Range,
    Reason,
    Record,
    StrategyDefinition,
    record_dtype,
)

BB_RSI: Final = 0
ZSCORE: Final = 1
RSI2: Final = 2

MAX_PERIOD: Final = 50
MAX_TREND: Final = 400
MAX_HALF_LIFE_WINDOW: Final = 200


@dataclass(frozen=True, slots=True)
class Params:
    """What an operator may set."""

    mode: Annotated[str, Choice(("bb_rsi", "zscore", "rsi2"), "Which way of calling a price too low.")] = "bb_rsi"
    period: Annotated[int, Range(10, 50, 1, "Bars of the average and its deviation.")] = 20
    width: Annotated[float, Range(1.0, 3.0, 0.1, "Band width in deviations (bb_rsi).")] = 2.0
    rsi_period: Annotated[int, Range(7, 21, 1, "Bars of the RSI (bb_rsi).")] = 14
    oversold: Annotated[float, Range(20, 45, 1, "Buy only below this RSI (bb_rsi).")] = 30.0
    exit_rsi: Annotated[float, Range(45, 80, 1, "Sell above this RSI (bb_rsi).")] = 50.0
    exit_at_upper: Annotated[bool, Flag("Wait for the upper band or the exit RSI instead of the middle (bb_rsi).")] = False
    z_entry: Annotated[float, Range(1.0, 3.5, 0.1, "Buy this far below the mean (zscore).")] = 2.0
    z_exit: Annotated[float, Range(-0.5, 0.5, 0.1, "Sell at this z-score (zscore).")] = 0.0
    z_stop: Annotated[float, Range(2.5, 8.0, 0.25, "Give up this far below (zscore).")] = 4.0
    rsi2_entry: Annotated[float, Range(2, 25, 1, "Buy below this RSI of 2 bars (rsi2).")] = 10.0
    rsi2_exit_period: Annotated[int, Range(3, 10, 1, "Bars of the exit average (rsi2).")] = 5
    stop_atr: Annotated[float, Range(1.0, 6.0, 0.25, "Hard stop in ATRs below the entry.")] = 2.5
    stop_share: Annotated[float, Range(0.0, 0.05, 0.0025, "Hard stop at least this share below the entry (bb_rsi).")] = 0.02
    time_stop: Annotated[int, Range(5, 120, 1, "Leave after this many bars.")] = 20
    regime_filter: Annotated[bool, Flag("No entry while ADX says that a trend is under way and it points down.")] = True
    adx_max: Annotated[float, Range(15, 60, 1, "ADX from which a trend is under way.")] = 25.0
    trend_filter: Annotated[bool, Flag("No entry below the long average (bb_rsi; rsi2 always has it).")] = False
    trend_period: Annotated[int, Range(50, 400, 10, "Bars of the long average.")] = 200
    half_life_max: Annotated[float, Range(0, 100, 1, "Longest half-life of a move in bars, 0 for any (zscore).")] = 0.0
    cost_gate: Annotated[float, Range(0.0, 5.0, 0.25, "Enter only if the way to the mean is this many costs.")] = 3.0
    share: Annotated[float, Range(0.01, 1.0, 0.01, "Largest position, of the allocation.")] = 0.10
    risk_share: Annotated[float, Range(0.0, 0.02, 0.0025, "Equity lost at the stop; 0 for no such limit.")] = 0.01
    cooldown: Annotated[int, Range(0, 50, 1, "Bars to wait after a position.")] = 3


STATE: Final = record_dtype(
    [
        *lifecycle.LIFECYCLE_FIELDS,
        *lifecycle.PLAN_FIELDS,
        ("window", "f8", (WINDOW_RING + MAX_PERIOD,)),
        ("exit_average", "f8", (SMA_RING + MAX_PERIOD,)),
        ("trend", "f8", (SMA_RING + MAX_TREND,)),
        ("half_life_window", "f8", (WINDOW_RING + MAX_HALF_LIFE_WINDOW,)),
        ("rsi", "f8", (RSI_CELLS,)),
        ("atr", "f8", (ATR_CELLS,)),
        ("adx", "f8", (ADX_CELLS,)),
        # What the indicators say at this bar.
        ("middle", "f8"),
        ("sigma", "f8"),
        ("oscillator", "f8"),
        ("range_now", "f8"),
        ("strength", "f8"),
        ("long_average", "f8"),
        ("short_average", "f8"),
        ("life_now", "f8"),
    ]
)

ATR_PERIOD: Final = 14
ADX_PERIOD: Final = 14
HALF_LIFE_WINDOW: Final = 100


@compiled
def start(_params: Record, state: Record) -> None:
    """Begin with indicators that have seen nothing."""
    # A zeroed memory is a fold that has seen nothing; there is nothing to seed.
    state[0].cooldown = 0


@compiled
def step(state: Record, panel: Any, i: int, book: Record, params: Record, decisions: Record) -> int:
    """Decide at the close of bar i."""
    me, money, p = state[0], book[0], params[0]
    lifecycle.take_in(me, money, 0, p.cooldown)
    if answers.is_missing(panel, 0, i):
        return answers.nothing(decisions)
    lifecycle.count_bar(me, panel[HIGH, 0, i])
    _observe(me, panel, i, p)
    close = panel[CLOSE, 0, i]
    if me.holding == 1:
        return _manage(me, money, p, close, decisions)
    return _look(me, money, p, close, decisions)


@compiled
def run(world: Record, tape: Tape, state: Record, params: Record, until: int) -> int:
    """Walk the tape of a backtest and step wherever a bar has closed."""
    while advance(world, tape, until):
        count = step(state, tape.panel, world[0].bar, tape.book, params, tape.decisions)
        answer(world, tape, count)
    return int(world[0].status)


@compiled
def _observe(me: Any, panel: Any, i: int, p: Any) -> None:
    high, low, close = panel[HIGH, 0, i], panel[LOW, 0, i], panel[CLOSE, 0, i]
    me.middle, me.sigma = moments(me.window, close, p.period)
    rsi_period = 2 if p.mode == RSI2 else p.rsi_period
    me.oscillator = rsi(me.rsi, close, rsi_period)
    me.range_now = atr(me.atr, high, low, close, ATR_PERIOD)
    me.strength = adx(me.adx, high, low, close, ADX_PERIOD)
    me.long_average = sma(me.trend, close, p.trend_period)
    me.short_average = sma(me.exit_average, close, p.rsi2_exit_period)
    me.life_now = half_life(me.half_life_window, close, HALF_LIFE_WINDOW, p.half_life_max > 0.0)


@compiled
def _manage(me: Any, money: Any, p: Any, close: float, decisions: Record) -> int:
    """Mind the position that is held."""
    mended = lifecycle.mend_stop(me, money, 0, decisions, close)
    if mended:
        return mended
    held = float(me.bars_held)
    reason = _exit_reason(me, p, close)
    if reason == Reason.NONE and me.bars_held >= p.time_stop:
        reason = Reason.SIGNAL_EXIT_TIME.value
    if reason == Reason.SIGNAL_EXIT_MEAN or reason == Reason.SIGNAL_EXIT_DIVERGENCE:
        return answers.leave(decisions, reason, close, me.middle, me.oscillator, held)
    if reason == Reason.SIGNAL_EXIT_RSI:
        return answers.leave(decisions, reason, close, me.middle, me.oscillator, held)
    if reason != Reason.NONE:
        return answers.leave(decisions, reason, close, me.stop, me.middle, held)
    return answers.hold(decisions, Reason.POSITION_HELD, close, me.stop, me.middle, held)


@compiled
def _exit_reason(me: Any, p: Any, close: float) -> int:
    if p.mode == ZSCORE:
        z = _z_score(me, close)
        if z >= p.z_exit:
            return Reason.SIGNAL_EXIT_MEAN.value
        return Reason.SIGNAL_EXIT_DIVERGENCE.value if z < -p.z_stop else Reason.NONE.value
    if p.mode == RSI2:
        above = close > me.short_average
        return Reason.SIGNAL_EXIT_MEAN.value if above else Reason.NONE.value
    goal = me.middle + p.width * me.sigma if p.exit_at_upper else me.middle
    if close >= goal:
        return Reason.SIGNAL_EXIT_MEAN.value
    return Reason.SIGNAL_EXIT_RSI.value if me.oscillator > p.exit_rsi else Reason.NONE.value


@compiled
def _look(me: Any, money: Any, p: Any, close: float, decisions: Record) -> int:
    """Look for an entry."""
    a, b, c = _facts(me, p, close)
    if _is_warming_up(me, money, p):
        return answers.hold(decisions, Reason.SIGNAL_WARMING_UP, close, a, b, c)
    if me.cooldown > 0:
        return answers.hold(decisions, Reason.COOLDOWN_ACTIVE, close, a, b, float(me.cooldown))
    if not _is_cheap(me, p, close):
        return answers.hold(decisions, Reason.SIGNAL_NO_OPINION, close, a, b, c)
    if p.regime_filter and me.strength >= p.adx_max and close < me.long_average:
        return answers.hold(decisions, Reason.FILTER_REGIME, close, a, b, c)
    if p.trend_filter and close < me.long_average:
        return answers.hold(decisions, Reason.FILTER_TREND, close, a, b, me.long_average)
    if p.mode == ZSCORE and p.half_life_max > 0.0 and not me.life_now <= p.half_life_max:
        return answers.hold(decisions, Reason.FILTER_REGIME, close, a, b, me.life_now)
    expected = _expected_move(me, p, close)
    needed = p.cost_gate * round_trip_cost(money.fee_rate, money.half_spread)
    if expected < needed:
        return answers.hold(decisions, Reason.COST_GATE, close, a, expected, needed)
    stop = close - _stop_distance(me, p, close)
    lifecycle.plan_entry(me, stop, me.middle)
    return answers.enter(decisions, _entry_reason(p), (p.share, p.risk_share, stop), close, a, b, stop)


@compiled
def _is_warming_up(me: Any, money: Any, p: Any) -> bool:
    unknown = me.middle + me.oscillator + me.range_now + me.strength
    if p.regime_filter or p.trend_filter or p.mode == RSI2:
        unknown += me.long_average
    # Without money this is the replay of history before the bot's first bar.
    return math.isnan(unknown) or money.equity <= 0.0


@compiled
def _is_cheap(me: Any, p: Any, close: float) -> bool:
    if p.mode == ZSCORE:
        return bool(_z_score(me, close) < -p.z_entry)
    if p.mode == RSI2:
        return bool(close > me.long_average and me.oscillator < p.rsi2_entry)
    return bool(close < me.middle - p.width * me.sigma and me.oscillator < p.oversold)


@compiled
def _z_score(me: Any, close: float) -> float:
    # A dead market has no deviation and no score.
    return float((close - me.middle) / me.sigma) if me.sigma > 0.0 else 0.0


@compiled
def _expected_move(me: Any, p: Any, close: float) -> float:
    way = me.middle - close
    if p.mode == RSI2:
        way = max(way, me.range_now)
    return float(way / close)


@compiled
def _stop_distance(me: Any, p: Any, close: float) -> float:
    distance = p.stop_atr * me.range_now
    if p.mode == BB_RSI:
        distance = max(distance, p.stop_share * close)
    return float(distance)


@compiled
def _entry_reason(p: Any) -> int:
    if p.mode == ZSCORE:
        return Reason.SIGNAL_ENTRY_ZSCORE.value
    if p.mode == RSI2:
        return Reason.SIGNAL_ENTRY_RSI.value
    return Reason.SIGNAL_ENTRY_BAND.value


@compiled
def _facts(me: Any, p: Any, close: float) -> tuple[float, float, float]:
    if p.mode == ZSCORE:
        return _z_score(me, close), me.middle, me.strength
    if p.mode == RSI2:
        return me.oscillator, me.long_average, me.strength
    return me.middle - p.width * me.sigma, me.oscillator, me.strength


def warmup_bars(params: Record) -> int:
    """Count the bars after which the slowest indicator has converged."""
    return max(250, int(params[0].trend_period))


_LOOK_FACTS: Final = {
    BB_RSI: ("close", "lower_band", "rsi", "adx"),
    ZSCORE: ("close", "z_score", "mean", "adx"),
    RSI2: ("close", "rsi", "long_average", "adx"),
}
_LAST_FACT: Final = {
    Reason.COOLDOWN_ACTIVE: "cooldown_bars",
    Reason.FILTER_TREND: "long_average",
    Reason.SIGNAL_ENTRY_BAND: "stop",
    Reason.SIGNAL_ENTRY_ZSCORE: "stop",
    Reason.SIGNAL_ENTRY_RSI: "stop",
}


def fact_names(params: Record, reason: int) -> tuple[str, ...]:
    """Name the facts beside a reason."""
    names = _LOOK_FACTS[int(params[0].mode)]
    if reason in {Reason.SIGNAL_EXIT_MEAN, Reason.SIGNAL_EXIT_RSI, Reason.SIGNAL_EXIT_DIVERGENCE}:
        return ("close", "mean", "rsi", "bars_held")
    if reason in lifecycle.HELD_REASONS:
        return lifecycle.HELD_FACTS
    if reason == Reason.COST_GATE:
        return (*names[:2], "expected_move", "needed_move")
    return (*names[:3], _LAST_FACT.get(Reason(reason), names[3]))


def plots(params: Record) -> tuple[Plot, ...]:
    """Show the average with its bands, and how far the price has swung."""
    width = float(params["width"][0])
    return (
        Plot("Average", "middle"),
        Plot("Upper band", "middle", spread="sigma", times=width),
        Plot("Lower band", "middle", spread="sigma", times=-width),
        Plot("RSI", "oscillator", pane="below"),
        Plot("ADX", "strength", pane="below"),
    )


DEFINITION: Final = StrategyDefinition(
    name="mean_reversion",
    title="MeanReversion",
    summary="Buys a price that fell too far from its average and sells it at the average.",
    params_type=Params,
    # Calibrated for activity on real candles, never for profit: docs/strategies/README.md.
    presets={
        "1m": {},
        "5m": {"oversold": 35.0, "adx_max": 30.0, "cost_gate": 2.0},
        "15m": {"oversold": 35.0},
        "1h": {"oversold": 40.0, "width": 1.5, "adx_max": 35.0},
    },
    named_presets={
        "zscore": {"mode": "zscore", "stop_atr": 3.0},
        "rsi2": {"mode": "rsi2", "stop_atr": 3.0, "time_stop": 10, "cost_gate": 2.0},
        "conservative": {"exit_at_upper": True, "exit_rsi": 70.0},
    },
    state_dtype=STATE,
    start=start,
    step=step,
    run=run,
    warmup_bars=warmup_bars,
    fact_names=fact_names,
    plots=plots,
    order_kinds=(OrderKind.ENTRY, OrderKind.EXIT, OrderKind.STOP),
    regimes_expected=("side_lo", "side_hi", "bull_lo"),
)
