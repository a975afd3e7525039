"""Rank coins by their returns, and hold the best of them with weights by their calm."""

import math
from typing import Any, Final

from strategies import answers, lifecycle
from trading.compilation import compiled
from trading.strategy import Reason, Record

# Long return, skipped day and one close to start from, at one hour.
CLOSES_MOST: Final = 29 * 24 + 1
RANK_FIELDS: Final = [
    ("short_return", "f8"),
    ("middle_return", "f8"),
    ("long_return", "f8"),
    ("deviation", "f8"),
    ("score", "f8"),
    ("rank", "i8"),
    ("weight", "f8"),
    ("is_known", "i8"),
]
FEWEST_TO_COMPARE: Final = 3


@compiled
def observe(me: Any, close: float, p: Any) -> None:
    """Remember the close, and measure the returns once the window is full."""
    ring = (p.long_days + p.skip_days) * p.bars_per_day + 1
    count = int(me.close_ring[0])
    me.close_ring[1 + count % ring] = close
    me.close_ring[0] = count + 1
    me.is_known = 0
    if count + 1 < ring:
        return
    newest = count - p.skip_days * p.bars_per_day
    me.short_return = _change(me, newest, p.short_days * p.bars_per_day, ring)
    me.middle_return = _change(me, newest, p.middle_days * p.bars_per_day, ring)
    me.long_return = _change(me, newest, p.long_days * p.bars_per_day, ring)
    me.deviation = _daily_deviation(me, newest, p.long_days, p.bars_per_day, ring)
    me.is_known = 1 if me.deviation > 0.0 else 0


@compiled
def _change(me: Any, newest: int, bars: int, ring: int) -> float:
    return math.log(me.close_ring[1 + newest % ring] / me.close_ring[1 + (newest - bars) % ring])


@compiled
def _daily_deviation(me: Any, newest: int, days: int, bars_per_day: int, ring: int) -> float:
    total = squares = 0.0
    for day in range(days):
        change = _change(me, newest - day * bars_per_day, bars_per_day, ring)
        total += change
        squares += change * change
    mean = total / days
    return math.sqrt(max(squares / days - mean * mean, 0.0))


@compiled
def rank(coins: Any, symbols: int, p: Any) -> None:
    """Score every coin against the others, rank them, and weigh the best."""
    known = 0
    for symbol in range(symbols):
        coins[symbol].score = 0.0
        known += coins[symbol].is_known
    for window in range(3):
        _add_scores(coins, symbols, window, known)
    for symbol in range(symbols):
        me = coins[symbol]
        me.rank = 1
        for other in range(symbols):
            # Of two that are equal the earlier one stands first.
            better = coins[other].score > me.score or (coins[other].score == me.score and other < symbol)
            if other != symbol and coins[other].is_known == 1 and (better or me.is_known == 0):
                me.rank += 1
    _weigh(coins, symbols, p)


@compiled
def _add_scores(coins: Any, symbols: int, window: int, known: int) -> None:
    total = squares = 0.0
    for symbol in range(symbols):
        if coins[symbol].is_known == 1:
            value = _calm_return(coins[symbol], window)
            total += value
            squares += value * value
    mean = total / known if known > 0 else 0.0
    spread = math.sqrt(max(squares / known - mean * mean, 0.0)) if known > 0 else 0.0
    for symbol in range(symbols):
        me = coins[symbol]
        if me.is_known == 0:
            continue
        if known < FEWEST_TO_COMPARE:
            # Two coins have no cross-section: each is measured against standing still.
            me.score += _calm_return(me, window) / 3.0
        elif spread > 0.0:
            me.score += (_calm_return(me, window) - mean) / spread / 3.0


@compiled
def _calm_return(me: Any, window: int) -> float:
    change = me.short_return if window == 0 else me.middle_return if window == 1 else me.long_return
    return float(change / me.deviation)


@compiled
def is_wanted(me: Any, place: int) -> bool:
    """Tell whether a coin may be held: among the first, better than the others, and rising at all."""
    return bool(me.is_known == 1 and me.rank <= place and me.score > 0.0 and me.long_return > 0.0)


@compiled
def _weigh(coins: Any, symbols: int, p: Any) -> None:
    calm = 0.0
    for symbol in range(symbols):
        if is_wanted(coins[symbol], p.top):
            calm += 1.0 / coins[symbol].deviation
    for symbol in range(symbols):
        me = coins[symbol]
        me.weight = min(1.0 / me.deviation / calm, p.weight_most) if is_wanted(me, p.top) else 0.0


@compiled
def speak(me: Any, money: Any, symbol: int, p: Any, close: float, is_day: bool, is_week: bool, decisions: Record) -> int:
    """Buy what came to the top, sell what fell behind, and once a week put the weights right."""
    place = float(me.rank)
    if me.is_known == 0 or money.equity <= 0.0:
        return answers.hold(decisions, Reason.SIGNAL_WARMING_UP, close, me.score, place, me.weight)
    if me.holding == 1:
        return _mind(me, money, symbol, p, close, is_day, is_week, decisions)
    if is_day and me.weight > 0.0:
        return _buy(me, p, close, Reason.SIGNAL_ENTRY_RANK.value, decisions)
    reason = Reason.FILTER_RANK.value if is_day else Reason.SIGNAL_NO_OPINION.value
    return answers.hold(decisions, reason, close, me.score, place, me.weight)


@compiled
def _mind(me: Any, money: Any, symbol: int, p: Any, close: float, is_day: bool, is_week: bool, decisions: Record) -> int:
    mended = lifecycle.mend_stop(me, money, symbol, decisions, close)
    if mended:
        return mended
    place = float(me.rank)
    if is_day and not is_wanted(me, p.keep_rank):
        return answers.leave(decisions, Reason.SIGNAL_EXIT_RANK, close, me.score, place, me.weight)
    if is_week and me.weight > 0.0:
        held = money.quantity[symbol] * close
        wanted = p.share * me.weight * money.allocation
        if held > wanted * (1.0 + p.rebalance_band):
            answers.leave(decisions, Reason.SIGNAL_EXIT_REBALANCE, close, me.score, place, me.weight)
            decisions[0].quantity = (held - wanted) / close
            decisions[0].stop = me.stop
            return 1
        if held < wanted * (1.0 - p.rebalance_band):
            return _buy(me, p, close, Reason.SIGNAL_ENTRY_REBALANCE.value, decisions)
    return answers.hold(decisions, Reason.POSITION_HELD, close, me.score, place, me.weight)


@compiled
def _buy(me: Any, p: Any, close: float, reason: int, decisions: Record) -> int:
    stop = close - p.stop_atr * me.range_now if p.stop_atr > 0.0 else 0.0
    if me.holding == 1:
        # More of the same keeps its stop.
        stop = me.stop
    else:
        lifecycle.plan_entry(me, stop, 0.0)
    terms = (p.share * me.weight, p.risk_share, stop)
    return answers.enter(decisions, reason, terms, close, me.score, float(me.rank), me.weight)
