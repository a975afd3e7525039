"""The backtest's world: one account, one market, its live orders and its journal of fills.

All amounts are int64: prices in ticks, quantities in lots, balances in units of 0.00000001.
"""

from typing import Any, Final, NamedTuple

from trading.bars import Floats, Times
from trading.compilation import compiled
from trading.costs import fee_units
from trading.frictions import TIERS_MAX
from trading.strategy import BUY, MAX_ORDERS, OrderKind, Reason, Record, record_dtype

# Levels that no price meets.
NEVER_FALLING: Final = -1
NEVER_RISING: Final = 2**62

# Whole days that a fee tier looks back on.
DAYS: Final = 30

TIER_DTYPE: Final = record_dtype([("volume", "i8"), ("taker_ppm", "i8"), ("maker_ppm", "i8")])

# What became of orders of one kind: how many there were and how many were filled whole, in lots as well.
TALLY_DTYPE: Final = record_dtype([("orders", "i8"), ("filled", "i8"), ("lots", "i8"), ("lots_filled", "i8")])

ORDER_DTYPE: Final = record_dtype(
    [
        ("id", "i8"),
        ("slot", "i8"),
        ("side", "i8"),
        ("kind", "i8"),
        ("ticks", "i8"),
        ("lots", "i8"),
        ("lots_filled", "i8"),
        ("reason", "i8"),
    ]
)

WORLD_DTYPE: Final = record_dtype(
    [
        # Which market this is, where there are several.
        ("symbol", "i8"),
        # Where the walk is: the next base bar, whether its open was matched, the bar to step.
        ("cursor", "i8"),
        ("opened", "i8"),
        ("bar", "i8"),
        ("status", "i8"),
        ("first_bar", "i8"),
        ("tick_now", "i8"),
        ("time_now", "i8"),
        ("bar_time", "i8"),
        ("bar_length", "i8"),
        ("last_close", "f8"),
        # Terms.
        ("allocation", "i8"),
        ("taker_ppm", "i8"),
        ("maker_ppm", "i8"),
        ("half_spread_ppm", "i8"),
        ("slippage_ppm", "i8"),
        ("participation_ppm", "i8"),
        ("units_per_lot", "i8"),
        ("price_units_per_tick", "i8"),
        ("quote_units_per_tick_lot", "i8"),
        ("min_notional", "i8"),
        ("min_lots", "i8"),
        # Money.
        ("cash", "i8"),
        ("cash_locked", "i8"),
        # What was put in and not taken out again, in whole units, rounded up.
        ("capital", "i8"),
        # What of the cash is on its way out of the book and not the strategy's to spend, in whole units, rounded up.
        ("leaving", "i8"),
        ("base_owned", "i8"),
        ("base_locked", "i8"),
        ("cost", "i8"),
        # Orders and fills.
        ("budget_lots", "i8"),
        ("depth_lots", "i8"),
        ("next_id", "i8"),
        ("order_count", "i8"),
        ("fill_count", "i8"),
        ("fills_told", "i8"),
        ("orders_refused", "i8"),
        # Whether the book must be told anew, and whether the two levels below are those of the orders:
        # a falling price meets no order above `fall_ticks`, a rising one none below `rise_ticks`.
        ("is_told", "i8"),
        ("levels_known", "i8"),
        ("fall_ticks", "i8"),
        ("rise_ticks", "i8"),
        # Whether decisions are left to a coordinator instead of carried out, and how many wait for it now. Such a market
        # also stops before a bar that meets its orders, until it is let pass.
        ("asks", "i8"),
        ("asked", "i8"),
        ("passes", "i8"),
        # From when on and until when entries are turned away on the way because another bot has the turn, and how many were.
        ("away_from", "i8"),
        ("away_until", "i8"),
        ("turned_away", "i8"),
        # How much of its book the strategy is shown at bars that open up to a moment.
        ("veil", "i8"),
        ("veiled_until", "i8"),
        # Entries in a row that gave no position, for the rules of an account.
        ("barren", "i8"),
        # Bars in which a falling and a rising price both met an order, and those whose details told which came first.
        ("ambiguous", "i8"),
        ("resolved", "i8"),
        ("has_details", "i8"),
        # Frictions; whether there are any at all, then what `trading.frictions` calls them.
        ("is_rough", "i8"),
        ("reads_moves", "i8"),
        ("volatility_ppm", "i8"),
        ("impact_ppm", "i8"),
        ("sigma_ppm", "i8"),
        ("mean_lots", "i8"),
        ("fee_in_quote", "i8"),
        ("rest_rule", "i8"),
        ("latency_ms", "i8"),
        # The highest fee, which limit orders reserve where fees are taken in quote; quote traded per day, and the tiers.
        ("lock_ppm", "i8"),
        ("tier_count", "i8"),
        ("tiers", TIER_DTYPE, (TIERS_MAX + 1,)),
        ("day", "i8"),
        ("volume_today", "i8"),
        ("volumes", "i8", (DAYS,)),
        # Decisions on their way to the exchange, and when they arrive.
        ("sent", "i8"),
        ("arrives_at", "i8"),
        # What is left of a market order and waits for the next candle's volume.
        ("rest_lots", "i8"),
        ("rest_side", "i8"),
        ("rest_kind", "i8"),
        ("rest_limit", "i8"),
        ("rest_stop", "i8"),
        ("rest_reason", "i8"),
        ("rest_id", "i8"),
        # By kind of order.
        ("tallies", TALLY_DTYPE, (max(OrderKind) + 1,)),
        # One more than may rest: the record of an order that is filled at once.
        ("orders", ORDER_DTYPE, (MAX_ORDERS + 1,)),
    ]
)

JOURNAL_DTYPE: Final = record_dtype(
    [
        ("time", "i8"),
        ("symbol", "i8"),
        ("order_id", "i8"),
        ("slot", "i8"),
        ("side", "i8"),
        ("kind", "i8"),
        ("reason", "i8"),
        ("lots", "i8"),
        ("ticks", "i8"),
        ("fee", "i8"),
        ("cash_after", "i8"),
        ("base_after", "i8"),
        # The stop that an entry came with; zero for none, and for every other fill.
        ("stop_ticks", "i8"),
    ]
)


class Tape(NamedTuple):
    """What the walk reads and writes; one array each, allocated before it starts."""

    # Per base bar: open time, open, high, low, close in ticks, volume in lots, and the strategy
    # bar that closes where this base bar opens (-1: none).
    times: Times
    ticks: Times
    volume_lots: Times
    closes: Times
    panel: Floats
    book: Record
    decisions: Record
    sized: Record
    numbers: Record
    journal: Record
    # Per strategy bar: equity and position at its close.
    equity: Floats
    position: Floats
    # How often each reason was given, and each denial.
    reasons: Times
    denials: Times


@compiled
def record_fill(w: Any, journal: Record, order: Any, lots: int, ticks: int, fee_ppm: int) -> None:
    """Move the money of a fill and write it down; what was locked for it is the caller's."""
    amount = lots * ticks * w.quote_units_per_tick_lot
    base = lots * w.units_per_lot
    if w.tier_count > 0:
        w.volume_today += amount
    if order.side == BUY and w.fee_in_quote == 1:
        fee = fee_units(amount, fee_ppm)
        w.cash -= amount + fee
        w.base_owned += base
        w.cost += amount + fee
    elif order.side == BUY:
        fee = fee_units(base, fee_ppm)
        w.cash -= amount
        w.base_owned += base - fee
        w.cost += amount
    else:
        fee = fee_units(amount, fee_ppm)
        w.cash += amount - fee
        # The cost basis is shown, never decided on, so a float ratio is exact enough.
        w.cost = int(w.cost * ((w.base_owned - base) / w.base_owned)) if w.base_owned > base else 0
        w.base_owned -= base
    w.is_told = 0
    entry = journal[w.fill_count]
    entry.time = w.time_now
    entry.symbol = w.symbol
    entry.order_id = order.id
    entry.slot = order.slot
    entry.side = order.side
    entry.kind = order.kind
    entry.reason = order.reason
    entry.lots = lots
    entry.ticks = ticks
    entry.fee = fee
    entry.cash_after = w.cash + w.cash_locked
    entry.base_after = w.base_owned
    entry.stop_ticks = 0
    w.fill_count += 1
    w.tallies[order.kind].lots_filled += lots


@compiled
def add_order(w: Any, slot: int, side: int, kind: int, ticks: int, lots: int, reason: int) -> bool:
    """Rest an order on the market and lock what it may need."""
    if w.order_count >= MAX_ORDERS:
        return False
    order = w.orders[w.order_count]
    order.id = w.next_id
    order.slot = slot
    order.side = side
    order.kind = kind
    order.ticks = ticks
    order.lots = lots
    order.lots_filled = 0
    order.reason = reason
    w.next_id += 1
    w.order_count += 1
    _forget_levels(w)
    _lock(w, order, 0, lots)
    count_order(w, kind, lots)
    return True


@compiled
def count_order(w: Any, kind: int, lots: int) -> None:
    """Count an order that the exchange took."""
    w.tallies[kind].orders += 1
    w.tallies[kind].lots += lots


@compiled
def remove_order(w: Any, k: int) -> None:
    """Take an order off the market and unlock what is left of it."""
    _lock(w, w.orders[k], w.orders[k].lots, 0)
    for after in range(k + 1, w.order_count):
        _copy(w.orders[after - 1], w.orders[after])
    w.order_count -= 1
    _forget_levels(w)


@compiled
def fill_resting(w: Any, journal: Record, k: int, lots: int) -> None:
    """Fill some lots of a resting limit order at its own price."""
    order = w.orders[k]
    _lock(w, order, order.lots, order.lots - lots)
    record_fill(w, journal, order, lots, order.ticks, w.maker_ppm)
    order.lots -= lots
    order.lots_filled += lots
    if order.lots == 0:
        w.tallies[order.kind].filled += 1
        remove_order(w, k)


@compiled
def cancel_sells(w: Any) -> None:
    """Take every sell order off the market, stops included."""
    for k in range(w.order_count - 1, -1, -1):
        if w.orders[k].side != BUY:
            remove_order(w, k)


@compiled
def cancel_stops(w: Any) -> None:
    """Take every stop off the market."""
    for k in range(w.order_count - 1, -1, -1):
        if w.orders[k].kind == OrderKind.STOP:
            remove_order(w, k)


@compiled
def free_lots(w: Any) -> int:
    """Count the whole lots that are owned and not locked."""
    return int((w.base_owned - w.base_locked) // w.units_per_lot)


@compiled
def learn_levels(w: Any) -> None:
    """Find how far the price must fall or rise until it meets the first order."""
    fall, rise = NEVER_FALLING, NEVER_RISING
    for k in range(w.order_count):
        order = w.orders[k]
        if order.kind == OrderKind.STOP:
            fall = max(fall, order.ticks)
        elif order.side == BUY:
            fall = max(fall, order.ticks - 1)
        else:
            rise = min(rise, order.ticks + 1)
    w.fall_ticks = fall
    w.rise_ticks = rise
    w.levels_known = 1


@compiled
def _forget_levels(w: Any) -> None:
    w.is_told = 0
    w.levels_known = 0


@compiled
def buy_cost(w: Any, lots: int, ticks: int) -> int:
    """Answer what a buy may cost at the most: its fee counts where it is taken on top."""
    amount = lots * ticks * w.quote_units_per_tick_lot
    if w.fee_in_quote == 1:
        amount += fee_units(amount, w.lock_ppm)
    return int(amount)


@compiled
def count_barren(w: Any, deny: int) -> None:
    """Count entries in a row that expired unfilled."""
    w.barren = w.barren + 1 if deny == Reason.ORDER_EXPIRED else 0


@compiled
def own_cash(w: Any) -> int:
    """Answer the free cash less what is on its way out of the book."""
    return int(max(w.cash - w.leaving, 0))


@compiled
def stop_ticks(w: Any) -> int:
    """Answer the price of the live stop, or zero."""
    for k in range(w.order_count):
        if w.orders[k].kind == OrderKind.STOP:
            return int(w.orders[k].ticks)
    return 0


@compiled
def _lock(w: Any, order: Any, before: int, after: int) -> None:
    """Change what an order has locked from so many lots to so many."""
    if order.side == BUY:
        amount = buy_cost(w, after, order.ticks) - buy_cost(w, before, order.ticks)
        w.cash -= amount
        w.cash_locked += amount
    else:
        w.base_locked += (after - before) * w.units_per_lot


@compiled
def _copy(target: Any, source: Any) -> None:
    target.id = source.id
    target.slot = source.slot
    target.side = source.side
    target.kind = source.kind
    target.ticks = source.ticks
    target.lots = source.lots
    target.lots_filled = source.lots_filled
    target.reason = source.reason
