"""What a market trades in: its names, its grid of prices and quantities, its limits."""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import ROUND_FLOOR, Decimal
from difflib import get_close_matches
from typing import Final

import numpy as np

from trading.strategy import Record, record_dtype

UNITS_PER_ONE: Final = 100_000_000
UNIT: Final = Decimal("0.00000001")

INSTRUMENT_DTYPE: Final = record_dtype(
    [
        ("tick", "f8"),
        ("step", "f8"),
        ("min_notional", "f8"),
        ("min_lots", "i8"),
        ("max_lots", "i8"),
        ("min_notional_units", "i8"),
        ("units_per_lot", "i8"),
        ("price_units_per_tick", "i8"),
        ("quote_units_per_tick_lot", "i8"),
    ]
)


class UnknownSymbol(ValueError):
    """No known market answers to this spelling."""


class OffGrid(ValueError):
    """A price or quantity is no whole number of ticks or lots."""


@dataclass(frozen=True, slots=True)
class Instrument:
    """A market and its filters."""

    symbol: str
    base: str
    quote: str
    tick_size: Decimal
    lot_size: Decimal
    min_quantity: Decimal
    max_quantity: Decimal
    min_notional: Decimal

    def __post_init__(self) -> None:
        for name in ("tick_size", "lot_size", "max_quantity"):
            value = getattr(self, name)
            if not (value.is_finite() and value > 0):
                raise ValueError(f"{self.symbol}: {name} must be above zero, not {value}")
        for name in ("min_quantity", "min_notional"):
            value = getattr(self, name)
            if not (value.is_finite() and value >= 0):
                raise ValueError(f"{self.symbol}: {name} must not be below zero, not {value}")

    def lots(self, quantity: Decimal) -> int:
        """Count the lots of a quantity that is a whole number of them."""
        return _whole(quantity, self.lot_size, f"{self.symbol}: quantity {quantity} in lots")

    def lots_floor(self, quantity: Decimal) -> int:
        """Count the whole lots that fit into the quantity."""
        return int((quantity / self.lot_size).to_integral_value(ROUND_FLOOR))

    def quantity(self, lots: int) -> Decimal:
        """Turn lots into a quantity of the base asset."""
        return self.lot_size * lots

    def ticks(self, price: Decimal) -> int:
        """Count the ticks of a price that is a whole number of them."""
        return _whole(price, self.tick_size, f"{self.symbol}: price {price} in ticks")

    def ticks_floor(self, price: Decimal) -> int:
        """Count the whole ticks that fit under the price."""
        return int((price / self.tick_size).to_integral_value(ROUND_FLOOR))

    def price(self, ticks: int) -> Decimal:
        """Turn ticks into a price in the quote asset."""
        return self.tick_size * ticks


def instrument_numbers(*instruments: Instrument) -> Record:
    """Turn instruments into the records that compiled code reads, one each."""
    numbers = np.zeros(len(instruments), dtype=INSTRUMENT_DTYPE)
    for row, instrument in zip(numbers, instruments, strict=True):
        row.tick = float(instrument.tick_size)
        row.step = float(instrument.lot_size)
        row.min_notional = float(instrument.min_notional)
        row.min_lots = max(1, -instrument.lots_floor(-instrument.min_quantity))
        row.max_lots = instrument.lots_floor(instrument.max_quantity)
        row.min_notional_units = units(instrument.min_notional)
        row.units_per_lot = units(instrument.lot_size)
        row.price_units_per_tick = units(instrument.tick_size)
        row.quote_units_per_tick_lot = units(instrument.tick_size * instrument.lot_size)
    return numbers


def units(amount: Decimal) -> int:
    """Count the 0.00000001 units of an amount exactly."""
    return _whole(amount, UNIT, f"amount {amount} in units of {UNIT}")


def whole_units(amount: Decimal) -> int:
    """Count the whole 0.00000001 units of an amount, rounded down below zero as well."""
    count, rest = divmod(amount, UNIT)
    return int(count) - (1 if rest < 0 else 0)


def amount(count: int) -> Decimal:
    """Turn a count of 0.00000001 units into an exact amount."""
    return Decimal(count).scaleb(-8)


def find_instrument(text: str, known: Iterable[Instrument]) -> Instrument:
    """Find the market a person means by `BTC/USDT`, `BTC-USDT`, `btc_usdt` or `BTCUSDT`."""
    # The quote asset is never cut off the end of the string: `BTCFDUSD` ends in USD too.
    wanted = _squeezed(text)
    by_name = {_squeezed(instrument.symbol): instrument for instrument in known}
    if wanted in by_name:
        return by_name[wanted]
    close = get_close_matches(wanted, by_name, n=1)
    hint = f" Did you mean {by_name[close[0]].symbol}?" if close else ""
    names = ", ".join(sorted(instrument.symbol for instrument in by_name.values()))
    raise UnknownSymbol(f"Unknown symbol {text!r}.{hint} Known: {names or 'none'}.")


def _squeezed(text: str) -> str:
    return "".join(letter for letter in text.upper() if letter not in "/-_ ")


def _whole(value: Decimal, size: Decimal, what: str) -> int:
    if not value.is_finite():
        raise OffGrid(f"{what}: not a finite number")
    count, rest = divmod(value, size)
    if rest:
        raise OffGrid(f"{what}: not a whole number of {size}")
    return int(count)
