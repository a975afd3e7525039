"""SMACross: follow the trend from one crossing of two simple averages to the next, in each market on its own."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final

from strategies import answers, lifecycle
from trading.bars import Floats
from trading.compilation import compiled
from trading.costs import round_trip_cost
from trading.indicators import (
    ADX_CELLS,
    ATR_CELLS,
    SMA_RING,
    WINDOW_RING,
    adx,
    atr,
    deviation,
    highest,
    percentile_rank,
    sma,
)
from trading.kernels import panel_runner
from trading.kernels.panel_world import PanelTape
from trading.strategy import (
    CLOSE,
    HIGH,
    LOW,
    MAX_SYMBOLS,
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

CONFIRM_BAND: Final = 1
CONFIRM_BARS: Final = 2

ATR_PERIOD: Final = 14
ADX_PERIOD: Final = 14
TREND: Final = 200
CHANDELIER: Final = 22
FAST_MOST: Final = 50
SLOW_MOST: Final = 200
WINDOW_MOST: Final = 720
RETURNS: Final = 60
DAYS_PER_YEAR: Final = 365.0
SMALLEST_RATIO: Final = 1.5


@dataclass(frozen=True, slots=True)
class Params:
    """What an operator may set."""

    fast: Annotated[int, Range(5, FAST_MOST, 1, "Bars of the fast average.")] = 20
    slow: Annotated[int, Range(20, SLOW_MOST, 1, "Bars of the slow average.")] = 50
    confirm: Annotated[
        str,
        Choice(
            ("none", "band", "bars"),
            "Enter at the crossing, when the averages are a band apart, or when it has held for some bars.",
        ),
    ] = "band"
    band_atr: Annotated[float, Range(0.0, 1.0, 0.05, "Distance of the averages in ATRs (band).")] = 0.25
    confirm_bars: Annotated[int, Range(1, 5, 1, "Bars that a crossing must hold (bars).")] = 2
    fresh_bars: Annotated[int, Range(1, 100, 1, "Bars after which a crossing is no longer entered.")] = 12
    adx_least: Annotated[float, Range(0, 30, 1, "Enter only above this ADX, 0 for any.")] = 20.0
    trend_filter: Annotated[bool, Flag("Enter only above the 200-bar average.")] = True
    volatility_rank: Annotated[float, Range(0.5, 1.0, 0.01, "Enter only below this rank of ATR over price, 1 for any.")] = 0.95
    volatility_window: Annotated[int, Range(50, WINDOW_MOST, 10, "Bars that the rank looks back on.")] = 240
    stop_atr: Annotated[float, Range(1.0, 4.0, 0.25, "Hard stop in ATRs below the entry.")] = 2.0
    trail_atr: Annotated[float, Range(0.0, 5.0, 0.25, "Stop in ATRs below the highest high of 22 bars, 0 for no trail.")] = 3.0
    trail_step_atr: Annotated[float, Range(0.05, 1.0, 0.05, "Move the stop only if it rises by this many ATRs.")] = 0.25
    cost_gate: Annotated[float, Range(0.0, 5.0, 0.25, "Enter only if the expected move is this many costs.")] = 3.0
    expected_atr: Annotated[float, Range(1.0, 20.0, 0.5, "Expected move of a trend in ATRs.")] = 6.0
    share: Annotated[float, Range(0.01, 1.0, 0.01, "Largest position in a market, of the allocation.")] = 0.10
    risk_share: Annotated[float, Range(0.0, 0.02, 0.0025, "Equity lost at the stop; 0 for no such limit.")] = 0.01
    volatility_target: Annotated[float, Range(0.0, 2.0, 0.05, "Yearly volatility a whole share may have, 0 for no scaling.")] = (
        0.20
    )
    bars_per_day: Annotated[int, Range(1, 1440, 1, "Bars in a day, to scale the volatility.")] = 24
    cooldown: Annotated[int, Range(0, 50, 1, "Bars to wait after a position.")] = 3


COIN: Final = record_dtype(
    [
        *lifecycle.LIFECYCLE_FIELDS,
        *lifecycle.PLAN_FIELDS,
        ("fast_memory", "f8", (SMA_RING + FAST_MOST,)),
        ("slow_memory", "f8", (SMA_RING + SLOW_MOST,)),
        ("trend_memory", "f8", (SMA_RING + TREND,)),
        ("atr_memory", "f8", (ATR_CELLS,)),
        ("slow_atr_memory", "f8", (ATR_CELLS,)),
        ("adx_memory", "f8", (ADX_CELLS,)),
        ("top_memory", "f8", (WINDOW_RING + CHANDELIER,)),
        ("rank_memory", "f8", (WINDOW_RING + WINDOW_MOST,)),
        ("return_memory", "f8", (WINDOW_RING + RETURNS,)),
        ("fast", "f8"),
        ("slow", "f8"),
        ("trend", "f8"),
        ("range_now", "f8"),
        ("slow_range", "f8"),
        ("strength", "f8"),
        ("top", "f8"),
        ("rank", "f8"),
        ("volatility", "f8"),
        ("close_before", "f8"),
        # Whether the fast average is above; on which bar since it came there; whether that was used for an entry.
        ("is_above", "i8"),
        ("bars_above", "i8"),
        ("is_used", "i8"),
    ]
)

STATE: Final = record_dtype([("coins", COIN, (MAX_SYMBOLS,))])


@compiled
def start(_params: Record, state: Record) -> None:
    """Begin with averages that have seen nothing, as if the fast one had long been above."""
    # A crossing that was there before the bot looked is not news.
    for symbol in range(MAX_SYMBOLS):
        coin = state[0].coins[symbol]
        coin.is_above = 1
        coin.is_used = 1


@compiled
def step(state: Record, panel: Floats, i: int, book: Record, params: Record, decisions: Record) -> int:
    """Decide at the close of bar i, in one market after the other."""
    count = 0
    for symbol in range(panel.shape[1]):
        room = decisions[count:]
        said = _step_coin(state[0].coins[symbol], panel, i, symbol, book[0], params[0], room)
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
def _step_coin(me: Any, panel: Floats, i: int, symbol: int, money: Any, p: Any, decisions: Record) -> int:
    lifecycle.take_in(me, money, symbol, p.cooldown)
    if answers.is_missing(panel, symbol, i):
        return answers.nothing(decisions)
    lifecycle.count_bar(me, panel[HIGH, symbol, i])
    close = panel[CLOSE, symbol, i]
    _observe(me, panel, i, symbol, p)
    count = _manage(me, money, symbol, p, close, decisions) if me.holding == 1 else _look(me, money, p, close, decisions)
    me.may_retry = 0
    return count


@compiled
def _observe(me: Any, panel: Floats, i: int, symbol: int, p: Any) -> None:
    high, low, close = panel[HIGH, symbol, i], panel[LOW, symbol, i], panel[CLOSE, symbol, i]
    me.fast = sma(me.fast_memory, close, p.fast)
    me.slow = sma(me.slow_memory, close, p.slow)
    me.trend = sma(me.trend_memory, close, TREND)
    me.range_now = atr(me.atr_memory, high, low, close, ATR_PERIOD)
    me.slow_range = atr(me.slow_atr_memory, high, low, close, CHANDELIER)
    me.strength = adx(me.adx_memory, high, low, close, ADX_PERIOD)
    me.top = highest(me.top_memory, high, CHANDELIER)
    if not math.isnan(me.range_now):
        me.rank = percentile_rank(me.rank_memory, me.range_now / close, p.volatility_window)
    else:
        me.rank = math.nan
    if me.close_before > 0.0:
        daily = deviation(me.return_memory, math.log(close / me.close_before), RETURNS)
        me.volatility = daily * math.sqrt(p.bars_per_day * DAYS_PER_YEAR)
    else:
        me.volatility = math.nan
    me.close_before = close
    _note_crossing(me)


@compiled
def _note_crossing(me: Any) -> None:
    # Averages that are equal change nothing, and neither do averages that are not known yet.
    if me.is_above == 1 and me.fast < me.slow:
        me.is_above = 0
        me.is_used = 0
        me.bars_above = 0
    elif me.is_above == 0 and me.fast > me.slow:
        me.is_above = 1
        me.bars_above = 1
    elif me.is_above == 1:
        me.bars_above += 1


@compiled
def _manage(me: Any, money: Any, symbol: int, p: Any, close: float, decisions: Record) -> int:
    """Mind the position that is held."""
    mended = lifecycle.mend_stop(me, money, symbol, decisions, close)
    if mended:
        return mended
    if me.is_above == 0:
        return answers.leave(decisions, Reason.SIGNAL_EXIT_CROSS, close, me.fast, me.slow, me.strength)
    if p.trail_atr > 0.0 and not math.isnan(me.top):
        stop = me.top - p.trail_atr * me.slow_range
        if stop >= close and stop > me.stop:
            # The chandelier hangs above the price already: there is nothing left to protect.
            return answers.leave(decisions, Reason.STOP_BREACHED, close, stop, me.target, float(me.bars_held))
        moved = lifecycle.raise_stop(me, decisions, stop, close, p.trail_step_atr * me.slow_range, Reason.STOP_TRAILED)
        if moved:
            return moved
    return answers.hold(decisions, Reason.POSITION_HELD, close, me.stop, me.target, float(me.bars_held))


@compiled
def _look(me: Any, money: Any, p: Any, close: float, decisions: Record) -> int:
    """Look for an entry."""
    unknown = math.isnan(me.slow + me.trend + me.range_now + me.strength + me.rank + me.volatility + me.top)
    if unknown or money.equity <= 0.0:
        return answers.hold(decisions, Reason.SIGNAL_WARMING_UP, close, me.fast, me.slow, me.strength)
    if me.cooldown > 0:
        return answers.hold(decisions, Reason.COOLDOWN_ACTIVE, close, me.fast, me.slow, float(me.cooldown))
    again = me.may_retry == 1 and me.is_above == 1
    if not (again or _is_confirmed(me, p)):
        return answers.hold(decisions, Reason.SIGNAL_NO_OPINION, close, me.fast, me.slow, me.strength)
    if p.adx_least > 0.0 and me.strength <= p.adx_least:
        return answers.hold(decisions, Reason.FILTER_REGIME, close, me.fast, me.slow, me.strength)
    if p.trend_filter == 1 and close <= me.trend:
        return answers.hold(decisions, Reason.FILTER_TREND, close, me.fast, me.slow, me.trend)
    if p.volatility_rank < 1.0 and me.rank >= p.volatility_rank:
        return answers.hold(decisions, Reason.FILTER_VOLATILITY, close, me.range_now, me.rank, p.volatility_rank)
    way = p.expected_atr * me.range_now / close
    needed = p.cost_gate * round_trip_cost(money.fee_rate, money.half_spread)
    if way < needed:
        return answers.hold(decisions, Reason.COST_GATE, close, me.slow, way, needed)
    return _enter(me, p, close, again, decisions)


@compiled
def _is_confirmed(me: Any, p: Any) -> bool:
    """Tell whether the crossing counts at this bar; each crossing may be entered once."""
    if me.is_above == 0 or me.is_used == 1 or me.bars_above > p.fresh_bars:
        return False
    if p.confirm == CONFIRM_BAND:
        return bool(me.fast - me.slow > p.band_atr * me.range_now)
    if p.confirm == CONFIRM_BARS:
        return bool(me.bars_above >= p.confirm_bars)
    return bool(me.bars_above == 1)


@compiled
def _enter(me: Any, p: Any, close: float, again: bool, decisions: Record) -> int:
    me.is_used = 1
    part = 1.0
    if p.volatility_target > 0.0 and me.volatility > p.volatility_target:
        part = p.volatility_target / me.volatility
    stop = close - p.stop_atr * me.range_now
    lifecycle.plan_entry(me, stop, 0.0)
    reason = Reason.SIGNAL_ENTRY_RETRY.value if again else Reason.SIGNAL_ENTRY_CROSS.value
    return answers.enter(decisions, reason, (p.share * part, p.risk_share, stop), close, me.fast, me.slow, stop)


def warmup_bars(params: Record) -> int:
    """Count the bars after which averages, ranks and Wilder's sums have converged."""
    return max(250, ATR_PERIOD + int(params[0].volatility_window) + 1)


def check(values: Mapping[str, Any]) -> None:
    """Refuse averages that lie too close together to tell a trend."""
    if values["slow"] < SMALLEST_RATIO * values["fast"]:
        raise ValueError(f"sma_cross: slow ({values['slow']}) must be at least {SMALLEST_RATIO} times fast ({values['fast']})")


def fact_names(_params: Record, reason: int) -> tuple[str, ...]:
    """Name the facts beside a reason."""
    if reason in lifecycle.HELD_REASONS:
        return lifecycle.HELD_FACTS
    return _FACTS.get(Reason(reason), ("close", "fast", "slow", "adx"))


_FACTS: Final = {
    Reason.COOLDOWN_ACTIVE: ("close", "fast", "slow", "cooldown_bars"),
    Reason.COST_GATE: ("close", "slow", "expected_move", "needed_move"),
    Reason.FILTER_TREND: ("close", "fast", "slow", "trend"),
    Reason.FILTER_VOLATILITY: ("close", "atr", "volatility_rank", "highest_rank"),
    Reason.SIGNAL_ENTRY_CROSS: ("close", "fast", "slow", "stop"),
    Reason.SIGNAL_ENTRY_RETRY: ("close", "fast", "slow", "stop"),
}


def plots(_params: Record) -> tuple[Plot, ...]:
    """Show the averages and the strength of the trend."""
    return (
        Plot("Fast average", "coins.fast"),
        Plot("Slow average", "coins.slow"),
        Plot("200-bar average", "coins.trend"),
        Plot("ADX", "coins.strength", pane="below"),
    )


DEFINITION: Final = StrategyDefinition(
    name="sma_cross",
    title="SMACross",
    summary="Buys when a fast simple average crosses above a slow one in a trend, and sells when it crosses back.",
    params_type=Params,
    # Calibrated for activity on real candles, never for profit: docs/strategies/README.md.
    presets={
        "5m": {"bars_per_day": 288},
        "15m": {"bars_per_day": 96},
        "1h": {},
        "4h": {"bars_per_day": 6},
        "1d": {"bars_per_day": 1, "confirm": "bars"},
    },
    named_presets={
        "plain": {"confirm": "none", "adx_least": 0, "trend_filter": False, "volatility_rank": 1.0, "volatility_target": 0},
        "golden_cross": {"fast": 50, "slow": 200, "confirm": "bars"},
    },
    state_dtype=STATE,
    start=start,
    step=step,
    run_panel=run_panel,
    check=check,
    warmup_bars=warmup_bars,
    fact_names=fact_names,
    plots=plots,
    symbols_most=MAX_SYMBOLS,
    order_kinds=(OrderKind.ENTRY, OrderKind.EXIT, OrderKind.STOP),
    regimes_expected=("bull_lo", "bull_hi"),
)
