"""What a strategy is told about its money: one book, filled from exact whole numbers.

The live shell and the backtest fill it with these functions and no others, so that both hand the
step the same floats to the last bit. Amounts are int64 units of 0.00000001.
"""

import math
from typing import Any

import numpy as np

from trading.compilation import compiled
from trading.sizing import whole_lots
from trading.strategy import BUY, MAX_FILLS, MAX_ORDERS, MAX_SYMBOLS, Record, View


@compiled
def clear_book(book: Record) -> None:
    """Empty the book before it is filled for a step."""
    b = book[0]
    b.cash = 0.0
    b.equity = 0.0
    b.gain = 0.0
    b.allocation = 0.0
    b.fee_rate = 0.0
    b.maker_fee_rate = 0.0
    b.half_spread = 0.0
    b.fee_rates[:] = 0.0
    for symbol in range(MAX_SYMBOLS):
        b.quantity[symbol] = 0.0
        b.available[symbol] = 0.0
        b.average_cost[symbol] = 0.0
        b.stop_price[symbol] = 0.0
        b.close[symbol] = 0.0
    b.fill_count = 0
    b.order_count = 0


@compiled
def set_terms(book: Record, fee_ppm: int, maker_fee_ppm: int, half_spread_ppm: int) -> None:
    """Tell the book what trading costs, the same in all of its markets."""
    b = book[0]
    b.fee_rate = fee_ppm / 1e6
    b.maker_fee_rate = maker_fee_ppm / 1e6
    b.half_spread = half_spread_ppm / 1e6
    b.fee_rates[:] = b.fee_rate


@compiled
def set_taker_fee(book: Record, symbol: int, fee_ppm: int) -> None:
    """Tell the book what a taker pays in one market where fees differ. Call it after the terms."""
    b = book[0]
    b.fee_rates[symbol] = fee_ppm / 1e6
    b.fee_rate = max(b.fee_rate, b.fee_rates[symbol])


@compiled
def set_position(
    book: Record,
    numbers: Record,
    symbol: int,
    base_units: int,
    available_units: int,
    cost_units: int,
    stop_price_units: int,
    close: float,
) -> None:
    """Tell the book what it owns in one market; `close` is the last close there was."""
    b = book[0]
    b.quantity[symbol] = base_units / 1e8
    b.available[symbol] = available_units / 1e8
    b.average_cost[symbol] = cost_units / base_units if base_units > 0 else 0.0
    b.stop_price[symbol] = stop_price_units / 1e8
    b.close[symbol] = close
    b.tick[symbol] = numbers[symbol].tick
    b.step[symbol] = numbers[symbol].step
    b.min_notional[symbol] = numbers[symbol].min_notional


@compiled
def set_money(book: Record, allocation_units: int, free_units: int, locked_units: int, gained_units: int) -> None:
    """Tell the book its money and work out its equity and its gain. Call it after the positions.

    `gained_units` is all of its money, whether it may spend it or not, less the capital that was put in and not taken out.
    """
    b = book[0]
    b.allocation = allocation_units / 1e8
    b.cash = free_units / 1e8
    equity = (free_units + locked_units) / 1e8
    gain = gained_units / 1e8
    for symbol in range(MAX_SYMBOLS):
        if b.quantity[symbol] != 0.0:
            equity += b.quantity[symbol] * b.close[symbol]
            gain += b.quantity[symbol] * b.close[symbol]
    b.equity = equity
    b.gain = gain


@compiled
def mark_position(book: Record, symbol: int, close: float, money_units: int, gained_units: int) -> None:
    """Tell a book in which nothing else changed the new close of its only market."""
    b = book[0]
    b.fill_count = 0
    b.close[symbol] = close
    equity = money_units / 1e8
    gain = gained_units / 1e8
    if b.quantity[symbol] != 0.0:
        equity += b.quantity[symbol] * close
        gain += b.quantity[symbol] * close
    b.equity = equity
    b.gain = gain


@compiled
def add_fill(
    book: Record,
    symbol: int,
    slot: int,
    side: int,
    kind: int,
    reason: int,
    base_units: int,
    price_units: int,
    fee_units: int,
) -> bool:
    """Add a fill since the last step, oldest first; the fee is in units of the received asset."""
    b = book[0]
    if b.fill_count >= MAX_FILLS:
        return False
    f = b.fills[b.fill_count]
    f.symbol = symbol
    f.slot = slot
    f.side = side
    f.kind = kind
    f.reason = reason
    f.quantity = base_units / 1e8
    f.price = price_units / 1e8
    if side == BUY:
        f.fee_quote = (fee_units / 1e8) * (price_units / 1e8)
        f.base_change = (base_units - fee_units) / 1e8
    else:
        f.fee_quote = fee_units / 1e8
        f.base_change = -base_units / 1e8
    b.fill_count += 1
    return True


@compiled
def charge_in_quote(book: Record, base_units: int, fee_units: int) -> None:
    """Have the buy that was told last keep all of its base: its fee is in units of quote."""
    b = book[0]
    f = b.fills[b.fill_count - 1]
    f.fee_quote = fee_units / 1e8
    f.base_change = base_units / 1e8


@compiled
def add_order(
    book: Record,
    symbol: int,
    slot: int,
    side: int,
    kind: int,
    price_units: int,
    remaining_units: int,
    filled_units: int,
) -> bool:
    """Add a live order, oldest first."""
    b = book[0]
    if b.order_count >= MAX_ORDERS:
        return False
    o = b.orders[b.order_count]
    o.symbol = symbol
    o.slot = slot
    o.side = side
    o.kind = kind
    o.price = price_units / 1e8
    o.quantity_remaining = remaining_units / 1e8
    o.quantity_filled = filled_units / 1e8
    b.order_count += 1
    return True


@compiled
def veil(book: Record, numbers: Record, symbols: int, view: int) -> None:
    """Take from a filled book what its strategy may not see; buys end with the turn, so no view but the whole has any.

    Whoever fills it for less than the whole view tells no fills where nothing is shown: they come with the next candle.
    Money that moves is no gain, so the gain is shown with what is held; where that is sold or handed on, nobody knows it.
    """
    if view == View.WHOLE:
        return
    b = book[0]
    if view == View.NOTHING:
        b.order_count = 0
        b.gain = math.nan
        for symbol in range(symbols):
            b.quantity[symbol] = 0.0
            b.available[symbol] = 0.0
            b.average_cost[symbol] = 0.0
            b.stop_price[symbol] = 0.0
    _leave_out_buys(b)
    held, is_flat = 0.0, True
    for symbol in range(symbols):
        if b.quantity[symbol] != 0.0:
            held += b.quantity[symbol] * b.close[symbol]
            is_flat = is_flat and not _is_saleable(b.quantity[symbol], b.close[symbol], numbers[symbol])
    if view == View.MONEY_WHILE_HOLDING and not is_flat:
        # What buys had reserved is free again.
        b.cash = b.equity - held
        return
    b.cash = 0.0
    b.equity = held
    b.allocation = held


@compiled
def _is_saleable(quantity: float, close: float, instrument: Any) -> bool:
    """Say whether the exchange would take a sale of all whole lots."""
    lots = whole_lots(quantity, instrument)
    return bool(lots > 0 and lots >= instrument.min_lots and lots * instrument.step * close >= instrument.min_notional)


@compiled
def _leave_out_buys(b: Any) -> None:
    left = 0
    for k in range(b.order_count):
        if b.orders[k].side == BUY:
            continue
        o, its = b.orders[left], b.orders[k]
        o.symbol = its.symbol
        o.slot = its.slot
        o.side = its.side
        o.kind = its.kind
        o.price = its.price
        o.quantity_remaining = its.quantity_remaining
        o.quantity_filled = its.quantity_filled
        left += 1
    b.order_count = left


def units_of(quantity: float) -> int:
    """Count the units of a float that was made from units."""
    return int(np.rint(quantity * 1e8))
