"""What came of each trade: from flat to flat, or buy and sell of one gap of a grid; exact."""

from collections import defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, NamedTuple, Protocol

ZERO: Final = Decimal(0)


class FillLike(Protocol):
    """What a fill must tell to be counted."""

    @property
    def time(self) -> int:
        """Market time, UTC milliseconds."""

    @property
    def side(self) -> str:
        """`buy` or `sell`."""

    @property
    def quantity(self) -> Decimal:
        """In the base asset, before fees."""

    @property
    def price(self) -> Decimal:
        """In the quote asset."""

    @property
    def fee(self) -> Decimal:
        """In the asset received, or in quote."""

    @property
    def fee_asset(self) -> str:
        """What the fee was taken in."""

    @property
    def symbol(self) -> str:
        """The market, such as BTC/USDT."""

    @property
    def slot(self) -> int:
        """The grid's slot, or -1."""

    @property
    def reason(self) -> str:
        """Why the order was sent."""

    @property
    def stop_price(self) -> Decimal | None:
        """The stop that an entry came with."""


class RoundTrip(NamedTuple):
    """A closed trade; `profit` is net of both fees, dust that a fee left behind not counted."""

    opened: int
    closed: int
    cost: Decimal
    profit: Decimal
    reason: str
    # What was bought in all, before fees, and where.
    quantity: Decimal = ZERO
    symbol: str = ""
    # What its entries would have lost at the stops they came with, before fees; None where one came with none, or below it.
    risk: Decimal | None = None

    @property
    def multiple(self) -> float | None:
        """Answer the profit in R: as a multiple of what was risked at first."""
        return None if self.risk is None else float(self.profit / self.risk)

    @property
    def entry_price(self) -> Decimal:
        """Answer the mean price of what was bought."""
        return self.cost / self.quantity

    @property
    def part(self) -> float:
        """Answer the profit as a part of what was paid."""
        return float(self.profit / self.cost)


@dataclass(frozen=True, slots=True)
class GridResult:
    """A grid's result in its two parts; they add up to the change of the equity."""

    matched_pairs: int
    grid_profit: Decimal
    inventory_profit: Decimal


class _Lot(NamedTuple):
    time: int
    # What is left of the buy: base after the fee, and what was paid for it.
    base: Decimal
    paid: Decimal
    # The same before the fee.
    quantity: Decimal


def round_trips(fills: Iterable[FillLike], lot_size: Decimal, held: Decimal = ZERO) -> list[RoundTrip]:
    """Follow one position from flat to flat; flat means less than a lot, as what is `held` before the first fill must be."""
    trips: list[RoundTrip] = []
    owned, spent, earned, bought = held, ZERO, ZERO, ZERO
    risks: list[Decimal | None] = []
    opened: int | None = None
    for fill in fills:
        amount = fill.quantity * fill.price
        if fill.side == "buy":
            opened = fill.time if opened is None else opened
            owned += fill.quantity - _fee_in_base(fill)
            bought += fill.quantity
            spent += amount + _fee_on_top(fill)
            risks.append(None if fill.stop_price is None else fill.quantity * (fill.price - fill.stop_price))
            continue
        owned -= fill.quantity
        earned += amount - fill.fee
        if owned < lot_size and opened is not None:
            trips.append(RoundTrip(opened, fill.time, spent, earned - spent, fill.reason, bought, risk=initial_risk(risks)))
            spent = earned = bought = ZERO
            risks = []
            opened = None
    return trips


def initial_risk(risks: Sequence[Decimal | None]) -> Decimal | None:
    """Add up what the entries of a trade risked; None where one had no stop, or where nothing was above its stop."""
    known = [risk for risk in risks if risk is not None]
    total = sum(known, ZERO)
    return total if len(known) == len(risks) and total > ZERO else None


def matched_pairs(fills: Iterable[FillLike]) -> list[RoundTrip]:
    """Match each sell of a grid's slot with that slot's buys, oldest first.

    Sells of what was bought at the start, or left by a slot's fees, match nothing.
    """
    waiting: dict[int, deque[_Lot]] = defaultdict(deque)
    trips: list[RoundTrip] = []
    for fill in fills:
        if fill.slot < 0:
            continue
        if fill.side == "buy":
            paid = fill.quantity * fill.price + _fee_on_top(fill)
            lot = _Lot(fill.time, fill.quantity - _fee_in_base(fill), paid, fill.quantity)
            waiting[fill.slot].append(lot)
        else:
            trip = _match(fill, waiting[fill.slot])
            if trip is not None:
                trips.append(trip)
    return trips


def closed_trips(
    fills: Sequence[FillLike], lot_sizes: Mapping[str, Decimal], *, is_grid: bool, held: Mapping[str, Decimal] | None = None
) -> list[RoundTrip]:
    """Count the closed trades of every market, in the order in which they closed; `held` is the dust of each before its fills."""
    dust = held or {}
    trips: list[RoundTrip] = []
    for symbol, lot_size in lot_sizes.items():
        own = [fill for fill in fills if fill.symbol == symbol]
        closed = matched_pairs(own) if is_grid else round_trips(own, lot_size, dust.get(symbol, ZERO))
        trips += [trip._replace(symbol=symbol) for trip in closed]
    return sorted(trips, key=lambda trip: trip.closed)


def fee_in_quote(fill: FillLike) -> Decimal:
    """Answer a fill's fee in quote; one taken in base counts at the price of the fill."""
    return _fee_in_base(fill) * fill.price + (_fee_on_top(fill) if fill.side == "buy" else fill.fee)


def _fee_in_base(fill: FillLike) -> Decimal:
    return ZERO if fill.side != "buy" or _is_in_quote(fill) else fill.fee


def _fee_on_top(fill: FillLike) -> Decimal:
    return fill.fee if _is_in_quote(fill) else ZERO


def _is_in_quote(fill: FillLike) -> bool:
    # BTC/USDT@kraken is paid in USDT too.
    return fill.fee_asset == fill.symbol.partition("@")[0].partition("/")[2]


def split_grid_result(fills: Iterable[FillLike], *, equity_change: Decimal) -> GridResult:
    """Split a grid's result into what its pairs earned and what its inventory gained or lost."""
    pairs = matched_pairs(fills)
    profit = sum((pair.profit for pair in pairs), ZERO)
    return GridResult(len(pairs), profit, equity_change - profit)


def _match(sell: FillLike, lots: deque[_Lot]) -> RoundTrip | None:
    remaining, paid, bought, opened = sell.quantity, ZERO, ZERO, None
    while remaining > 0 and lots:
        lot = lots.popleft()
        part = min(remaining, lot.base)
        share, quantity = lot.paid * part / lot.base, lot.quantity * part / lot.base
        opened = lot.time if opened is None else opened
        paid += share
        bought += quantity
        remaining -= part
        if part < lot.base:
            lots.appendleft(_Lot(lot.time, lot.base - part, lot.paid - share, lot.quantity - quantity))
    if opened is None:
        return None
    matched = sell.quantity - remaining
    proceeds = (sell.quantity * sell.price - sell.fee) * matched / sell.quantity
    return RoundTrip(opened, sell.time, paid, proceeds - paid, sell.reason, bought)
