"""Scalping: small pullbacks in many liquid coins, each only where the move may pay for its costs."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final

from strategies import answers, lifecycle, scalping_rules
from trading.bars import Floats
from trading.compilation import compiled
from trading.costs import round_trip_cost
from trading.indicators import adx, atr, deviation, ema, rsi, sma
from trading.kernels import panel_runner
from trading.kernels.panel_world import PanelTape
from trading.strategy import (
    CLOSE,
    HIGH,
    LOW,
    MAX_SYMBOLS,
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

FADE: Final = 1
MAKER: Final = 0

ATR_PERIOD: Final = 14
ADX_PERIOD: Final = 14
HOUR_PERIOD: Final = 50


@dataclass(frozen=True, slots=True)
class Params:
    """What an operator may set."""

    setup: Annotated[
        str, Choice(("pullback", "fade"), "Buy a pullback in a trend, or a fall from the mean in a quiet market.")
    ] = "pullback"
    entry: Annotated[str, Choice(("maker", "taker"), "Wait at the bid, or take at the open.")] = "maker"
    fast: Annotated[int, Range(5, 12, 1, "Bars of the fast average.")] = 9
    slow: Annotated[int, Range(15, 30, 1, "Bars of the slow average.")] = 21
    rsi_period: Annotated[int, Range(5, 14, 1, "Bars of the RSI.")] = 7
    rsi_most: Annotated[float, Range(20, 60, 1, "RSI that the pullback must have been under before it turns up.")] = 40.0
    bars_per_hour: Annotated[int, Range(1, 60, 1, "Bars in an hour, for the hourly trend.")] = 12
    vwap_bars: Annotated[int, Range(48, scalping_rules.VWAP_MOST, 12, "Bars of the volume-weighted average price.")] = 288
    fade_deviations: Annotated[float, Range(1.0, 4.0, 0.25, "Deviations below that average (fade).")] = 2.0
    adx_most: Annotated[float, Range(10, 40, 1, "Highest ADX of a quiet market (fade).")] = 25.0
    target_atr: Annotated[float, Range(1.0, 3.0, 0.25, "Target in ATRs above the entry.")] = 1.5
    stop_atr: Annotated[float, Range(0.7, 2.0, 0.1, "Hard stop in ATRs below the entry.")] = 1.0
    hold_bars: Annotated[int, Range(6, 24, 1, "Bars after which a position is closed.")] = 12
    wait_bars: Annotated[int, Range(1, 6, 1, "Bars that an entry may wait at the bid.")] = 2
    cost_gate: Annotated[float, Range(2.0, 5.0, 0.25, "Enter only if the target is this many costs away.")] = 3.0
    spread_most: Annotated[float, Range(0.0001, 0.002, 0.0001, "Widest spread, as a share of the price.")] = 0.0005
    slots: Annotated[int, Range(1, MAX_SYMBOLS, 1, "Most positions and waiting entries at once.")] = 5
    correlation_most: Annotated[float, Range(0.3, 1.0, 0.05, "Mean correlation with what is held, 1 for any.")] = 0.85
    share: Annotated[float, Range(0.01, 0.2, 0.01, "Largest position in a coin, of the allocation.")] = 0.10
    risk_share: Annotated[float, Range(0.0, 0.02, 0.0025, "Equity lost at the stop (taker); 0 for no such limit.")] = 0.01
    day_loss: Annotated[float, Range(0.0, 0.1, 0.005, "No entries after losing this share in a day, 0 for never.")] = 0.02
    day_trades: Annotated[int, Range(1, 100, 1, "Most entries per coin and day.")] = 20
    loss_row: Annotated[int, Range(0, 10, 1, "Losses in a row after which a coin rests, 0 for never.")] = 3
    loss_rest: Annotated[int, Range(1, 500, 1, "Bars that it rests.")] = 36
    cooldown: Annotated[int, Range(0, 50, 1, "Bars to wait after a position.")] = 3


STATE: Final = record_dtype([*scalping_rules.ACCOUNT_FIELDS, ("coins", scalping_rules.COIN, (MAX_SYMBOLS,))])


@compiled
def start(_params: Record, state: Record) -> None:
    """Begin without any history."""
    scalping_rules.forget_returns(state[0].coins)


@compiled
def step(state: Record, panel: Floats, i: int, book: Record, params: Record, decisions: Record) -> int:
    """Decide at the close of bar i, in one coin after the other; what is held or waits takes a slot."""
    all_of_it, money, p = state[0], book[0], params[0]
    symbols = panel.shape[1]
    for symbol in range(symbols):
        scalping_rules.take_in(all_of_it.coins[symbol], money, symbol, p)
    if scalping_rules.is_there(panel, symbols, i):
        scalping_rules.count_day(all_of_it, money, p.bars_per_hour * 24, symbols)
    taken = scalping_rules.slots_taken(all_of_it.coins, money, symbols)
    count = 0
    for symbol in range(symbols):
        room = decisions[count:]
        said = _step_coin(all_of_it, panel, i, symbol, money, p, taken, room)
        if room[0].reason in (Reason.SIGNAL_ENTRY_PULLBACK.value, Reason.SIGNAL_ENTRY_FADE.value):
            taken += 1
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
def _step_coin(all_of_it: Any, panel: Floats, i: int, symbol: int, money: Any, p: Any, taken: int, decisions: Record) -> int:
    me = all_of_it.coins[symbol]
    if answers.is_missing(panel, symbol, i):
        return answers.nothing(decisions)
    lifecycle.count_bar(me, panel[HIGH, symbol, i])
    low, close = panel[LOW, symbol, i], panel[CLOSE, symbol, i]
    _observe(me, panel, i, symbol, p)
    scalping_rules.note_return(all_of_it, me, close)
    if me.holding == 1:
        return _manage(me, money, symbol, p, close, decisions)
    if scalping_rules.is_waiting(money, symbol):
        return _wait(me, symbol, p, close, decisions)
    return _look(all_of_it, money, symbol, p, taken, low, close, decisions)


@compiled
def _observe(me: Any, panel: Floats, i: int, symbol: int, p: Any) -> None:
    high, low, close = panel[HIGH, symbol, i], panel[LOW, symbol, i], panel[CLOSE, symbol, i]
    me.rsi_before = me.rsi
    me.fast = ema(me.fast_memory, close, p.fast)
    me.slow = ema(me.slow_memory, close, p.slow)
    me.rsi = rsi(me.rsi_memory, close, p.rsi_period)
    me.range_now = atr(me.atr_memory, high, low, close, ATR_PERIOD)
    me.strength = adx(me.adx_memory, high, low, close, ADX_PERIOD)
    volume = panel[VOLUME, symbol, i]
    traded = sma(me.traded_memory, (high + low + close) / 3.0 * volume, p.vwap_bars)
    shares = sma(me.volume_memory, volume, p.vwap_bars)
    me.vwap = traded / shares if shares > 0.0 else close
    me.spread = deviation(me.spread_memory, close - me.vwap, scalping_rules.SPREAD_BARS) if not math.isnan(me.vwap) else math.nan
    # The trend of the hour: its average moves once in an hour, with the last close of it.
    if me.bars_seen % p.bars_per_hour == 0:
        me.hour_before = me.hour
        me.hour = ema(me.hour_memory, close, HOUR_PERIOD)


@compiled
def _manage(me: Any, money: Any, symbol: int, p: Any, close: float, decisions: Record) -> int:
    """Mind the position that is held: first that nothing more is bought, then its stop, then its end."""
    count = 0
    if scalping_rules.is_waiting(money, symbol):
        count = scalping_rules.withdraw(me, symbol, Reason.POSITION_HELD.value, close, decisions)
    room = decisions[count:]
    held = float(me.bars_held)
    if me.target > 0.0 and close >= me.target:
        return count + answers.leave(room, Reason.SIGNAL_EXIT_TARGET, close, me.stop, me.target, held)
    if me.bars_held >= p.hold_bars:
        return count + answers.leave(room, Reason.SIGNAL_EXIT_TIME, close, me.stop, me.target, held)
    mended = lifecycle.mend_stop(me, money, symbol, room, close)
    if mended:
        return count + mended
    return count + answers.hold(room, Reason.POSITION_HELD, close, me.stop, me.target, held)


@compiled
def _wait(me: Any, symbol: int, p: Any, close: float, decisions: Record) -> int:
    me.bars_waited += 1
    if me.bars_waited >= p.wait_bars:
        return scalping_rules.withdraw(me, symbol, Reason.ORDER_STALE.value, close, decisions)
    return answers.hold(decisions, Reason.ENTRY_PENDING, close, me.planned_stop, me.planned_target, float(me.bars_waited))


@compiled
def _look(all_of_it: Any, money: Any, symbol: int, p: Any, taken: int, low: float, close: float, decisions: Record) -> int:
    """Look for an entry."""
    me = all_of_it.coins[symbol]
    unknown = math.isnan(me.hour_before + me.slow + me.rsi_before + me.range_now + me.strength + me.vwap + me.spread)
    if unknown or me.hour_before == 0.0 or money.equity <= 0.0:
        return answers.hold(decisions, Reason.SIGNAL_WARMING_UP, close, me.fast, me.slow, me.rsi)
    reason = _setup(me, p, low, close)
    if reason == Reason.NONE.value:
        return answers.hold(decisions, Reason.SIGNAL_NO_OPINION, close, me.fast, me.slow, me.rsi)
    refusal = scalping_rules.refusal(all_of_it, money, symbol, p, taken)
    if refusal != Reason.NONE.value:
        return answers.hold(decisions, refusal, close, money.equity, float(taken), float(me.entries_today))
    way = p.target_atr * me.range_now / close
    needed = p.cost_gate * round_trip_cost(money.fee_rate, money.half_spread)
    if way < needed or 2.0 * money.half_spread > p.spread_most:
        return answers.hold(decisions, Reason.COST_GATE, close, 2.0 * money.half_spread, way, needed)
    return _enter(me, money, symbol, p, close, reason, decisions)


@compiled
def _setup(me: Any, p: Any, low: float, close: float) -> int:
    if p.setup == FADE:
        quiet = me.strength <= p.adx_most
        far = close < me.vwap - p.fade_deviations * me.spread
        return Reason.SIGNAL_ENTRY_FADE.value if quiet and far else Reason.NONE.value
    trend = me.hour > me.hour_before and me.fast > me.slow
    pulled = low <= me.fast or low <= me.vwap
    turning = me.rsi_before < p.rsi_most and me.rsi > me.rsi_before
    return Reason.SIGNAL_ENTRY_PULLBACK.value if trend and pulled and turning else Reason.NONE.value


@compiled
def _enter(me: Any, money: Any, symbol: int, p: Any, close: float, reason: int, decisions: Record) -> int:
    stop, target = close - p.stop_atr * me.range_now, close + p.target_atr * me.range_now
    me.entries_today += 1
    if p.entry != MAKER:
        lifecycle.plan_entry(me, stop, target)
        return answers.enter(decisions, reason, (p.share, p.risk_share, stop), close, me.fast, me.rsi, stop)
    me.bars_waited = 0
    me.planned_stop = stop
    me.planned_target = target
    return scalping_rules.bid(me, money, symbol, p.share, close, reason, decisions)


def warmup_bars(params: Record) -> int:
    """Count the bars after which the averages of the bar and of the hour have converged."""
    p = params[0]
    return max(300, 250 * int(p.bars_per_hour), int(p.vwap_bars) + scalping_rules.SPREAD_BARS)


def check(values: Mapping[str, Any]) -> None:
    """Refuse a stop beyond the target's distance twice over."""
    if values["stop_atr"] > 2 * values["target_atr"]:
        raise ValueError(f"scalping: stop_atr ({values['stop_atr']}) must be at most twice target_atr ({values['target_atr']})")


def fact_names(_params: Record, reason: int) -> tuple[str, ...]:
    """Name the facts beside a reason."""
    if reason in lifecycle.HELD_REASONS:
        return lifecycle.HELD_FACTS
    return _FACTS.get(Reason(reason), ("close", "fast", "slow", "rsi"))


_REFUSED: Final = ("close", "equity", "slots_taken", "entries_today")
_FACTS: Final = {
    Reason.COST_GATE: ("close", "spread", "expected_move", "needed_move"),
    Reason.ENTRY_PENDING: ("close", "planned_stop", "planned_target", "bars_waited"),
    Reason.ORDER_STALE: ("close", "planned_stop", "planned_target", "bars_waited"),
    Reason.SIGNAL_ENTRY_PULLBACK: ("close", "fast", "rsi", "stop"),
    Reason.SIGNAL_ENTRY_FADE: ("close", "fast", "rsi", "stop"),
    Reason.COOLDOWN_ACTIVE: _REFUSED,
    Reason.FILTER_SLOTS: _REFUSED,
    Reason.FILTER_CORRELATION: _REFUSED,
    Reason.RISK_DAILY_LOSS_CAP: _REFUSED,
    Reason.RISK_TRADE_COUNT: _REFUSED,
}


def plots(_params: Record) -> tuple[Plot, ...]:
    """Show the averages, the volume-weighted one too, and the RSI."""
    return (
        Plot("Fast average", "coins.fast"),
        Plot("Slow average", "coins.slow"),
        Plot("Volume-weighted average", "coins.vwap"),
        Plot("RSI", "coins.rsi", pane="below"),
    )


DEFINITION: Final = StrategyDefinition(
    name="scalping",
    title="Scalping",
    summary="Takes small pullbacks in up to ten coins, where the move to the target pays for its costs several times.",
    params_type=Params,
    # Calibrated for activity on real candles, never for profit: docs/strategies/README.md.
    presets={
        "1m": {"bars_per_hour": 60},
        "5m": {},
        "15m": {"bars_per_hour": 4, "vwap_bars": 96},
        "1h": {"bars_per_hour": 1, "vwap_bars": 48},
    },
    named_presets={"fade": {"setup": "fade"}, "taker": {"entry": "taker"}},
    state_dtype=STATE,
    start=start,
    step=step,
    run_panel=run_panel,
    check=check,
    warmup_bars=warmup_bars,
    fact_names=fact_names,
    plots=plots,
    required_inputs=("open", "high", "low", "close", "volume"),
    symbols_most=MAX_SYMBOLS,
    order_kinds=(OrderKind.ENTRY, OrderKind.EXIT, OrderKind.LIMIT, OrderKind.STOP),
    regimes_expected=("bull_lo", "side_lo", "side_hi"),
)
