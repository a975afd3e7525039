"""Amounts as the exchange keeps them: whole units of 1e-8, written with eight decimals."""

import re
from typing import Final

UNIT: Final = 100_000_000
DECIMALS: Final = 8
LEGAL_RANGE: Final = r"^([0-9]{1,20})(\.[0-9]{1,20})?$"

_AMOUNT = re.compile(r"([0-9]{1,20})(?:\.([0-9]{1,20}))?", re.ASCII)
_UNITS_PER_PPM: Final = 100


class IllegalAmount(ValueError):
    """This text is no plain decimal number."""


class TooPrecise(ValueError):
    """This number has more than eight decimals."""


def parse(text: str) -> int:
    """Read a plain decimal number as units."""
    match = _AMOUNT.fullmatch(text)
    if match is None:
        raise IllegalAmount(text)
    whole, fraction = match.group(1), (match.group(2) or "").rstrip("0")
    if len(fraction) > DECIMALS:
        raise TooPrecise(text)
    return int(whole) * UNIT + int(fraction.ljust(DECIMALS, "0"))


def parse_signed(text: str) -> int:
    """Read a decimal number that may be below zero as units."""
    return -parse(text[1:]) if text.startswith("-") else parse(text)


def text(units: int) -> str:
    """Write units with eight decimals."""
    if units < 0:
        return "-" + text(-units)
    return f"{units // UNIT}.{units % UNIT:08d}"


def parse_rate(text_of_rate: str) -> int:
    """Read a rate such as 0.001 as parts per million."""
    units = parse(text_of_rate)
    finer = _UNITS_PER_PPM
    if units % finer or units >= UNIT:
        raise IllegalAmount(text_of_rate)
    return units // finer


def rate_text(parts_per_million: int) -> str:
    """Write parts per million as a rate with eight decimals."""
    return text(parts_per_million * _UNITS_PER_PPM)


def product(price: int, quantity: int) -> int:
    """Multiply a price by a quantity; the listing's grid makes the result whole."""
    return price * quantity // UNIT
