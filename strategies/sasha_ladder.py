"""The ladder of SashaHybrid: rungs below a frozen anchor, each sold at the rung above it.

Rungs are numbered from 1 downwards. The anchor, the distance of the rungs and the stop are frozen
when the first rung is asked for, and forgotten when the position is gone.
"""

from typing import Any, Final

from strategies import answers, lifecycle
from trading.compilation import compiled
from trading.strategy import BUY, Reason, Record

MAX_RUNGS: Final = 8

LADDER_FIELDS: Final = [
    ("anchor", "f8"),
    ("spacing", "f8"),
    # What each rung holds, by its fills; the rung an entry or exit was asked for at the last bar.
    ("rung_quantity", "f8", (MAX_RUNGS + 1,)),
    ("rungs_bought", "i8"),
    ("rung_asked", "i8"),
    ("rung_leaving", "i8"),
]


@compiled
def take_in_fills(me: Any, money: Any) -> None:
    """Learn from the fills which rung was bought or sold."""
    for k in range(money.fill_count):
        fill = money.fills[k]
        if fill.side == BUY and me.rung_asked > 0:
            me.rung_quantity[me.rung_asked] += fill.base_change
            me.rungs_bought = max(me.rungs_bought, me.rung_asked)
        elif fill.side != BUY and me.rung_leaving > 0:
            me.rung_quantity[me.rung_leaving] += fill.base_change
            me.rungs_bought = me.rung_leaving - 1
    me.rung_asked = 0
    me.rung_leaving = 0


@compiled
def forget_if_flat(me: Any) -> None:
    """Forget the ladder when nothing is held of it."""
    if me.holding == 1:
        return
    me.rungs_bought = 0
    for k in range(MAX_RUNGS + 1):
        me.rung_quantity[k] = 0.0


@compiled
def begin(me: Any, p: Any, close: float, cost: float, decisions: Record) -> int:
    """Look for the first rung while nothing is held; the anchor moves until then."""
    me.anchor = me.calm
    me.spacing = max(p.rung_atr * me.range_now, p.cost_gate * cost * close)
    level = _level(me, 1)
    if not (close <= level and me.rsi < p.first_rung_rsi):
        return answers.hold(decisions, Reason.SIGNAL_NO_OPINION, close, me.rsi, me.trend_score, level)
    stop = min(_level(me, p.rungs), close) - p.stop_atr * me.range_now
    lifecycle.plan_entry(me, stop, me.anchor)
    return _ask(me, p, 1, close, stop, decisions)


@compiled
def manage(me: Any, p: Any, close: float, decisions: Record) -> int:
    """Sell the lowest rung at the one above it, or buy the next; 0 if there is neither."""
    lowest = me.rungs_bought
    goal = _level(me, lowest - 1)
    if close >= goal:
        return _sell(me, lowest, close, goal, decisions)
    # Nothing is bought while the regime is other than ranging.
    if me.regime == 0 and lowest < p.rungs and close <= _level(me, lowest + 1):
        # The plan stays as it was: one stop and one anchor for the whole ladder.
        me.asked = 2
        return _ask(me, p, lowest + 1, close, me.stop, decisions)
    me.target = goal
    return 0


@compiled
def _ask(me: Any, p: Any, rung: int, close: float, stop: float, decisions: Record) -> int:
    me.rung_asked = rung
    share = p.share * _weight(p.rung_growth, rung) / _weight(p.rung_growth, p.rungs)
    terms = (share, p.risk_share, stop)
    reason = Reason.SIGNAL_ENTRY_LADDER
    return answers.enter(decisions, reason, terms, close, float(rung), _level(me, rung), stop)


@compiled
def _sell(me: Any, rung: int, close: float, goal: float, decisions: Record) -> int:
    reason = Reason.SIGNAL_EXIT_LADDER
    answers.leave(decisions, reason, close, float(rung), goal, me.stop)
    me.rung_leaving = rung
    if rung > 1:
        decisions[0].quantity = me.rung_quantity[rung]
        decisions[0].stop = me.stop
    return 1


@compiled
def _level(me: Any, rung: int) -> float:
    return float(me.anchor - rung * me.spacing)


@compiled
def _weight(growth: float, rungs: int) -> float:
    """Add up the sizes of the first rungs, the first being 1."""
    total, size = 0.0, 1.0
    for _ in range(rungs):
        total += size
        size *= growth
    return total
