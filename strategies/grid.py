"""GridTrading: buy at every level on the way down, sell one level higher on the way up.

The range is cut into gaps. A gap either waits to buy at its lower level or, once bought, waits to
sell at its upper one: one live order per gap, in the slot of that gap, whatever was filled.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final

from strategies import answers, grid_orders
from trading.bars import Floats
from trading.compilation import compiled
from trading.indicators import ADX_CELLS, ATR_CELLS, SMA_RING, adx, atr, sma
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

RECENTRE_NONE: Final = 0
RECENTRE_TRAIL_UP: Final = 1
RECENTRE_REBUILD: Final = 2
RANGE_FIXED: Final = 0
CENTRE_CLOSE: Final = 0

ATR_PERIOD: Final = 14
ADX_PERIOD: Final = 14
TREND: Final = 200
HALF_WIDTH_LEAST: Final = 0.04
HALF_WIDTH_MOST: Final = 0.15
FEWEST_GAPS: Final = 5


@dataclass(frozen=True, slots=True)
class Params:
    """What an operator may set."""

    spacing_kind: Annotated[str, Choice(("geometric", "arithmetic"), "Levels in equal ratios or equal distances.")] = "geometric"
    levels: Annotated[int, Range(5, 40, 1, "Most gaps between levels.")] = 10
    range_from: Annotated[
        str,
        Choice(("fixed", "atr"), "Half the range: a fixed share, or ATRs scaled to a day."),
    ] = "fixed"
    half_width: Annotated[float, Range(0.005, 0.3, 0.005, "Half the range, of its centre (fixed).")] = 0.04
    range_atr: Annotated[float, Range(1.0, 6.0, 0.25, "Half the range in daily ATRs, kept from 4 % to 15 % (atr).")] = 3.0
    bars_per_day: Annotated[int, Range(1, 1440, 1, "Bars in a day, to scale the ATR.")] = 288
    centre: Annotated[str, Choice(("close", "average"), "Lay the range round the close or the 200-bar average.")] = "close"
    spacing_costs: Annotated[float, Range(1.0, 10.0, 0.5, "Least distance of two levels, in break-even distances.")] = 4.0
    start_flat: Annotated[bool, Flag("Begin with buys only, without buying what the upper levels would sell.")] = False
    recentre: Annotated[
        str,
        Choice(
            ("none", "trail_up", "rebuild"),
            "Never move, climb with the price, or lay a new range when the price stays outside.",
        ),
    ] = "rebuild"
    trail_bars: Annotated[int, Range(1, 50, 1, "Closes above the range before it climbs.")] = 3
    rebuild_bars: Annotated[int, Range(1, 2000, 1, "Closes outside the range before it is laid anew.")] = 48
    inventory_cap: Annotated[float, Range(0.3, 1.0, 0.05, "Most of the grid's money that may be in the coin.")] = 0.7
    hard_stop: Annotated[float, Range(0.0, 0.2, 0.005, "Sell everything this far below the range, 0 for never.")] = 0.03
    drawdown_stop: Annotated[float, Range(0.0, 0.5, 0.01, "Sell everything after losing this share, 0 for never.")] = 0.10
    take_profit: Annotated[float, Range(0.0, 0.5, 0.01, "Sell everything this far above the range, 0 for never.")] = 0.0
    restart_bars: Annotated[int, Range(0, 5000, 1, "Bars of rest after selling everything, 0 to stay out.")] = 288
    pause_adx: Annotated[float, Range(0, 60, 1, "No new buys while ADX is above this in a fall, 0 for never.")] = 30.0
    pause_in_rise: Annotated[bool, Flag("Pause on ADX in a rise as well.")] = False
    share: Annotated[float, Range(0.01, 1.0, 0.01, "Money of the whole grid, of the allocation.")] = 0.10


STATE: Final = record_dtype(
    [
        *grid_orders.GRID_FIELDS,
        ("atr_memory", "f8", (ATR_CELLS,)),
        ("adx_memory", "f8", (ADX_CELLS,)),
        ("trend_memory", "f8", (SMA_RING + TREND,)),
        ("range_now", "f8"),
        ("strength", "f8"),
        ("trend", "f8"),
        ("bars_seen", "i8"),
        ("bars_above", "i8"),
        ("bars_outside", "i8"),
        ("rest", "i8"),
        ("highest_gain", "f8"),
        ("is_paused", "i8"),
    ]
)


@compiled
def start(_params: Record, state: Record) -> None:
    """Begin without a range."""
    state[0].phase = grid_orders.BUILDING


@compiled
def step(state: Record, panel: Floats, i: int, book: Record, params: Record, decisions: Record) -> int:
    """Decide at the close of bar i."""
    me, money, p = state[0], book[0], params[0]
    grid_orders.take_in(me, money)
    if answers.is_missing(panel, 0, i):
        return answers.nothing(decisions)
    close = panel[CLOSE, 0, i]
    _observe(me, panel, i, p)
    unknown = math.isnan(me.trend + me.range_now + me.strength)
    if unknown or money.equity <= 0.0:
        return answers.hold(decisions, Reason.SIGNAL_WARMING_UP, close, me.range_now, me.strength, me.trend)
    if me.phase == grid_orders.RESTING:
        return _rest(me, money, p, close, decisions)
    if me.phase in (grid_orders.CLEARING, grid_orders.BUILDING):
        # Wherever the orders of an older range went, to a cancel or a fill, the book says that they are gone.
        if money.order_count > 0:
            return grid_orders.clear(me, money, decisions, close)
        return _build(me, money, p, close, decisions)
    return _mind(me, money, p, close, decisions)


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
    me.bars_seen += 1
    me.range_now = atr(me.atr_memory, high, low, close, ATR_PERIOD)
    me.strength = adx(me.adx_memory, high, low, close, ADX_PERIOD)
    me.trend = sma(me.trend_memory, close, TREND)
    directed = p.pause_adx > 0.0 and me.strength > p.pause_adx
    me.is_paused = 1 if directed and (close < me.trend or p.pause_in_rise == 1) else 0


@compiled
def _build(me: Any, money: Any, p: Any, close: float, decisions: Record) -> int:
    """Lay the range and place its first orders."""
    half = p.half_width
    if p.range_from != RANGE_FIXED:
        daily = me.range_now * math.sqrt(float(p.bars_per_day)) / close
        half = min(max(p.range_atr * daily, HALF_WIDTH_LEAST), HALF_WIDTH_MOST)
    centre = close if p.centre == CENTRE_CLOSE else me.trend
    break_even = (1.0 + money.maker_fee_rate) / (1.0 - money.maker_fee_rate) - 1.0
    least = max(p.spacing_costs * break_even, 1e-4)
    low, high = centre * (1.0 - half), centre * (1.0 + half)
    most = math.floor(math.log(high / low) / math.log(1.0 + least))
    gaps = min(p.levels, most)
    capital = p.share * money.allocation
    if gaps < 1 or (gaps < FEWEST_GAPS and gaps < p.levels and most < FEWEST_GAPS):
        return answers.hold(decisions, Reason.COST_GATE, close, low, high, float(most))
    if capital / gaps < money.min_notional[0]:
        return answers.hold(decisions, Reason.FILTER_MIN_NOTIONAL, close, capital, float(gaps), capital / gaps)
    grid_orders.lay(me, low, high, gaps, p.spacing_kind, capital)
    me.bars_above = 0
    me.bars_outside = 0
    me.highest_gain = money.gain
    count = grid_orders.stock(me, money, close, p.share, p.start_flat, decisions)
    me.phase = grid_orders.RUNNING
    return grid_orders.place(me, money, p.inventory_cap, close, count, decisions)


@compiled
def _mind(me: Any, money: Any, p: Any, close: float, decisions: Record) -> int:
    """Mind the range: leave it, move it, or keep its orders complete."""
    me.highest_gain = max(me.highest_gain, money.gain)
    low, high = grid_orders.level(me, 0), grid_orders.level(me, me.gaps)
    reason = _reason_to_leave(me, money, p, close, low, high)
    if reason != Reason.NONE.value:
        me.phase = grid_orders.RESTING
        me.rest = p.restart_bars
        return grid_orders.liquidate(me, money, decisions, reason, close)
    me.bars_above = me.bars_above + 1 if close > high else 0
    me.bars_outside = me.bars_outside + 1 if close > high or close < low else 0
    if p.recentre == RECENTRE_TRAIL_UP and me.bars_above >= p.trail_bars:
        me.bars_above = 0
        return grid_orders.climb(me, money, p.inventory_cap, close, decisions)
    if p.recentre == RECENTRE_REBUILD and me.bars_outside >= p.rebuild_bars:
        me.phase = grid_orders.CLEARING
        return grid_orders.clear(me, money, decisions, close)
    count = grid_orders.restock(me, money, close, p.share, decisions)
    return grid_orders.place(me, money, p.inventory_cap, close, count, decisions)


@compiled
def _reason_to_leave(me: Any, money: Any, p: Any, close: float, low: float, high: float) -> int:
    if p.hard_stop > 0.0 and close < low * (1.0 - p.hard_stop):
        return Reason.STOP_RANGE.value
    # By what it gained: capital that leaves the book is no loss. A share that was made smaller may have left more in the coin
    # than the range was laid with, and then that is what the loss is a share of.
    lost = (me.highest_gain - money.gain) / max(me.capital, money.quantity[0] * close)
    if p.drawdown_stop > 0.0 and lost >= p.drawdown_stop:
        return Reason.STOP_DRAWDOWN.value
    if p.take_profit > 0.0 and close > high * (1.0 + p.take_profit):
        return Reason.GRID_TAKE_PROFIT.value
    return Reason.NONE.value


@compiled
def _rest(me: Any, money: Any, p: Any, close: float, decisions: Record) -> int:
    """Stay out for a while after everything was sold."""
    if money.order_count > 0 or grid_orders.is_holding(money):
        return grid_orders.liquidate(me, money, decisions, Reason.GRID_STOPPED.value, close)
    if p.restart_bars > 0:
        me.rest -= 1
        if me.rest <= 0:
            me.phase = grid_orders.BUILDING
    return answers.hold(decisions, Reason.GRID_STOPPED, close, money.equity, me.capital, float(me.rest))


def warmup_bars(_params: Record) -> int:
    """Count the bars after which the indicators have converged."""
    return 250


def check(values: Mapping[str, Any]) -> None:
    """Refuse a range too narrow for one gap."""
    if values["range_from"] == "fixed" and values["half_width"] * 2 < 0.002:
        raise ValueError("grid: half_width leaves no room for a gap above its costs")


def fact_names(_params: Record, reason: int) -> tuple[str, ...]:
    """Name the facts beside a reason."""
    return _FACTS.get(Reason(reason), ("close", "low", "high", "inventory"))


_FACTS: Final = {
    Reason.SIGNAL_WARMING_UP: ("close", "atr", "adx", "trend"),
    Reason.COST_GATE: ("close", "low", "high", "gaps_that_pay"),
    Reason.FILTER_MIN_NOTIONAL: ("close", "money", "gaps", "money_per_gap"),
    Reason.GRID_STOPPED: ("close", "equity", "money", "bars_of_rest"),
    Reason.GRID_BUY: ("close", "level", "next_level", "live_orders"),
    Reason.GRID_SELL: ("close", "level", "next_level", "live_orders"),
    Reason.GRID_PAUSED: ("close", "adx", "trend", "inventory"),
    Reason.SIGNAL_ENTRY_INVENTORY: ("close", "low", "high", "gaps_to_stock"),
}


def plots(_params: Record) -> tuple[Plot, ...]:
    """Show the long average and how strong the trend is."""
    return (Plot("Long average", "trend"), Plot("ADX", "strength", pane="below"))


DEFINITION: Final = StrategyDefinition(
    name="grid",
    title="GridTrading",
    summary="Buys at every level on the way down and sells one level higher on the way up.",
    params_type=Params,
    presets={
        "1m": {"bars_per_day": 1440, "half_width": 0.06},
        "5m": {"bars_per_day": 288},
        "15m": {"bars_per_day": 96},
        "1h": {"bars_per_day": 24},
    },
    state_dtype=STATE,
    start=start,
    step=step,
    run=run,
    check=check,
    warmup_bars=warmup_bars,
    fact_names=fact_names,
    plots=plots,
    order_kinds=(OrderKind.ENTRY, OrderKind.EXIT, OrderKind.LIMIT),
    is_grid=True,
    regimes_expected=("side_lo", "side_hi"),
)
