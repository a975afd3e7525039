"""The life of a long position in one market, driven by fills and the book, never by a strategy's wishes.

A strategy keeps these fields in its state once for each position and calls `take_in` first,
then `count_bar` for every candle that is there.
"""

from typing import Any, Final

from strategies import answers
from trading.compilation import compiled
from trading.strategy import BUY, OrderKind, Reason, Record

LIFECYCLE_FIELDS: Final = [
    ("bars_seen", "i8"),
    ("holding", "i8"),
    ("bars_held", "i8"),
    ("cooldown", "i8"),
    # 0: no entry asked for; 1: asked at the last bar; 2: asked again after it expired.
    ("asked", "i8"),
    ("may_retry", "i8"),
    ("stopped_out", "i8"),
    ("bought_cost", "f8"),
    ("bought_quantity", "f8"),
    ("entry_price", "f8"),
    ("stop", "f8"),
    ("target", "f8"),
    ("highest", "f8"),
]

# What an entry that was asked for but not yet filled would be protected by.
PLAN_FIELDS: Final = [("planned_stop", "f8"), ("planned_target", "f8")]


@compiled
def take_in(me: Any, book: Any, symbol: int, cooldown_bars: int) -> None:
    """Learn from the book what happened in one market since the last step."""
    bought = _take_in_fills(me, book, symbol)
    if me.asked > 0:
        # One policy for every strategy: an entry that expired may be asked for once more, at
        # the next bar, if what called for it still holds.
        me.may_retry = 1 if (not bought and me.asked == 1) else 0
        me.asked = 0
    held = owns(book, symbol)
    if held and me.holding == 0:
        me.holding = 1
        me.bars_held = 0
        me.highest = me.entry_price
        me.stop = me.planned_stop
        me.target = me.planned_target
        if me.entry_price == 0.0:
            _adopt(me, book, symbol)
    elif not held and (me.holding == 1 or bought):
        # Also when it was bought and stopped out between two steps.
        me.cooldown = cooldown_bars
        forget(me)


@compiled
def _adopt(me: Any, book: Any, symbol: int) -> None:
    """Take over a position that this state has not seen bought: the book knows the most of it."""
    # Happens when a state was lost or its layout changed and the strategy was warmed up again.
    me.entry_price = book.average_cost[symbol]
    me.highest = me.entry_price
    me.stop = book.stop_price[symbol]
    me.target = 0.0


@compiled
def _take_in_fills(me: Any, book: Any, symbol: int) -> bool:
    bought = False
    for k in range(book.fill_count):
        fill = book.fills[k]
        if fill.symbol != symbol:
            continue
        if fill.side == BUY:
            bought = True
            me.bought_cost += fill.quantity * fill.price
            me.bought_quantity += fill.quantity
            me.entry_price = me.bought_cost / me.bought_quantity
            me.stopped_out = 0
        elif fill.kind == OrderKind.STOP:
            me.stopped_out = 1
    return bought


@compiled
def owns(book: Any, symbol: int) -> bool:
    """Tell whether the book holds a position worth an order; less is dust."""
    quantity = book.quantity[symbol]
    if quantity <= 0.0 or quantity < book.step[symbol]:
        return False
    return bool(quantity * book.close[symbol] >= book.min_notional[symbol])


@compiled
def forget(me: Any) -> None:
    """Forget the position that is gone."""
    me.holding = 0
    me.bars_held = 0
    me.bought_cost = 0.0
    me.bought_quantity = 0.0
    me.entry_price = 0.0
    me.stop = 0.0
    me.target = 0.0
    me.highest = 0.0


@compiled
def count_bar(me: Any, high: float) -> None:
    """Count a candle that is there."""
    me.bars_seen += 1
    if me.holding == 1:
        me.bars_held += 1
        me.highest = max(me.highest, high)
    elif me.cooldown > 0:
        me.cooldown -= 1


@compiled
def plan_entry(me: Any, stop: float, target: float) -> None:
    """Remember what is asked for, until the book says whether it was filled."""
    me.asked = 2 if me.may_retry == 1 else 1
    me.may_retry = 0
    me.planned_stop = stop
    me.planned_target = target


@compiled
def mend_stop(me: Any, book: Any, symbol: int, decisions: Record, close: float) -> int:
    """Put a missing stop back, or leave when the price is already below it; 0 if all is well."""
    if me.stop <= 0.0 or book.stop_price[symbol] > 0.0:
        return 0
    held = float(me.bars_held)
    if close <= me.stop:
        return answers.leave(decisions, Reason.STOP_BREACHED, close, me.stop, me.target, held)
    return answers.move_stop(decisions, Reason.STOP_RESTORED, me.stop, close, me.stop, me.target, held)


@compiled
def raise_stop(me: Any, decisions: Record, stop: float, close: float, smallest_step: float, reason: int) -> int:
    """Move the stop up if that is worth an order; 0 if not."""
    if not (stop > me.stop + smallest_step and stop < close):
        return 0
    me.stop = stop
    held = float(me.bars_held)
    return answers.move_stop(decisions, reason, stop, close, stop, me.target, held)


HELD_FACTS: Final = ("close", "stop", "target", "bars_held")
HELD_REASONS: Final = frozenset(
    {
        Reason.POSITION_HELD,
        Reason.STOP_BREACHED,
        Reason.STOP_RESTORED,
        Reason.STOP_TRAILED,
        Reason.STOP_TIGHTENED,
        Reason.SIGNAL_EXIT_TARGET,
        Reason.SIGNAL_EXIT_TIME,
    }
)
