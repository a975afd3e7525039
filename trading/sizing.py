"""Turn a strategy's wish into a number of lots, or say why not; the same live and backtested."""

import math
from typing import Any, Final

from trading.compilation import compiled
from trading.strategy import (
    BUY,
    DecisionKind,
    Reason,
    Record,
    record_dtype,
)

COLLAR: Final = 1.01
# A price computed in floats may sit a hair below the tick it means.
TICK_SLACK: Final = 1e-9

SIZED_DTYPE: Final = record_dtype(
    [
        ("kind", "i8"),
        ("symbol", "i8"),
        ("slot", "i8"),
        ("side", "i8"),
        ("lots", "i8"),
        ("limit_ticks", "i8"),
        ("stop_ticks", "i8"),
        ("reason", "i8"),
        # Reason.NONE when the decision may become an order.
        ("deny", "i8"),
    ]
)


@compiled
def size_decisions(decisions: Record, count: int, book: Record, numbers: Record, sized: Record) -> int:
    """Size all decisions of one step in order; each reserves what the later ones lack."""
    for k in range(count):
        decision = decisions[k]
        lots, limit_ticks, stop_ticks, deny = size_decision(decision, book[0], numbers[decision.symbol])
        order = sized[k]
        order.kind = decision.kind
        order.symbol = decision.symbol
        order.slot = decision.slot
        order.side = _side(decision)
        order.lots = lots
        order.limit_ticks = limit_ticks
        order.stop_ticks = stop_ticks
        order.reason = decision.reason
        order.deny = deny
    return count


@compiled
def size_decision(decision: Any, book: Any, instrument: Any) -> tuple[int, int, int, int]:
    """Answer lots, limit in ticks, stop in ticks and why it is denied; reserve in the book."""
    if decision.kind == DecisionKind.ENTER:
        return _size_entry(decision, book, instrument)
    if decision.kind == DecisionKind.EXIT:
        return _size_exit(decision, book, instrument)
    if decision.kind == DecisionKind.PLACE:
        return _size_limit(decision, book, instrument)
    if decision.kind == DecisionKind.MOVE_STOP:
        return _size_stop(decision, book, instrument)
    return 0, 0, 0, Reason.NONE.value


@compiled
def whole_lots(quantity: float, instrument: Any) -> int:
    """Count the whole lots in a quantity that was made from exact units."""
    return round(quantity * 1e8) // int(instrument.units_per_lot)


@compiled
def _side(decision: Any) -> int:
    if decision.kind == DecisionKind.PLACE:
        return int(decision.side)
    return 1 if decision.kind == DecisionKind.ENTER else -1


@compiled
def _size_entry(decision: Any, book: Any, instrument: Any) -> tuple[int, int, int, int]:
    symbol = decision.symbol
    entry = book.close[symbol] * (1.0 + book.half_spread)
    limit_ticks = _ticks_floor(entry * COLLAR, instrument)
    stop_ticks = _ticks_floor(decision.stop, instrument)
    # A NaN compares as false, so that it is refused here and nowhere later.
    if not (entry > 0.0 and decision.stop >= 0.0 and entry > decision.stop):
        return 0, limit_ticks, stop_ticks, Reason.SIGNAL_INVALID.value
    cap = decision.share * book.allocation / entry - book.quantity[symbol]
    if decision.risk_share > 0.0 and decision.stop > 0.0:
        cap = min(cap, decision.risk_share * book.equity / (entry - decision.stop))
    limit = limit_ticks * instrument.tick
    affordable = book.cash / (limit * (1.0 + book.fee_rate))
    if not (math.isfinite(cap) and math.isfinite(affordable)):
        return 0, limit_ticks, stop_ticks, Reason.SIGNAL_INVALID.value
    lots = math.floor(min(cap, affordable) / instrument.step)
    deny = _entry_denial(lots, cap, affordable, entry, decision.stop, instrument)
    if deny != Reason.NONE:
        return 0, limit_ticks, stop_ticks, deny
    book.cash -= lots * instrument.step * limit * (1.0 + book.fee_rate)
    return lots, limit_ticks, stop_ticks, Reason.NONE.value


@compiled
def _entry_denial(lots: int, cap: float, affordable: float, entry: float, stop: float, instrument: Any) -> int:
    # The position must still be saleable at its stop, one lot lighter for the fee taken in base.
    worst = stop if stop > 0.0 else entry
    small = lots * instrument.step * entry < instrument.min_notional
    small = small or (lots - 1) * instrument.step * worst < instrument.min_notional
    if lots > instrument.max_lots:
        return Reason.FILTER_LOT_SIZE.value
    if lots >= instrument.min_lots and not small:
        return Reason.NONE.value
    if affordable < cap:
        return Reason.CAPITAL_INSUFFICIENT.value
    if cap < instrument.step:
        return Reason.RISK_POSITION_CAP.value
    return Reason.FILTER_MIN_NOTIONAL.value


@compiled
def _size_exit(decision: Any, book: Any, instrument: Any) -> tuple[int, int, int, int]:
    symbol = decision.symbol
    owned = whole_lots(book.quantity[symbol], instrument)
    lots = owned
    if decision.quantity > 0.0:
        lots = min(owned, whole_lots(decision.quantity, instrument))
    stop_ticks = _ticks_floor(decision.stop, instrument)
    if lots <= 0:
        return 0, 0, stop_ticks, Reason.POSITION_EMPTY.value
    if not _sellable(lots, book.close[symbol], instrument):
        return 0, 0, stop_ticks, Reason.FILTER_MIN_NOTIONAL.value
    book.quantity[symbol] -= lots * instrument.units_per_lot / 1e8
    book.available[symbol] = book.quantity[symbol]
    return lots, 0, stop_ticks, Reason.NONE.value


@compiled
def _size_limit(decision: Any, book: Any, instrument: Any) -> tuple[int, int, int, int]:
    symbol = decision.symbol
    if not (decision.limit > 0.0 and math.isfinite(decision.limit)):
        return 0, 0, 0, Reason.SIGNAL_INVALID.value
    ticks = _ticks_floor(decision.limit, instrument) if decision.side == BUY else -_ticks_floor(-decision.limit, instrument)
    price = ticks * instrument.tick
    quantity = decision.quantity
    if quantity <= 0.0:
        quantity = decision.share * book.allocation / decision.limit
    if not (math.isfinite(quantity) and ticks > 0):
        return 0, ticks, 0, Reason.SIGNAL_INVALID.value
    lots = whole_lots(quantity, instrument)
    if decision.side != BUY:
        lots = min(lots, whole_lots(book.available[symbol], instrument))
    if lots > instrument.max_lots:
        return 0, ticks, 0, Reason.FILTER_LOT_SIZE.value
    if lots < instrument.min_lots or lots * instrument.step * price < instrument.min_notional:
        return 0, ticks, 0, Reason.FILTER_MIN_NOTIONAL.value
    if decision.side == BUY:
        if lots * instrument.step * price > book.cash:
            return 0, ticks, 0, Reason.CAPITAL_INSUFFICIENT.value
        book.cash -= lots * instrument.step * price
    else:
        book.available[symbol] -= lots * instrument.units_per_lot / 1e8
    return lots, ticks, 0, Reason.NONE.value


@compiled
def _size_stop(decision: Any, book: Any, instrument: Any) -> tuple[int, int, int, int]:
    # The engine counts the lots again when it places the stop: all that are then available.
    symbol = decision.symbol
    if not (decision.stop > 0.0 and math.isfinite(decision.stop)):
        return 0, 0, 0, Reason.SIGNAL_INVALID.value
    stop_ticks = _ticks_floor(decision.stop, instrument)
    lots = whole_lots(book.quantity[symbol], instrument)
    if lots <= 0:
        return 0, 0, stop_ticks, Reason.POSITION_EMPTY.value
    if not _sellable(lots, stop_ticks * instrument.tick, instrument):
        return 0, 0, stop_ticks, Reason.FILTER_MIN_NOTIONAL.value
    return lots, 0, stop_ticks, Reason.NONE.value


@compiled
def _sellable(lots: int, price: float, instrument: Any) -> bool:
    if lots < instrument.min_lots or lots > instrument.max_lots:
        return False
    return bool(lots * instrument.step * price >= instrument.min_notional)


@compiled
def _ticks_floor(price: float, instrument: Any) -> int:
    if not math.isfinite(price):
        return 0
    ticks: int = math.floor(price / instrument.tick + TICK_SLACK)
    return ticks
