"""Compare one coin on two exchanges: what the difference is in one money, and what would be left of it after fees."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from itertools import combinations
from typing import Final

from marketdata import selectors
from marketdata.conversion import NoRate, Rate, conversion_rate
from marketdata.models import Instrument, Mark, Market

_MILLION: Final = Decimal(10**6)
_DIGITS: Final = Decimal("0.000001")
NO_RATE: Final = "no price connects them"


@dataclass(frozen=True, slots=True)
class Priced:
    """What a coin costs on one exchange, and why that may be wrong."""

    exchange: str
    symbol: str
    price: Decimal
    received_at: datetime
    doubt: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """One coin on two exchanges, in the money of the first."""

    base: str
    first: Priced
    second: Priced
    rate: Decimal | None
    rate_by: str
    difference: Decimal | None
    left_buying_first: Decimal | None
    left_buying_second: Decimal | None


def comparisons(*, now: datetime) -> list[Comparison]:
    """Compare every coin that more than one market is followed for; a dollar and a stable coin are never taken for one."""
    markets = selectors.markets_to_feed()
    doubts = {market: selectors.prices(market, now=now) for market in markets}
    by_base: defaultdict[str, list[Mark]] = defaultdict(list)
    rows = Mark.objects.filter(instrument__market__in=markets).select_related("instrument__market")
    for mark in rows.order_by("instrument__market_id", "instrument__symbol"):
        by_base[mark.instrument.base].append(mark)
    found = []
    for base, marks in sorted(by_base.items()):
        for first, second in combinations(marks, 2):
            if first.instrument.market_id != second.instrument.market_id:
                pair = [_priced(mark, doubts[mark.instrument.market_id]) for mark in (first, second)]
                found.append(_compare(base, (first.instrument, second.instrument), (pair[0], pair[1]), now=now))
    return found


def left_over(buy: Decimal, sell: Decimal, *, bought_on: Market, sold_on: Market) -> Decimal:
    """Answer what is left, as a share, of money that buys at one price and sells at another, after fees and half spreads."""
    paid = buy * (1 + _share(bought_on.half_spread_ppm)) * (1 + _share(bought_on.taker_fee_ppm))
    got = sell * (1 - _share(sold_on.half_spread_ppm)) * (1 - _share(sold_on.taker_fee_ppm))
    return got / paid - 1


def _compare(base: str, places: tuple[Instrument, Instrument], pair: tuple[Priced, Priced], *, now: datetime) -> Comparison:
    (first, second), (here, there) = places, pair
    try:
        rate: Rate = conversion_rate(second.quote, first.quote, now=now, not_by=base)
    except NoRate:
        return Comparison(base, here, there, None, NO_RATE, None, None, None)
    dearer = there.price * rate.value
    buying_first = left_over(here.price, dearer, bought_on=first.market, sold_on=second.market)
    buying_second = left_over(dearer, here.price, bought_on=second.market, sold_on=first.market)
    shares = [value.quantize(_DIGITS) for value in (dearer / here.price - 1, buying_first, buying_second)]
    return Comparison(base, here, there, rate.value.quantize(_DIGITS), rate.by, *shares)


def _priced(mark: Mark, prices: dict[int, selectors.Price]) -> Priced:
    instrument = mark.instrument
    known = prices.get(instrument.pk)
    return Priced(instrument.market.exchange, instrument.symbol, mark.price, mark.received_at, known.trouble if known else "")


def _share(ppm: int) -> Decimal:
    return Decimal(ppm) / _MILLION
