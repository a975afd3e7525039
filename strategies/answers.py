"""Write decisions into the array a step was given."""

import math
from typing import Any

from trading.compilation import compiled
from trading.strategy import NO_SLOT, DecisionKind, Reason, Record


@compiled
def hold(decisions: Record, reason: int, a: float, b: float, c: float, d: float) -> int:
    """Explain why nothing happens at this bar."""
    return write(decisions, 0, DecisionKind.HOLD, reason, a, b, c, d)


@compiled
def enter(
    decisions: Record,
    reason: int,
    terms: tuple[float, float, float],
    a: float,
    b: float,
    c: float,
    d: float,
) -> int:
    """Ask to buy; terms are share of the allocation, share of equity at risk, stop."""
    answer = decisions[0]
    write(decisions, 0, DecisionKind.ENTER, reason, a, b, c, d)
    answer.side = 1
    answer.share = terms[0]
    answer.risk_share = terms[1]
    answer.stop = terms[2]
    return 1


@compiled
def leave(decisions: Record, reason: int, a: float, b: float, c: float, d: float) -> int:
    """Ask to sell the whole position at market."""
    write(decisions, 0, DecisionKind.EXIT, reason, a, b, c, d)
    decisions[0].side = -1
    return 1


@compiled
def move_stop(decisions: Record, reason: int, stop: float, a: float, b: float, c: float, d: float) -> int:
    """Ask for a new protective stop in the place of the live one."""
    write(decisions, 0, DecisionKind.MOVE_STOP, reason, a, b, c, d)
    decisions[0].side = -1
    decisions[0].stop = stop
    return 1


@compiled
def write(decisions: Record, k: int, kind: int, reason: int, a: float, b: float, c: float, d: float) -> int:
    """Write the k-th decision with nothing but its kind, reason and facts."""
    answer = decisions[k]
    answer.kind = kind
    answer.symbol = 0
    answer.slot = NO_SLOT
    answer.side = 0
    answer.share = 0.0
    answer.risk_share = 0.0
    answer.quantity = 0.0
    answer.limit = 0.0
    answer.stop = 0.0
    answer.reason = reason
    answer.facts[0] = a
    answer.facts[1] = b
    answer.facts[2] = c
    answer.facts[3] = d
    return k + 1


@compiled
def address(decisions: Record, symbol: int, count: int) -> int:
    """Say which market the first decisions are about."""
    for k in range(count):
        decisions[k].symbol = symbol
    return count


@compiled
def is_missing(panel: Any, symbol: int, i: int) -> bool:
    """Tell whether the candle is missing."""
    return math.isnan(panel[3, symbol, i])


@compiled
def nothing(decisions: Record) -> int:
    """Hold at a missing candle."""
    nan = math.nan
    return hold(decisions, Reason.DATA_GAP, nan, nan, nan, nan)
