"""Walk the candles of several markets side by side until a strategy is due, and carry out what it answers.

The twin of `trading.kernels.runner`, which it calls for whatever happens inside one market. The
first market's world keeps the clock and the purse.
"""

import math
from typing import Any

from trading import books
from trading.compilation import compiled, spliced
from trading.kernels.asking import turn_away
from trading.kernels.matching import AT_OPEN, continue_rest, execute, has_told, match_move, walk_candle, walk_detail
from trading.kernels.panel_world import PanelTape, give_back, lend, sort_fills
from trading.kernels.roughness import BEGIN, DETAIL_TIME, END, MEAN, SIGMA, meet_day
from trading.kernels.runner import ASKED, ENTER, HOLD, JOURNAL_FULL, JOURNAL_MARGIN, MEETING, WALKED
from trading.kernels.world import count_barren, learn_levels, own_cash, stop_ticks
from trading.sizing import size_decisions
from trading.strategy import BUY, CLOSE, HIGH, LOW, OPEN, Reason, Record, View


@spliced
def advance(worlds: Record, tape: PanelTape, until: int) -> bool:
    """Walk base bars up to `until`; true when the strategy must step at the bar `worlds[0].bar`."""
    clock = worlds[0]
    if clock.asked > 0:
        clock.status = ASKED
        return False
    if clock.opened == 1:
        _walk_bars(worlds, tape)
    while clock.cursor < until:
        if clock.fill_count + JOURNAL_MARGIN * len(worlds) > len(tape.journal):
            clock.status = JOURNAL_FULL
            return False
        if clock.asks == 1:
            if clock.passes == 0 and _meets_orders(worlds, tape):
                clock.status = MEETING
                return False
            clock.passes = 0
        _open_bars(worlds, tape)
        if tape.closes[clock.cursor] >= clock.first_bar:
            clock.bar = tape.closes[clock.cursor]
            _tell(worlds, tape)
            return True
        _walk_bars(worlds, tape)
    clock.status = WALKED
    return False


@spliced
def answer(worlds: Record, tape: PanelTape, count: int) -> None:
    """Carry out the decisions of the step, in their order, at the open of the bar; or leave them to a coordinator."""
    if worlds[0].asks == 0:
        _carry_out(worlds, tape, count)
    elif count == 1 and tape.decisions[0].kind == HOLD:
        tape.reasons[tape.decisions[0].reason] += 1
    elif not turn_away(worlds[0], tape, count):
        worlds[0].asked = count


@compiled
def _carry_out(worlds: Record, tape: PanelTape, count: int) -> None:
    size_decisions(tape.decisions, count, tape.book, tape.numbers, tape.sized)
    clock = worlds[0]
    if clock.latency_ms > 0:
        clock.sent = count
        clock.arrives_at = tape.times[clock.cursor] + clock.latency_ms
        return
    _execute_all(worlds, tape, count)


@compiled
def _execute_all(worlds: Record, tape: PanelTape, count: int) -> None:
    for k in range(count):
        order = tape.sized[k]
        tape.reasons[order.reason] += 1
        if order.kind == HOLD:
            continue
        deny = order.deny
        if deny == Reason.NONE.value:
            deny = _execute(worlds, tape, order)
            if order.kind == ENTER:
                count_barren(worlds[order.symbol], deny)
        if deny != Reason.NONE.value:
            tape.denials[deny] += 1


@compiled
def _execute(worlds: Record, tape: PanelTape, order: Any) -> int:
    # A market whose candle is missing has no price to trade at; the strategy sees no fill and decides again.
    if tape.ticks[OPEN, order.symbol, worlds[0].cursor] == 0:
        return Reason.DATA_GAP.value
    lend(worlds, order.symbol)
    deny = execute(worlds[order.symbol], tape.journal, order)
    give_back(worlds, order.symbol)
    return int(deny)


@compiled
def _open_bars(worlds: Record, tape: PanelTape) -> None:
    clock = worlds[0]
    b = clock.cursor
    meet_day(clock, tape.times[b])
    for symbol in range(len(worlds)):
        w = worlds[symbol]
        opened = tape.ticks[OPEN, symbol, b]
        if opened == 0:
            continue
        w.depth_lots = (tape.volume_lots[symbol, b] * w.participation_ppm) // 1_000_000
        # What was sold at this open already, because a coordinator wanted it, has had its part of the volume.
        if w.is_rough == 0 or w.bar_time != tape.times[b]:
            w.budget_lots = w.depth_lots
        w.bar_time = tape.times[b]
        w.time_now = w.bar_time
        w.tick_now = opened
        if w.is_rough == 1:
            lend(worlds, symbol)
            w.taker_ppm, w.maker_ppm = clock.taker_ppm, clock.maker_ppm
            if w.reads_moves == 1:
                w.sigma_ppm, w.mean_lots = tape.ticks[SIGMA, symbol, b], tape.ticks[MEAN, symbol, b]
            if w.rest_lots > 0:
                continue_rest(w, tape.journal)
            match_move(w, tape.journal, opened, opened, AT_OPEN)
            give_back(worlds, symbol)
        elif _may_meet(w, opened, opened):
            lend(worlds, symbol)
            match_move(w, tape.journal, opened, opened, AT_OPEN)
            give_back(worlds, symbol)
    clock.opened = 1
    if clock.sent > 0 and tape.times[b] >= clock.arrives_at:
        count, clock.sent = clock.sent, 0
        _execute_all(worlds, tape, count)


@compiled
def _walk_bars(worlds: Record, tape: PanelTape) -> None:
    b, told = worlds[0].cursor, worlds[0].fill_count
    for symbol in range(len(worlds)):
        w = worlds[symbol]
        if tape.ticks[OPEN, symbol, b] == 0:
            continue
        if _may_meet(w, tape.ticks[LOW, symbol, b], tape.ticks[HIGH, symbol, b]):
            lend(worlds, symbol)
            _walk_path(w, tape, symbol, b)
            give_back(worlds, symbol)
        w.tick_now = tape.ticks[CLOSE, symbol, b]
    sort_fills(tape.journal, told, worlds[0].fill_count)
    worlds[0].opened = 0
    worlds[0].cursor += 1


@compiled
def _meets_orders(worlds: Record, tape: PanelTape) -> bool:
    b = worlds[0].cursor
    if worlds[0].sent > 0 and tape.times[b] >= worlds[0].arrives_at:
        return True
    for symbol in range(len(worlds)):
        low = tape.ticks[LOW, symbol, b]
        if low > 0 and worlds[symbol].rest_lots > 0:
            return True
        if low > 0 and _may_meet(worlds[symbol], low, tape.ticks[HIGH, symbol, b]):
            return True
    return False


@compiled
def _may_meet(w: Any, low: int, high: int) -> bool:
    if w.order_count == 0:
        return False
    if w.levels_known == 0:
        learn_levels(w)
    return bool(low <= w.fall_ticks or high >= w.rise_ticks)


@compiled
def _walk_path(w: Any, tape: PanelTape, symbol: int, b: int) -> None:
    ticks = tape.ticks
    candle = (ticks[OPEN, symbol, b], ticks[HIGH, symbol, b], ticks[LOW, symbol, b], ticks[CLOSE, symbol, b])
    if w.has_details == 1:
        begin, end = ticks[BEGIN, symbol, b], ticks[END, symbol, b]
        if has_told(w, candle[2], candle[1], begin, end):
            for k in range(begin, end):
                detail = (ticks[OPEN, symbol, k], ticks[HIGH, symbol, k], ticks[LOW, symbol, k], ticks[CLOSE, symbol, k])
                walk_detail(w, tape.journal, detail, ticks[DETAIL_TIME, symbol, k], w.bar_length // (end - begin))
            return
    walk_candle(w, tape.journal, candle)


@compiled
def _tell(worlds: Record, tape: PanelTape) -> None:
    """Fill the book with the worlds as they are when the bar has closed and the next has opened."""
    clock, book = worlds[0], tape.book
    view = clock.veil if tape.times[clock.cursor] <= clock.veiled_until else View.WHOLE.value
    books.clear_book(book)
    books.set_terms(book, clock.taker_ppm, clock.maker_ppm, clock.half_spread_ppm)
    for symbol in range(len(worlds)):
        w = worlds[symbol]
        if w.taker_ppm != clock.taker_ppm:
            books.set_taker_fee(book, symbol, w.taker_ppm)
        close = tape.panel[CLOSE, symbol, clock.bar]
        if not math.isnan(close):
            w.last_close = close
        free = w.base_owned - w.base_locked
        stop = stop_ticks(w) * w.price_units_per_tick
        books.set_position(book, tape.numbers, symbol, w.base_owned, free, w.cost, stop, w.last_close)
        tape.position[symbol, clock.bar] = book[0].quantity[symbol]
        _tell_orders(w, book, symbol)
    gained = clock.cash + clock.cash_locked - clock.capital
    books.set_money(book, clock.allocation, own_cash(clock), clock.cash_locked, gained)
    if view != View.NOTHING.value:
        _tell_fills(worlds, tape)
    books.veil(book, tape.numbers, len(worlds), view)
    tape.equity[clock.bar] = book[0].equity


@compiled
def _tell_orders(w: Any, book: Record, symbol: int) -> None:
    for k in range(w.order_count):
        order = w.orders[k]
        price = order.ticks * w.price_units_per_tick
        left, filled = order.lots * w.units_per_lot, order.lots_filled * w.units_per_lot
        books.add_order(book, symbol, order.slot, order.side, order.kind, price, left, filled)


@compiled
def _tell_fills(worlds: Record, tape: PanelTape) -> None:
    clock = worlds[0]
    while clock.fills_told < clock.fill_count:
        fill = tape.journal[clock.fills_told]
        w = worlds[fill.symbol]
        base, price = fill.lots * w.units_per_lot, fill.ticks * w.price_units_per_tick
        fits = books.add_fill(tape.book, fill.symbol, fill.slot, fill.side, fill.kind, fill.reason, base, price, fill.fee)
        # What does not fit is told at the next step.
        if not fits:
            return
        if w.fee_in_quote == 1 and fill.side == BUY:
            books.charge_in_quote(tape.book, base, fill.fee)
        clock.fills_told += 1
