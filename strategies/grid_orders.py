"""The gaps of a grid: where its levels lie, what each gap holds, which order it needs now.

Gaps are counted from the bottom of the range. The slot of a gap's order stays the same when the
range climbs: gap g of a range that climbed c times lives in slot (g + c) mod gaps.
"""

import math
from typing import Any, Final

from strategies import answers
from trading.compilation import compiled
from trading.strategy import (
    BUY,
    MAX_DECISIONS,
    SELL,
    DecisionKind,
    OrderKind,
    Reason,
    Record,
)

MAX_GAPS: Final = 40
GEOMETRIC: Final = 0

BUILDING: Final = 0
RUNNING: Final = 1
CLEARING: Final = 2
RESTING: Final = 3

GRID_FIELDS: Final = [
    ("phase", "i8"),
    ("gaps", "i8"),
    ("climbed", "i8"),
    ("is_arithmetic", "i8"),
    ("bottom", "f8"),
    # The ratio of two levels, or their distance in an arithmetic grid.
    ("spacing", "f8"),
    ("capital", "f8"),
    # By slot: what was bought for the gap and not yet sold, and whether it was stocked at start.
    ("owned", "f8", (MAX_GAPS,)),
    ("stocked", "i8", (MAX_GAPS,)),
    ("stocked_count", "i8"),
    # 0: the stock is bought; 1: asked for; 2: asked for again after it expired.
    ("stock_asked", "i8"),
    ("stock_retry", "i8"),
]


@compiled
def take_in(me: Any, money: Any) -> None:
    """Learn from the fills what each gap holds."""
    bought_stock = False
    for k in range(money.fill_count):
        fill = money.fills[k]
        if fill.kind == OrderKind.LIMIT and 0 <= fill.slot < MAX_GAPS:
            me.owned[fill.slot] += fill.base_change
        elif fill.kind == OrderKind.ENTRY:
            bought_stock = True
            _spread(me, fill.base_change)
        elif fill.kind == OrderKind.EXIT:
            _forget_stock(me)
    if me.stock_asked > 0:
        me.stock_retry = 1 if (not bought_stock and me.stock_asked == 1) else 0
        me.stock_asked = 0


@compiled
def _spread(me: Any, quantity: float) -> None:
    """Share a quantity among the gaps that wait to sell."""
    if me.gaps == 0:
        # Bought for a range that this state has forgotten: the next one is laid round all there is.
        return
    if me.stocked_count == 0:
        me.owned[_slot(me, me.gaps - 1)] += quantity
        return
    for slot in range(me.gaps):
        if me.stocked[slot] == 1:
            me.owned[slot] += quantity / me.stocked_count


@compiled
def _forget_stock(me: Any) -> None:
    for slot in range(MAX_GAPS):
        me.owned[slot] = 0.0
        me.stocked[slot] = 0
    me.stocked_count = 0


@compiled
def lay(me: Any, low: float, high: float, gaps: int, kind: int, capital: float) -> None:
    """Lay the levels of a new range."""
    me.gaps = gaps
    me.climbed = 0
    me.bottom = low
    me.is_arithmetic = 0 if kind == GEOMETRIC else 1
    me.spacing = (high - low) / gaps if me.is_arithmetic == 1 else (high / low) ** (1.0 / gaps)
    me.capital = capital


@compiled
def level(me: Any, g: int) -> float:
    """Price a level: 0 is the bottom of the range, `gaps` its top."""
    steps = g + me.climbed
    if me.is_arithmetic == 1:
        return float(me.bottom + steps * me.spacing)
    return float(me.bottom * me.spacing**steps)


@compiled
def _slot(me: Any, g: int) -> int:
    return int((g + me.climbed) % me.gaps)


@compiled
def is_holding(money: Any) -> bool:
    """Tell whether the book holds more than dust."""
    worth = money.quantity[0] * money.close[0]
    return bool(money.quantity[0] >= money.step[0] and worth >= money.min_notional[0])


@compiled
def stock(me: Any, money: Any, close: float, share: float, start_flat: int, decisions: Record) -> int:
    """Give what is held to the gaps above the price, and ask for what they lack."""
    _forget_stock(me)
    for g in range(me.gaps):
        # The level nearest to the price stays empty: a gap belongs above if its middle does.
        if (level(me, g) + level(me, g + 1)) / 2.0 > close:
            me.stocked[_slot(me, g)] = 1
            me.stocked_count += 1
    if money.quantity[0] > 0.0:
        _spread(me, money.quantity[0])
    if start_flat == 1 or me.stocked_count == 0:
        me.stocked_count = me.stocked_count if money.quantity[0] > 0.0 else 0
        return 0
    return _ask_for_stock(me, money, close, share, 1, decisions)


@compiled
def restock(me: Any, money: Any, close: float, share: float, decisions: Record) -> int:
    """Ask once more for a stock whose order expired."""
    if me.stock_retry == 0:
        return 0
    me.stock_retry = 0
    return _ask_for_stock(me, money, close, share, 2, decisions)


@compiled
def _ask_for_stock(me: Any, money: Any, close: float, share: float, asked: int, decisions: Record) -> int:
    wanted = me.stocked_count * me.capital / me.gaps
    lacking = wanted - money.quantity[0] * close
    # Less than half a gap is not worth an order.
    if lacking < 0.5 * me.capital / me.gaps:
        return 0
    me.stock_asked = asked
    count = answers.write(
        decisions,
        0,
        DecisionKind.ENTER,
        Reason.SIGNAL_ENTRY_INVENTORY,
        close,
        level(me, 0),
        level(me, me.gaps),
        float(me.stocked_count),
    )
    decisions[0].side = BUY
    decisions[0].share = share * me.stocked_count / me.gaps
    return count


@compiled
def place(me: Any, money: Any, inventory_cap: float, close: float, count: int, decisions: Record) -> int:
    """Place every order that a gap needs and does not have; explain if there is none."""
    each = me.capital / me.gaps
    committed = money.quantity[0] * close + _live_buys(money)
    if count > 0:
        # The stock that was just asked for counts as if it were bought.
        committed = max(committed, me.stocked_count * each + _live_buys(money))
    capped = False
    # From the top, so that the buys nearest to the price come first.
    for g in range(me.gaps - 1, -1, -1):
        if count >= MAX_DECISIONS or _has_order(money, _slot(me, g)):
            continue
        slot = _slot(me, g)
        if _is_saleable(me, money, slot, level(me, g + 1)):
            count = _sell(me, money, g, close, count, decisions)
        elif me.stocked[slot] == 1 and me.stock_asked > 0:
            continue
        elif level(me, g) < close * (1.0 - money.half_spread) and me.is_paused == 0:
            capped = committed + each > inventory_cap * me.capital + 0.5 * each
            if not capped:
                committed += each
                count = _buy(me, money, g, count, decisions)
    if count > 0:
        return count
    return _explain(me, money, close, capped, decisions)


@compiled
def _live_buys(money: Any) -> float:
    total = 0.0
    for k in range(money.order_count):
        if money.orders[k].side == BUY:
            total += money.orders[k].price * money.orders[k].quantity_remaining
    return total


@compiled
def _has_order(money: Any, slot: int) -> bool:
    found = False
    for k in range(money.order_count):
        found = found or money.orders[k].slot == slot
    return found


@compiled
def _is_saleable(me: Any, money: Any, slot: int, price: float) -> bool:
    # Half a unit of slack: a sum of exact amounts may sit a hair below what it means.
    whole = math.floor((me.owned[slot] + 5e-9) / money.step[0]) * money.step[0]
    return bool(whole > 0.0 and whole * price >= money.min_notional[0])


@compiled
def _sell(me: Any, money: Any, g: int, close: float, count: int, decisions: Record) -> int:
    # A price that ran past the level is taken as a gift, one spread away from where it is.
    price = max(level(me, g + 1), close * (1.0 + 2.0 * money.half_spread))
    return _order(me, money, g, SELL, price, me.owned[_slot(me, g)] + 5e-9, count, decisions)


@compiled
def _buy(me: Any, money: Any, g: int, count: int, decisions: Record) -> int:
    price = level(me, g)
    quantity = me.capital / me.gaps / price
    return _order(me, money, g, BUY, price, quantity, count, decisions)


@compiled
def _order(
    me: Any,
    money: Any,
    g: int,
    side: int,
    price: float,
    quantity: float,
    count: int,
    decisions: Record,
) -> int:
    reason = Reason.GRID_BUY.value if side == BUY else Reason.GRID_SELL.value
    other = level(me, g + 1) if side == BUY else level(me, g)
    close = money.close[0]
    live = float(money.order_count)
    answers.write(decisions, count, DecisionKind.PLACE, reason, close, price, other, live)
    order = decisions[count]
    order.slot = _slot(me, g)
    order.side = side
    order.limit = price
    order.quantity = quantity
    return count + 1


@compiled
def _explain(me: Any, money: Any, close: float, capped: bool, decisions: Record) -> int:
    inventory = money.quantity[0] * close
    if me.is_paused == 1:
        return answers.hold(decisions, Reason.GRID_PAUSED, close, me.strength, me.trend, inventory)
    # With buys alive the grid works; the cap is only news when it holds every buy back.
    held_back = capped and _live_buys(money) == 0.0
    reason = Reason.GRID_INVENTORY_CAP.value if held_back else Reason.GRID_WAITING.value
    return answers.hold(decisions, reason, close, level(me, 0), level(me, me.gaps), inventory)


@compiled
def climb(me: Any, money: Any, inventory_cap: float, close: float, decisions: Record) -> int:
    """Drop the lowest gap and put a new one on top."""
    count = 0
    lowest = _slot(me, 0)
    if _has_order(money, lowest):
        count = _cancel(me, money, lowest, Reason.GRID_TRAIL_UP.value, close, 0, decisions)
    me.climbed += 1
    # What the lowest gap still held goes on in the new top gap, which has the same slot. Its
    # order waits for the next bar, when the book shows that the old one is gone.
    return place(me, money, inventory_cap, close, count, decisions)


@compiled
def clear(me: Any, money: Any, decisions: Record, close: float) -> int:
    """Cancel every order, so that the range can be laid anew."""
    count = 0
    for k in range(money.order_count):
        if count < MAX_DECISIONS:
            slot = money.orders[k].slot
            count = _cancel(me, money, slot, Reason.GRID_REBUILD.value, close, count, decisions)
    if count == 0:
        return _state(me, money, 0, DecisionKind.HOLD, Reason.GRID_REBUILD.value, close, decisions)
    return count


@compiled
def liquidate(me: Any, money: Any, decisions: Record, reason: int, close: float) -> int:
    """Sell everything and cancel every buy."""
    count = 0
    if is_holding(money):
        count = _state(me, money, 0, DecisionKind.EXIT, reason, close, decisions)
        decisions[0].side = SELL
    for k in range(money.order_count):
        order = money.orders[k]
        # An exit takes the sells off the market itself.
        if count < MAX_DECISIONS and (order.side == BUY or count == 0):
            count = _cancel(me, money, order.slot, reason, close, count, decisions)
    if count == 0:
        return _state(me, money, 0, DecisionKind.HOLD, reason, close, decisions)
    return count


@compiled
def _cancel(me: Any, money: Any, slot: int, reason: int, close: float, count: int, decisions: Record) -> int:
    _state(me, money, count, DecisionKind.CANCEL, reason, close, decisions)
    decisions[count].slot = slot
    return count + 1


@compiled
def _state(me: Any, money: Any, count: int, kind: int, reason: int, close: float, decisions: Record) -> int:
    inventory = money.quantity[0] * close
    low, high = level(me, 0), level(me, me.gaps)
    return answers.write(decisions, count, kind, reason, close, low, high, inventory)
