"""Carry out what a bot of an account asks for as long as no rule could mind; where one might, the rules are asked.

`settle` never refuses by a rule of its own: it lets pass what stays clear of every limit by a margin, counts what the rules
have refused beforehand for the whole stretch (a turn that is not the bot's), and stops at everything else. So a mistake in
it can only be too much caution or show as a difference to an account whose every decision went before the rules.
"""

from typing import Any, Final, NamedTuple

from trading.bars import Floats, Times
from trading.compilation import compiled
from trading.kernels.asking import carry_out, is_entry, size_asked
from trading.kernels.world import count_barren
from trading.strategy import BUY, DecisionKind, OrderKind, Reason, Record, record_dtype

# What the rules say of a bot's turn: ask them, it has one, it has none.
UNKNOWN: Final = 0
OPEN_TURN: Final = 1
AWAY: Final = 2

ENTRY_COLLAR: Final = 1.01
_UNIT: Final = 1e-8
# Far more than sums of a few hundred floats can be off by, far less than an order.
_CLEAR: Final = 1e-11

BOOK_DTYPE: Final = record_dtype(
    [
        # Its markets among all; its turn at the very moment from which turns are known, and from then on until one may change.
        ("first", "i8"),
        ("count", "i8"),
        ("turn_at_first", "i8"),
        ("turn", "i8"),
        ("is_latched", "i8"),
        ("leaving", "i8"),
        # In quote: what it may hold of one market, and the worth that it may not plan to fall below today.
        ("position_cap", "f8"),
        ("floor", "f8"),
        # Counted here: what was refused because it was not its turn, and orders that were granted since somebody looked.
        ("turned_away", "i8"),
        ("granted", "i8"),
    ]
)

TERMS_DTYPE: Final = record_dtype(
    [
        ("is_limited", "i8"),
        # Whether every buy must go before the rules.
        ("is_strict", "i8"),
        ("is_latched", "i8"),
        # The base bar from which the bots' turns are known.
        ("known_from", "i8"),
        ("value_max", "i8"),
        ("orders_max", "i8"),
        ("repeats_max", "i8"),
        ("rate_max", "i8"),
        ("collar", "f8"),
        ("fall", "f8"),
        ("floor", "f8"),
        ("unallocated", "f8"),
        # Counted here: orders granted in the last minute, and decisions.
        ("granted", "i8"),
        ("decisions", "i8"),
    ]
)


class Table(NamedTuple):
    """An account as its bots are settled on; the worlds of all bots lie side by side."""

    worlds: Record
    # What the others still see of a market that has gone ahead of them, where `is_shown` says so.
    shown: Record
    is_shown: Times
    owners: Times
    # Which coin each world trades, and by whose candles the rules mark it.
    markets: Times
    marked_by: Times
    # `[world][base bar of the account]`.
    closes: Floats
    books: Record
    terms: Record


@compiled
def settle(table: Table, worlds: Record, tape: Any, book: int, now: int, first: int, last: int) -> int:
    """Carry out sized decisions of a bot from the first on; answer the first that must go before the rules, or the last."""
    its, terms = table.books[book], table.terms[0]
    turn = _turn(its, terms, now)
    for k in range(first, last):
        order = tape.sized[k]
        if order.kind == DecisionKind.HOLD:
            tape.reasons[order.reason] += 1
            continue
        is_buy = is_entry(order)
        if is_buy and turn == UNKNOWN:
            return k
        is_away = is_buy and turn == AWAY
        if order.deny == Reason.NONE and not is_away and (is_buy or order.kind == DecisionKind.PLACE):
            limit = _clear_limit(table, order, book, now) if order.lots <= tape.numbers[order.symbol].max_lots else 0
            if limit == 0:
                return k
            order.limit_ticks = limit
            terms.granted += 1
            its.granted += 1
        tape.reasons[order.reason] += 1
        terms.decisions += 1
        deny = order.deny
        if is_away:
            its.turned_away += 1
            continue
        if deny == Reason.NONE:
            deny = carry_out(worlds, tape, k)
            if order.kind == DecisionKind.ENTER:
                count_barren(table.worlds[its.first + order.symbol], deny)
        if deny != Reason.NONE:
            tape.denials[deny] += 1
    return last


@compiled
def first_entry(sized: Record, count: int) -> int:
    """Answer which of so many sized decisions is the first that may put more capital at risk; `count` if none is."""
    for k in range(count):
        if is_entry(sized[k]):
            return k
    return count


@compiled
def _turn(its: Any, terms: Any, now: int) -> int:
    return int(its.turn if now > terms.known_from else its.turn_at_first)


@compiled
def settle_asked(table: Table, worlds: Record, tape: Any, book: int, now: int) -> int:
    """Size all decisions that wait and carry them out in their order; answer as `settle` does."""
    return settle(table, worlds, tape, book, now, 0, size_asked(worlds, tape))


@compiled
def _clear_limit(table: Table, order: Any, book: int, now: int) -> int:
    """Answer the limit in ticks at which no rule could refuse an order; 0 where one might, or might move it elsewhere."""
    its, terms = table.books[book], table.terms[0]
    world = its.first + order.symbol
    w = table.worlds[world]
    if order.limit_ticks <= 0 or order.lots <= 0 or order.lots < w.min_lots or terms.granted >= terms.rate_max:
        return 0
    limit = _limit_inside_rivals(table, order, book, world)
    if limit <= 0 or order.lots * limit * w.quote_units_per_tick_lot < w.min_notional:
        return 0
    if order.side != BUY:
        return limit if order.lots * w.units_per_lot <= w.base_owned - w.base_locked else 0
    # A limit that was lowered costs less, and may lose less, than what is looked at here.
    return limit if _is_affordable(table, order, book, now, world) else 0


@compiled
def _is_affordable(table: Table, order: Any, book: int, now: int, world: int) -> bool:
    """Say whether a buy stays clear of what its book has, and of every cap."""
    its, terms = table.books[book], table.terms[0]
    w = table.worlds[world]
    amount = order.lots * order.limit_ticks * w.quote_units_per_tick_lot
    if amount > table.worlds[its.first].cash - its.leaving:
        return False
    price = order.limit_ticks * w.price_units_per_tick * _UNIT
    expected = price / ENTRY_COLLAR if order.kind == DecisionKind.ENTER else price
    if not _is_below_position_cap(table, order, world, expected):
        return False
    if terms.is_limited == 0:
        return True
    if terms.is_strict == 1 or terms.is_latched == 1 or its.is_latched == 1 or amount > terms.value_max:
        return False
    if w.barren >= terms.repeats_max:
        return False
    if expected > table.closes[table.marked_by[world], now] * (1.0 + terms.collar) * (1.0 - _CLEAR):
        return False
    return _is_below_loss_caps(table, order, book, now, price)


@compiled
def _seen(table: Table, world: int) -> Any:
    return table.shown[world] if table.is_shown[world] == 1 else table.worlds[world]


@compiled
def _limit_inside_rivals(table: Table, order: Any, book: int, world: int) -> int:
    """Answer a limit at which an order meets no other bot's; 0 where there is none, or no room in its market.

    An entry goes one tick below the lowest sale in its way, as long as that covers the price it was sized for.
    """
    live, market, limit = 0, table.markets[world], order.limit_ticks
    for other in range(len(table.worlds)):
        if table.markets[other] != market:
            continue
        w = _seen(table, other)
        live += w.order_count
        if table.owners[other] == book:
            continue
        for k in range(w.order_count):
            rival = w.orders[k]
            if rival.kind == OrderKind.STOP or rival.side == order.side:
                continue
            # Buys have the side 1 and sells -1, so that one comparison serves both.
            if (limit - rival.ticks) * order.side >= 0:
                if order.kind != DecisionKind.ENTER:
                    return 0
                limit = rival.ticks - 1
    if live >= table.terms[0].orders_max:
        return 0
    return int(limit) if limit * ENTRY_COLLAR > order.limit_ticks * (1.0 + _CLEAR) or limit == order.limit_ticks else 0


@compiled
def _is_below_position_cap(table: Table, order: Any, world: int, expected: float) -> bool:
    w = table.worlds[world]
    coin = w.units_per_lot * _UNIT
    exposure = (w.base_owned * _UNIT + order.lots * coin) * expected
    for k in range(w.order_count):
        live = w.orders[k]
        if live.side == BUY:
            exposure += live.lots * coin * (live.ticks * w.price_units_per_tick * _UNIT)
    return bool(exposure <= table.books[table.owners[world]].position_cap * (1.0 - _CLEAR))


@compiled
def _is_below_loss_caps(table: Table, order: Any, book: int, now: int, price: float) -> bool:
    """Say whether book and account stay above their floors if all that is open and this order go as badly as is assumed."""
    terms = table.terms[0]
    w = table.worlds[table.books[book].first + order.symbol]
    fall = price * terms.fall
    if order.stop_ticks > 0:
        fall = min(fall, max(0.0, price - order.stop_ticks * w.price_units_per_tick * _UNIT))
    worst = order.lots * w.units_per_lot * _UNIT * fall
    whole, own = terms.unallocated, 0.0
    for owner in range(len(table.books)):
        left = _left_at_worst(table, owner, now)
        whole += left
        if owner == book:
            own = left
    room = own - worst - table.books[book].floor
    if room <= _CLEAR * (abs(own) + abs(worst) + 1.0):
        return False
    return bool(whole - worst - terms.floor > _CLEAR * (abs(whole) + abs(worst) + 1.0))


@compiled
def _left_at_worst(table: Table, book: int, now: int) -> float:
    """Answer what a book is worth less what may be lost of all it has open."""
    its, fall = table.books[book], table.terms[0].fall
    purse = _seen(table, its.first)
    left = (purse.cash + purse.cash_locked) * _UNIT
    for world in range(its.first, its.first + its.count):
        w = _seen(table, world)
        mark = table.closes[table.marked_by[world], now]
        coin, price_of_tick = w.units_per_lot * _UNIT, w.price_units_per_tick * _UNIT
        held = w.base_owned * _UNIT
        left += held * mark
        for k in range(w.order_count):
            order = w.orders[k]
            if order.side == BUY:
                left -= order.lots * coin * order.ticks * price_of_tick * fall
            elif order.kind == OrderKind.STOP:
                covered = min(held, order.lots * coin)
                left -= covered * min(mark * fall, max(0.0, mark - order.ticks * price_of_tick))
                held -= covered
        left -= held * mark * fall
        # The rules round each worst case up.
        left -= (w.order_count + 1) * _UNIT
    return float(left)
