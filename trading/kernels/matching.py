"""The backtest's own matching: which orders a moving price fills, and at what.

Written from the description in docs/strategies/backtest.md, not from the venue's code, so that
two independent readings of the same rules can be compared fill for fill.
"""

from typing import Any, Final

from trading.compilation import compiled
from trading.costs import taker_buy_ticks, taker_sell_ticks
from trading.kernels.roughness import CANCEL, DEEPER, slippage_of
from trading.kernels.world import (
    add_order,
    buy_cost,
    cancel_sells,
    cancel_stops,
    count_order,
    fill_resting,
    free_lots,
    record_fill,
    remove_order,
    stop_ticks,
)
from trading.paths import bar_path, path_time
from trading.strategy import BUY, NO_SLOT, SELL, DecisionKind, OrderKind, Reason, Record

AT_OPEN: Final = -1
# Nobody sells for less than a millionth of the price.
MOST_SPREAD: Final = 999_999

_path_time = compiled(path_time)
_bar_path = compiled(bar_path)


@compiled
def walk_candle(w: Any, journal: Record, candle: tuple[int, int, int, int]) -> None:
    """Walk a candle (open, high, low, close) after its opening tick was matched."""
    opened, high, low, close = candle
    path = _bar_path(opened, high, low, close)
    if low <= w.fall_ticks and high >= w.rise_ticks:
        w.ambiguous += 1
        if w.has_details == 1:
            # Its details are missing, so nobody knows: the stop comes before the target.
            path = (opened, low, high, close)
    _walk_turns(w, journal, path)


@compiled
def walk_detail(w: Any, journal: Record, candle: tuple[int, int, int, int], at: int, length: int) -> None:
    """Walk one of the finer candles of a base bar; the volume that orders share stays the bar's."""
    began, whole = w.bar_time, w.bar_length
    if at > began:
        w.time_now = at
        match_move(w, journal, candle[0], candle[0], AT_OPEN)
    w.bar_time, w.bar_length = at, length
    _walk_turns(w, journal, _bar_path(candle[0], candle[1], candle[2], candle[3]))
    w.bar_time, w.bar_length = began, whole


@compiled
def has_told(w: Any, low: int, high: int, begin: int, end: int) -> bool:
    """Count a bar whose order matters and is told by its details; false for all others."""
    if end <= begin or low > w.fall_ticks or high < w.rise_ticks:
        return False
    w.ambiguous += 1
    w.resolved += 1
    return True


@compiled
def _walk_turns(w: Any, journal: Record, path: tuple[int, int, int, int]) -> None:
    # What the price of now already meets comes before it moves: orders that were placed inside the spread.
    match_move(w, journal, path[0], path[0], 0)
    match_move(w, journal, path[0], path[1], 0)
    match_move(w, journal, path[1], path[2], 1)
    match_move(w, journal, path[2], path[3], 2)


@compiled
def match_move(w: Any, journal: Record, start: int, end: int, segment: int) -> None:
    """Move the price from start to end and let it meet the orders on its way, in their order.

    The segment says which part of the bar's path this is; AT_OPEN is the opening tick alone.
    """
    while True:
        k = _next_met(w, start, end)
        if k < 0:
            break
        order = w.orders[k]
        if segment != AT_OPEN:
            travelled = _travelled(order, start, end)
            w.time_now = _path_time(w.bar_time, w.bar_length, segment, travelled, abs(end - start))
        if order.kind == OrderKind.STOP:
            w.tick_now = min(order.ticks, start)
            _trigger(w, journal, k)
        else:
            lots = min(order.lots, w.budget_lots)
            w.budget_lots -= lots
            fill_resting(w, journal, k, lots)
    w.tick_now = end


@compiled
def _travelled(order: Any, start: int, end: int) -> int:
    """Answer how far the price went until it met the order; it may have met it at the start."""
    level = order.ticks
    if order.kind != OrderKind.STOP:
        level += -1 if order.side == BUY else 1
    if end < start:
        return int(max(0, start - level)) if _is_met_falling(order) else 0
    return 0 if _is_met_falling(order) else int(max(0, level - start))


@compiled
def _is_met_falling(order: Any) -> bool:
    return bool(order.kind == OrderKind.STOP or order.side == BUY)


@compiled
def _next_met(w: Any, start: int, end: int) -> int:
    """Find the order that the moving price meets first; of equals the oldest."""
    best, best_level = -1, 0
    for k in range(w.order_count):
        order = w.orders[k]
        if order.kind != OrderKind.STOP and w.budget_lots <= 0:
            continue
        falling = _is_met_falling(order)
        level = order.ticks
        if order.kind != OrderKind.STOP:
            # A touch is not enough: the price must trade through the limit by a tick.
            level += -1 if falling else 1
        met = level >= min(start, end) if falling else level <= max(start, end)
        if not met:
            continue
        if not falling:
            # Sells are met on the way up: the lowest first. Negated to share the comparison.
            level = -level
        if best < 0 or level > best_level:
            best, best_level = k, level
    return best


@compiled
def _trigger(w: Any, journal: Record, k: int) -> None:
    lots = w.orders[k].lots
    reason = w.orders[k].reason
    order_id = w.orders[k].id
    remove_order(w, k)
    _stop_buying(w)
    filled = _take(w, journal, SELL, OrderKind.STOP.value, lots, 0, reason, order_id)
    _count_filled(w, OrderKind.STOP.value, filled, lots)


@compiled
def _count_filled(w: Any, kind: int, filled: int, lots: int) -> None:
    if filled == lots:
        w.tallies[kind].filled += 1


@compiled
def _send(w: Any, journal: Record, side: int, kind: int, lots: int, limit: int, reason: int) -> int:
    """Send an order that takes what is there."""
    w.next_id += 1
    count_order(w, kind, lots)
    filled = _take(w, journal, side, kind, lots, limit, reason, w.next_id - 1)
    _count_filled(w, kind, filled, lots)
    return int(filled)


@compiled
def _note_stop(journal: Record, begin: int, end: int, stop_ticks: int) -> None:
    """Write down which stop the fills of an entry came with."""
    for k in range(begin, end):
        journal[k].stop_ticks = stop_ticks


@compiled
def _take(w: Any, journal: Record, side: int, kind: int, lots: int, limit: int, reason: int, order_id: int) -> int:
    """Take liquidity at the price of now; each further share of the volume lies deeper."""
    # The order itself never rests, but a fill is recorded against an order's identity.
    order = w.orders[w.order_count]
    order.id = order_id
    order.slot = NO_SLOT
    order.side = side
    order.kind = kind
    order.reason = reason
    filled, depth, slippage = 0, 1, w.slippage_ppm
    if w.is_rough == 1:
        slippage = slippage_of(w, lots)
    while filled < lots:
        spread = min(depth * w.half_spread_ppm + slippage, MOST_SPREAD)
        if side == BUY:
            ticks = taker_buy_ticks(w.tick_now, spread)
            if ticks > limit:
                break
        else:
            ticks = max(1, taker_sell_ticks(w.tick_now, spread))
        part = lots - filled
        if w.rest_rule != DEEPER:
            part = min(part, w.budget_lots)
            if part <= 0:
                _leave_rest(w, order, lots - filled, limit)
                break
            w.budget_lots -= part
            depth = 0
        elif w.depth_lots > 0:
            part = min(part, w.depth_lots)
        record_fill(w, journal, order, part, ticks, w.taker_ppm)
        filled += part
        depth += 1
    return filled


@compiled
def _leave_rest(w: Any, order: Any, lots: int, limit: int) -> None:
    """Have the rest of a market order wait for the volume of the next candle; what a stop has to sell always does.

    So does what a coordinator sells, which no strategy gave a reason for.
    """
    if w.rest_rule == CANCEL and order.kind != OrderKind.STOP and order.reason != Reason.NONE:
        return
    if w.rest_side != order.side:
        w.rest_lots = 0
    w.rest_lots += lots
    w.rest_side = order.side
    w.rest_kind = order.kind
    w.rest_limit = limit
    w.rest_stop = 0
    w.rest_reason = order.reason
    w.rest_id = order.id


@compiled
def continue_rest(w: Any, journal: Record) -> None:
    """Fill what waits as far as the volume of this candle goes; a buy's new lots come under the stop of the others."""
    whole, lots, stop, first = w.rest_lots, w.rest_lots, w.rest_stop, w.fill_count
    w.rest_lots = 0
    if w.rest_side == SELL:
        lots = min(lots, free_lots(w))
    elif buy_cost(w, lots, w.rest_limit) > w.cash:
        lots = w.cash // max(1, buy_cost(w, 1, w.rest_limit))
    if lots <= 0:
        return
    filled = _take(w, journal, w.rest_side, w.rest_kind, lots, w.rest_limit, w.rest_reason, w.rest_id)
    _count_filled(w, w.rest_kind, filled, whole)
    if w.rest_side == SELL:
        return
    _note_stop(journal, first, w.fill_count, stop)
    w.rest_stop = stop
    stop = max(stop_ticks(w), stop)
    if filled > 0 and stop > 0:
        _protect(w, journal, stop, Reason.STOP_PROTECTIVE.value)


@compiled
def execute(w: Any, journal: Record, order: Any) -> int:
    """Carry out one sized decision at the price of now; answer why not, or NONE."""
    if order.kind == DecisionKind.ENTER:
        return _enter(w, journal, order)
    if order.kind == DecisionKind.EXIT:
        return _leave(w, journal, order)
    if order.kind == DecisionKind.PLACE:
        return _place(w, order)
    if order.kind == DecisionKind.MOVE_STOP:
        return _protect(w, journal, order.stop_ticks, order.reason)
    if order.kind == DecisionKind.CANCEL:
        _cancel_slot(w, order.slot)
    return Reason.NONE.value


@compiled
def _enter(w: Any, journal: Record, order: Any) -> int:
    if buy_cost(w, order.lots, order.limit_ticks) > w.cash:
        return Reason.CAPITAL_INSUFFICIENT.value
    w.rest_lots = 0
    first = w.fill_count
    filled = _send(w, journal, BUY, OrderKind.ENTRY.value, order.lots, order.limit_ticks, order.reason)
    _note_stop(journal, first, w.fill_count, order.stop_ticks)
    if w.rest_lots > 0:
        w.rest_stop = order.stop_ticks
        if filled == 0:
            return Reason.NONE.value
    if filled == 0:
        return Reason.ORDER_EXPIRED.value
    if order.stop_ticks > 0:
        return _protect(w, journal, order.stop_ticks, Reason.STOP_PROTECTIVE.value)
    return Reason.NONE.value


@compiled
def _leave(w: Any, journal: Record, order: Any) -> int:
    cancel_sells(w)
    w.rest_lots = 0
    lots = min(order.lots, free_lots(w))
    if lots <= 0:
        return Reason.POSITION_EMPTY.value
    _send(w, journal, SELL, OrderKind.EXIT.value, lots, 0, order.reason)
    if order.stop_ticks > 0 and free_lots(w) > 0:
        return _protect(w, journal, order.stop_ticks, Reason.STOP_PROTECTIVE.value)
    return Reason.NONE.value


@compiled
def _protect(w: Any, journal: Record, stop_ticks: int, reason: int) -> int:
    cancel_stops(w)
    lots = free_lots(w)
    if w.rest_lots > 0 and w.rest_side == SELL:
        # These are being sold already.
        lots -= w.rest_lots
    if lots < w.min_lots or lots * stop_ticks * w.quote_units_per_tick_lot < w.min_notional:
        return Reason.FILTER_MIN_NOTIONAL.value
    if stop_ticks >= w.tick_now:
        return _sell_instead(w, journal, lots)
    add_order(w, NO_SLOT, SELL, OrderKind.STOP.value, stop_ticks, lots, reason)
    return Reason.NONE.value


@compiled
def _sell_instead(w: Any, journal: Record, lots: int) -> int:
    """Sell at once what a stop was to guard that is refused, for the price is through it already."""
    if lots * w.tick_now * w.quote_units_per_tick_lot < w.min_notional:
        return Reason.FILTER_MIN_NOTIONAL.value
    _stop_buying(w)
    _send(w, journal, SELL, OrderKind.STOP.value, lots, 0, Reason.STOP_WOULD_TRIGGER.value)
    return Reason.STOP_WOULD_TRIGGER.value


@compiled
def _stop_buying(w: Any) -> None:
    """Call off what is left of a market buy: whoever is stopped out does not go on buying."""
    if w.rest_side == BUY:
        w.rest_lots = 0


@compiled
def _place(w: Any, order: Any) -> int:
    kind = OrderKind.LIMIT.value
    if order.side == BUY:
        if order.limit_ticks >= taker_buy_ticks(w.tick_now, w.half_spread_ppm):
            return Reason.ORDER_WOULD_TAKE.value
        if buy_cost(w, order.lots, order.limit_ticks) > w.cash:
            return Reason.CAPITAL_INSUFFICIENT.value
    else:
        if order.limit_ticks <= taker_sell_ticks(w.tick_now, w.half_spread_ppm):
            return Reason.ORDER_WOULD_TAKE.value
        if order.lots > free_lots(w):
            return Reason.POSITION_EMPTY.value
    add_order(w, order.slot, order.side, kind, order.limit_ticks, order.lots, order.reason)
    return Reason.NONE.value


@compiled
def _cancel_slot(w: Any, slot: int) -> None:
    for k in range(w.order_count - 1, -1, -1):
        if w.orders[k].slot == slot and w.orders[k].kind == OrderKind.LIMIT:
            remove_order(w, k)
