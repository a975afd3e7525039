"""Momentum: hold the strongest few of many coins, or buy each one as it breaks out of its range."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final

from strategies import answers, breakouts, lifecycle, ranking
from trading.bars import Floats
from trading.compilation import compiled
from trading.indicators import ATR_CELLS, WINDOW_RING, atr
from trading.kernels import panel_runner
from trading.kernels.panel_world import PanelTape
from trading.strategy import (
    CLOSE,
    HIGH,
    LOW,
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

RANK: Final = 0
ATR_PERIOD: Final = 20


@dataclass(frozen=True, slots=True)
class Params:
    """What an operator may set."""

    mode: Annotated[
        str,
        Choice(
            ("rank", "donchian", "squeeze", "volatility"),
            "Hold the strongest, buy new highs, buy the end of a squeeze, or buy a bar that outgrew the last one.",
        ),
    ] = "rank"
    bars_per_day: Annotated[int, Range(1, 24, 1, "Bars in a day.")] = 24
    short_days: Annotated[int, Range(2, 14, 1, "Days of the short return (rank).")] = 7
    middle_days: Annotated[int, Range(5, 21, 1, "Days of the middle return (rank).")] = 14
    long_days: Annotated[int, Range(10, 28, 1, "Days of the long return (rank).")] = 28
    skip_days: Annotated[int, Range(0, 1, 1, "Newest days that no return counts (rank).")] = 1
    top: Annotated[int, Range(1, MAX_SYMBOLS, 1, "Most coins held (rank).")] = 5
    keep_rank: Annotated[int, Range(1, MAX_SYMBOLS, 1, "A coin that is held is kept down to this rank (rank).")] = 8
    weight_most: Annotated[float, Range(0.05, 1.0, 0.05, "Largest part of one coin in what is held (rank).")] = 0.30
    rebalance_days: Annotated[int, Range(1, 28, 1, "Days between two corrections of the weights (rank).")] = 7
    rebalance_band: Annotated[float, Range(0.05, 1.0, 0.05, "Correct a weight only if it is off by this part (rank).")] = 0.25
    channel: Annotated[int, Range(10, breakouts.CHANNEL_MOST, 1, "Bars of the high that is broken (donchian).")] = 20
    exit_channel: Annotated[int, Range(5, breakouts.CHANNEL_MOST, 1, "Bars of the low that ends it (donchian, squeeze).")] = 10
    units: Annotated[int, Range(1, 4, 1, "Units bought in steps while it rises (donchian).")] = 1
    unit_atr: Annotated[float, Range(0.25, 2.0, 0.25, "ATRs between two units (donchian).")] = 0.5
    squeeze_rank: Annotated[float, Range(0.02, 0.5, 0.02, "Rank of the band's width that counts as squeezed (squeeze).")] = 0.10
    surge: Annotated[float, Range(0.3, 1.0, 0.05, "Part of the last bar's range that the new one must rise (volatility).")] = 0.5
    stop_atr: Annotated[float, Range(0.0, 10.0, 0.25, "Hard stop in ATRs below the entry, 0 for none.")] = 4.0
    share: Annotated[float, Range(0.01, 1.0, 0.01, "All that is held, of the allocation (rank); one coin (others).")] = 0.10
    risk_share: Annotated[float, Range(0.0, 0.02, 0.0025, "Equity lost at the stop; 0 for no such limit.")] = 0.01
    cooldown: Annotated[int, Range(0, 50, 1, "Bars to wait after a position (not rank).")] = 1


COIN: Final = record_dtype(
    [
        *lifecycle.LIFECYCLE_FIELDS,
        *lifecycle.PLAN_FIELDS,
        *ranking.RANK_FIELDS,
        *breakouts.BREAKOUT_FIELDS,
        ("atr_memory", "f8", (ATR_CELLS,)),
        ("range_now", "f8"),
        ("close_ring", "f8", (WINDOW_RING + ranking.CLOSES_MOST,)),
    ]
)

STATE: Final = record_dtype([("bars", "i8"), ("coins", COIN, (MAX_SYMBOLS,))])


@compiled
def start(_params: Record, state: Record) -> None:
    """Begin without any history, as if every coin already stood above its range."""
    # A breakout that was there before the bot looked is not news.
    for symbol in range(MAX_SYMBOLS):
        state[0].coins[symbol].is_out = 1


@compiled
def step(state: Record, panel: Floats, i: int, book: Record, params: Record, decisions: Record) -> int:
    """Decide at the close of bar i: look at every coin first, then speak about each."""
    all_of_it, money, p = state[0], book[0], params[0]
    symbols, there = panel.shape[1], 0
    for symbol in range(symbols):
        there += _observe(all_of_it.coins[symbol], panel, i, symbol, money, p)
    if there > 0:
        all_of_it.bars += 1
        if p.mode == RANK:
            ranking.rank(all_of_it.coins, symbols, p)
    is_day = there > 0 and all_of_it.bars % p.bars_per_day == 0
    is_week = is_day and (all_of_it.bars // p.bars_per_day) % p.rebalance_days == 0
    count = 0
    for symbol in range(symbols):
        room = decisions[count:]
        me = all_of_it.coins[symbol]
        if answers.is_missing(panel, symbol, i):
            said = answers.nothing(room)
        elif p.mode == RANK:
            said = ranking.speak(me, money, symbol, p, panel[CLOSE, symbol, i], is_day, is_week, room)
        else:
            said = breakouts.speak(me, money, symbol, p, panel[CLOSE, symbol, i], room)
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
def _observe(me: Any, panel: Floats, i: int, symbol: int, money: Any, p: Any) -> int:
    """Take in the fills and, where there is one, the candle; answer whether there is one."""
    lifecycle.take_in(me, money, symbol, p.cooldown if p.mode != RANK else 0)
    if answers.is_missing(panel, symbol, i):
        return 0
    high, low, close = panel[HIGH, symbol, i], panel[LOW, symbol, i], panel[CLOSE, symbol, i]
    lifecycle.count_bar(me, high)
    me.range_now = atr(me.atr_memory, high, low, close, ATR_PERIOD)
    if p.mode == RANK:
        ranking.observe(me, close, p)
    else:
        breakouts.observe(me, panel, i, symbol, p)
    return 1


def warmup_bars(params: Record) -> int:
    """Count the bars after which the longest window is full and Wilder's sums have converged."""
    p = params[0]
    if p.mode == RANK:
        return max(250, (int(p.long_days) + int(p.skip_days)) * int(p.bars_per_day) + 1) if p.bars_per_day > 1 else 60
    return max(60 if p.bars_per_day == 1 else 250, breakouts.WIDTHS + breakouts.BAND + 1, int(p.channel) + 1)


def check(values: Mapping[str, Any]) -> None:
    """Refuse days and ranks that contradict each other."""
    days = (values["short_days"], values["middle_days"], values["long_days"])
    if not days[0] < days[1] < days[2]:
        raise ValueError(f"momentum: short_days, middle_days and long_days must rise, not {days}")
    if values["keep_rank"] < values["top"]:
        raise ValueError(f"momentum: keep_rank ({values['keep_rank']}) must be at least top ({values['top']})")


def fact_names(params: Record, reason: int) -> tuple[str, ...]:
    """Name the facts beside a reason."""
    if reason in {Reason.STOP_BREACHED, Reason.STOP_RESTORED}:
        return lifecycle.HELD_FACTS
    if params[0].mode == RANK:
        return ("close", "score", "rank", "weight")
    return ("close", "channel_high", "channel_low", "atr")


def plots(params: Record) -> tuple[Plot, ...]:
    """Show what the mode decides by."""
    if params[0].mode == RANK:
        return (Plot("Score", "coins.score", pane="below"),)
    return (Plot("Channel high", "coins.channel_high"), Plot("Channel low", "coins.channel_low"))


DEFINITION: Final = StrategyDefinition(
    name="momentum",
    title="Momentum",
    summary="Holds the strongest five of ten coins, or buys each as it breaks out of its range.",
    params_type=Params,
    # Calibrated for activity on real candles, never for profit: docs/strategies/README.md.
    presets={
        "1h": {},
        "4h": {"bars_per_day": 6},
        "1d": {"bars_per_day": 1},
        "5m": {"mode": "donchian", "channel": 100, "exit_channel": 40, "stop_atr": 3.0},
        "15m": {"mode": "donchian", "channel": 55, "exit_channel": 20, "stop_atr": 2.0},
    },
    named_presets={
        "donchian": {"mode": "donchian", "stop_atr": 2.0},
        "turtle_55_20": {"mode": "donchian", "channel": 55, "exit_channel": 20, "units": 4, "stop_atr": 2.0},
        "squeeze": {"mode": "squeeze", "stop_atr": 2.0},
        "volatility": {"mode": "volatility", "stop_atr": 2.0},
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
    notes=("Ranks what it is given: the universe is the operator's list, in the order of nothing.",),
)
