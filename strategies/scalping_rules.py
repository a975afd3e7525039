"""What a scalper keeps count of: slots, days, losses in a row, entries that wait at the bid."""

import math
from typing import Any, Final

from strategies import answers, lifecycle
from trading.bars import Floats
from trading.compilation import compiled
from trading.indicators import ADX_CELLS, ATR_CELLS, EMA_CELLS, RSI_CELLS, SMA_RING, WINDOW_RING, correlation
from trading.strategy import BUY, MAX_SYMBOLS, DecisionKind, OrderKind, Reason, Record, record_dtype

VWAP_MOST: Final = 288
SPREAD_BARS: Final = 96
RETURNS: Final = 96

ACCOUNT_FIELDS: Final = [
    ("bars", "i8"),
    # What the day's loss is a share of, and the gain that the day began with.
    ("day_capital", "f8"),
    ("day_gain", "f8"),
]
# Less than a unit of money is the rounding of floats.
_UNIT: Final = 1e-8

COIN: Final = record_dtype(
    [
        *lifecycle.LIFECYCLE_FIELDS,
        *lifecycle.PLAN_FIELDS,
        ("fast_memory", "f8", (EMA_CELLS,)),
        ("slow_memory", "f8", (EMA_CELLS,)),
        ("hour_memory", "f8", (EMA_CELLS,)),
        ("rsi_memory", "f8", (RSI_CELLS,)),
        ("atr_memory", "f8", (ATR_CELLS,)),
        ("adx_memory", "f8", (ADX_CELLS,)),
        ("traded_memory", "f8", (SMA_RING + VWAP_MOST,)),
        ("volume_memory", "f8", (SMA_RING + VWAP_MOST,)),
        ("spread_memory", "f8", (WINDOW_RING + SPREAD_BARS,)),
        ("returns", "f8", (RETURNS,)),
        ("close_before", "f8"),
        ("fast", "f8"),
        ("slow", "f8"),
        ("hour", "f8"),
        ("hour_before", "f8"),
        ("rsi", "f8"),
        ("rsi_before", "f8"),
        ("range_now", "f8"),
        ("strength", "f8"),
        ("vwap", "f8"),
        ("spread", "f8"),
        ("paid", "f8"),
        ("earned", "f8"),
        ("losses", "i8"),
        ("rest", "i8"),
        ("entries_today", "i8"),
        ("bars_waited", "i8"),
    ]
)


@compiled
def forget_returns(coins: Any) -> None:
    """Begin with returns that nobody has seen."""
    for symbol in range(MAX_SYMBOLS):
        for k in range(RETURNS):
            coins[symbol].returns[k] = math.nan


@compiled
def take_in(me: Any, money: Any, symbol: int, p: Any) -> None:
    """Learn from the fills what was bought and sold, and count losses in a row."""
    for k in range(money.fill_count):
        fill = money.fills[k]
        if fill.symbol != symbol:
            continue
        if fill.side == BUY:
            me.paid += fill.quantity * fill.price
        else:
            me.earned += fill.quantity * fill.price - fill.fee_quote
    lifecycle.take_in(me, money, symbol, p.cooldown)
    if me.holding == 1:
        return
    if me.earned > 0.0:
        # What another bot handed on was not paid for: its sale is neither won nor lost.
        if me.paid > 0.0:
            _count_losses(me, p)
        me.paid = 0.0
        me.earned = 0.0
    elif money.quantity[symbol] == 0.0 and not math.isnan(money.gain):
        # Handed on to another bot: what was paid for it is not lost.
        me.paid = 0.0


@compiled
def _count_losses(me: Any, p: Any) -> None:
    me.losses = me.losses + 1 if me.earned < me.paid else 0
    if p.loss_row > 0 and me.losses >= p.loss_row:
        me.rest = p.loss_rest
        me.losses = 0


@compiled
def is_there(panel: Floats, symbols: int, i: int) -> bool:
    """Tell whether any market has this candle: a bar that none has did not happen."""
    there = 0
    for symbol in range(symbols):
        there += 0 if answers.is_missing(panel, symbol, i) else 1
    return there > 0


@compiled
def count_day(all_of_it: Any, money: Any, bars_per_day: int, symbols: int) -> None:
    """Count the bar, and begin a new day after enough of them."""
    if all_of_it.bars % bars_per_day == 0 or all_of_it.day_capital <= 0.0:
        all_of_it.day_capital = money.equity
        all_of_it.day_gain = money.gain
        for symbol in range(symbols):
            all_of_it.coins[symbol].entries_today = 0
    _count_capital(all_of_it, money)
    cell = all_of_it.bars % RETURNS
    for symbol in range(symbols):
        all_of_it.coins[symbol].returns[cell] = math.nan
        if all_of_it.coins[symbol].rest > 0:
            all_of_it.coins[symbol].rest -= 1
    all_of_it.bars += 1


@compiled
def _count_capital(all_of_it: Any, money: Any) -> None:
    """Have the day begin with the most capital that there was in it: what comes counts, what is recalled goes on counting."""
    began_with = money.equity - (money.gain - all_of_it.day_gain)
    if began_with > all_of_it.day_capital + _UNIT:
        all_of_it.day_capital = began_with


@compiled
def note_return(all_of_it: Any, me: Any, close: float) -> None:
    """Write the return of this bar into the cell of this bar, which all coins share."""
    if me.close_before > 0.0:
        me.returns[(all_of_it.bars - 1) % RETURNS] = math.log(close / me.close_before)
    me.close_before = close


@compiled
def slots_taken(coins: Any, money: Any, symbols: int) -> int:
    """Count the coins that are held or wait at the bid."""
    taken = 0
    for symbol in range(symbols):
        if coins[symbol].holding == 1 or is_waiting(money, symbol):
            taken += 1
    return taken


@compiled
def is_waiting(money: Any, symbol: int) -> bool:
    """Tell whether an entry of this coin waits in the market."""
    for k in range(money.order_count):
        order = money.orders[k]
        if order.symbol == symbol and order.kind == OrderKind.LIMIT and order.side == BUY:
            return True
    return False


@compiled
def refusal(all_of_it: Any, money: Any, symbol: int, p: Any, taken: int) -> int:
    """Answer why the account may not take another entry now, or NONE."""
    me = all_of_it.coins[symbol]
    if me.cooldown > 0 or me.rest > 0:
        return Reason.COOLDOWN_ACTIVE.value
    if p.day_loss > 0.0 and all_of_it.day_gain - money.gain > p.day_loss * all_of_it.day_capital:
        return Reason.RISK_DAILY_LOSS_CAP.value
    if me.entries_today >= p.day_trades:
        return Reason.RISK_TRADE_COUNT.value
    if taken >= p.slots:
        return Reason.FILTER_SLOTS.value
    if p.correlation_most < 1.0 and _mean_correlation(all_of_it.coins, symbol) > p.correlation_most:
        return Reason.FILTER_CORRELATION.value
    return Reason.NONE.value


@compiled
def _mean_correlation(coins: Any, symbol: int) -> float:
    total, count = 0.0, 0
    for other in range(MAX_SYMBOLS):
        if other == symbol or coins[other].holding == 0:
            continue
        value = correlation(coins[symbol].returns, coins[other].returns, RETURNS)
        if not math.isnan(value):
            total += value
            count += 1
    return total / count if count > 0 else -1.0


@compiled
def bid(me: Any, money: Any, symbol: int, share: float, close: float, reason: int, decisions: Record) -> int:
    """Ask for a post-only entry at the bid; its stop is placed at the bar after its fill."""
    answers.write(decisions, 0, DecisionKind.PLACE.value, reason, close, me.fast, me.rsi, me.planned_stop)
    wish = decisions[0]
    wish.slot = symbol
    wish.side = BUY
    wish.share = share
    wish.limit = close * (1.0 - money.half_spread)
    return 1


@compiled
def withdraw(me: Any, symbol: int, reason: int, close: float, decisions: Record) -> int:
    """Cancel the entry that waits."""
    waited = float(me.bars_waited)
    answers.write(decisions, 0, DecisionKind.CANCEL.value, reason, close, me.planned_stop, me.planned_target, waited)
    decisions[0].slot = symbol
    return 1
