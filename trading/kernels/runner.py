"""Walk candles until a strategy is due, and carry out what it answers.

A strategy's own `run` loops over these two. It has to live in the strategy's module: numba keeps
compiled code on disk only for loops that name their step, not for those that are handed one.
"""

from typing import Any, Final

from trading import books
from trading.compilation import compiled, spliced
from trading.kernels.asking import turn_away
from trading.kernels.matching import AT_OPEN, execute, match_move, walk_candle
from trading.kernels.world import Tape, learn_levels, own_cash, stop_ticks
from trading.sizing import size_decisions
from trading.strategy import CLOSE, DecisionKind, Reason, Record, View

HOLD: Final = DecisionKind.HOLD.value
ENTER: Final = DecisionKind.ENTER.value
WALKED: Final = 0
JOURNAL_FULL: Final = 1
ASKED: Final = 2
MEETING: Final = 3
# More fills than one base bar can bring.
JOURNAL_MARGIN: Final = 1024


@spliced
def advance(world: Record, tape: Tape, until: int) -> bool:
    """Walk base bars up to `until`; true when the strategy must step at the bar `world.bar`."""
    w = world[0]
    if w.asked > 0:
        w.status = ASKED
        return False
    if w.opened == 1:
        _walk_bar(w, tape)
    while w.cursor < until:
        if w.fill_count + JOURNAL_MARGIN > len(tape.journal):
            w.status = JOURNAL_FULL
            return False
        if w.asks == 1:
            if w.passes == 0 and _may_meet(w, tape.ticks[2, w.cursor], tape.ticks[1, w.cursor]):
                w.status = MEETING
                return False
            w.passes = 0
        _open_bar(w, tape)
        if tape.closes[w.cursor] >= w.first_bar:
            w.bar = tape.closes[w.cursor]
            _tell(w, tape)
            return True
        _walk_bar(w, tape)
    w.status = WALKED
    return False


@spliced
def answer(world: Record, tape: Tape, count: int) -> None:
    """Carry out the decisions of the step at the open of the bar."""
    if count == 1 and tape.decisions[0].kind == HOLD:
        # Nearly every bar: nothing is sized and nothing can be denied.
        tape.reasons[tape.decisions[0].reason] += 1
        return
    if world[0].asks == 1:
        if not turn_away(world[0], tape, count):
            world[0].asked = count
        return
    _carry_out(world[0], tape, count)


@compiled
def _carry_out(w: Any, tape: Tape, count: int) -> None:
    # Sizing reserves in the book, so that it has to be told anew even if nothing comes of it.
    w.is_told = 0
    size_decisions(tape.decisions, count, tape.book, tape.numbers, tape.sized)
    for k in range(count):
        order = tape.sized[k]
        tape.reasons[order.reason] += 1
        deny = order.deny
        if deny == Reason.NONE.value:
            deny = execute(w, tape.journal, order)
        if deny != Reason.NONE.value:
            tape.denials[deny] += 1


@spliced
def _open_bar(w: Any, tape: Tape) -> None:
    b = w.cursor
    w.bar_time = tape.times[b]
    w.time_now = w.bar_time
    w.depth_lots = (tape.volume_lots[b] * w.participation_ppm) // 1_000_000
    w.budget_lots = w.depth_lots
    w.tick_now = tape.ticks[0, b]
    w.opened = 1
    if _may_meet(w, w.tick_now, w.tick_now):
        match_move(w, tape.journal, w.tick_now, w.tick_now, AT_OPEN)


@spliced
def _walk_bar(w: Any, tape: Tape) -> None:
    b = w.cursor
    if _may_meet(w, tape.ticks[2, b], tape.ticks[1, b]):
        _walk_path(w, tape)
    w.tick_now = tape.ticks[3, b]
    w.opened = 0
    w.cursor += 1


@spliced
def _may_meet(w: Any, low: int, high: int) -> bool:
    if w.order_count == 0:
        return False
    if w.levels_known == 0:
        learn_levels(w)
    return bool(low <= w.fall_ticks or high >= w.rise_ticks)


@compiled
def _walk_path(w: Any, tape: Tape) -> None:
    b = w.cursor
    walk_candle(w, tape.journal, (tape.ticks[0, b], tape.ticks[1, b], tape.ticks[2, b], tape.ticks[3, b]))


@spliced
def _tell(w: Any, tape: Tape) -> None:
    """Bring the book up to the bar that has closed; mostly only the close is new."""
    bar = w.bar
    w.last_close = tape.panel[CLOSE, 0, bar]
    if w.is_told == 1 and w.bar_time > w.veiled_until:
        gained = w.cash + w.cash_locked - w.capital
        books.mark_position(tape.book, 0, w.last_close, own_cash(w) + w.cash_locked, gained)
    else:
        _tell_all(w, tape)
    tape.equity[bar] = tape.book[0].equity
    tape.position[bar] = tape.book[0].quantity[0]


@compiled
def _tell_all(w: Any, tape: Tape) -> None:
    """Fill the book with the world as it is when the bar has closed and the next has opened."""
    book, view = tape.book, w.veil if w.bar_time <= w.veiled_until else View.WHOLE.value
    books.clear_book(book)
    books.set_terms(book, w.taker_ppm, w.maker_ppm, w.half_spread_ppm)
    free = w.base_owned - w.base_locked
    stop = stop_ticks(w) * w.price_units_per_tick
    books.set_position(book, tape.numbers, 0, w.base_owned, free, w.cost, stop, w.last_close)
    books.set_money(book, w.allocation, own_cash(w), w.cash_locked, w.cash + w.cash_locked - w.capital)
    _tell_orders(w, tape)
    if view != View.NOTHING.value:
        _tell_fills(w, tape)
    books.veil(book, tape.numbers, 1, view)
    # Fills that did not fit, or that were told just now, have to go from the book at the next step; so has a veil.
    w.is_told = 1 if book[0].fill_count == 0 and view == View.WHOLE.value else 0


@compiled
def _tell_orders(w: Any, tape: Tape) -> None:
    for k in range(w.order_count):
        order = w.orders[k]
        books.add_order(
            tape.book,
            0,
            order.slot,
            order.side,
            order.kind,
            order.ticks * w.price_units_per_tick,
            order.lots * w.units_per_lot,
            order.lots_filled * w.units_per_lot,
        )


@compiled
def _tell_fills(w: Any, tape: Tape) -> None:
    while w.fills_told < w.fill_count:
        fill = tape.journal[w.fills_told]
        fits = books.add_fill(
            tape.book,
            0,
            fill.slot,
            fill.side,
            fill.kind,
            fill.reason,
            fill.lots * w.units_per_lot,
            fill.ticks * w.price_units_per_tick,
            fill.fee,
        )
        # What does not fit is told at the next step.
        if not fits:
            return
        w.fills_told += 1
