"""Turn an amount of one quote currency into another by prices that are there; a dollar and a stable coin are two things."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final, NamedTuple

from marketdata.models import Mark
from marketdata.sources import keeping

# A rate older than this is no rate.
AGE_MAX: Final = timedelta(minutes=10)
_PREMIUM: Final = "stable-premium"


class Quoted(NamedTuple):
    """What a base costs in a quote."""

    base: str
    quote: str
    price: Decimal
    # When it arrived, by the wall.
    at: datetime


class Rate(NamedTuple):
    """How much of one asset an other is worth, and how that is known."""

    value: Decimal
    at: datetime
    by: str


class NoRate(LookupError):
    """Raised when no price connects two assets: what cannot be valued is not traded."""

    code = "CONVERSION_UNKNOWN"


def rate_between(of: str, into: str, prices: Iterable[Quoted], *, now: datetime) -> Rate:
    """Find the rate from prices that are fresh: of the pair itself, of its inverse, or over one asset between."""
    if of == into:
        return Rate(Decimal(1), now, "same")
    steps: dict[tuple[str, str], Rate] = {}
    for one in prices:
        if one.price <= 0 or not timedelta(0) <= now - one.at <= AGE_MAX:
            continue
        name = f"{one.base}/{one.quote}"
        for pair, value in (((one.base, one.quote), one.price), ((one.quote, one.base), 1 / one.price)):
            if pair not in steps or one.at > steps[pair].at:
                steps[pair] = Rate(value, one.at, name)
    if (of, into) in steps:
        return steps[of, into]
    between = [
        Rate(
            first.value * steps[middle, into].value,
            min(first.at, steps[middle, into].at),
            f"{first.by}, {steps[middle, into].by}",
        )
        for (start, middle), first in steps.items()
        if start == of and (middle, into) in steps
    ]
    if not between:
        raise NoRate(f"No price of the last {AGE_MAX} connects {of} with {into}.")
    return max(between, key=lambda rate: rate.at)


def conversion_rate(of: str, into: str, *, now: datetime, not_by: str = "") -> Rate:
    """Answer how much of `into` one `of` is worth, by the marks of all markets and the premium of the stable coin.

    Whoever compares a coin's prices says `not_by` that coin: a rate made of the very prices finds no difference.
    """
    marks = Mark.objects.select_related("instrument").filter(
        received_at__gte=now - AGE_MAX, instrument__market__is_synthetic=False
    )
    others = marks.exclude(instrument__base=not_by)
    prices = [Quoted(mark.instrument.base, mark.instrument.quote, mark.price, mark.received_at) for mark in others]
    premium = keeping.known_at(_PREMIUM, "USDT", now)
    if premium is not None:
        prices.append(Quoted("USDT", "USD", Decimal(str(1 + premium.value)), premium.available_at))
    return rate_between(of, into, prices, now=now)
