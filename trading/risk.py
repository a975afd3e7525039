"""What may be lost today: limits, the day's start, the worst case of what is open, and what is left. Arithmetic alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, Final, NamedTuple

from trading.ledger import UNIT, ZERO, ceil_to, floor_to

ALLOW: Final = "allow"
REFUSE: Final = "refuse"
HUNDREDTH: Final = Decimal("0.01")
# No cap reaches this by design; what a gap adds beyond the hard cap is told, not hidden.
NEVER_PERCENT: Final = Decimal(10)
_OPENING_SHARE: Final = Decimal("0.25")
_OPENING_VALUE_MIN: Final = Decimal(10)
# One in so many of the orders that an exchange lets an account have at once.
_KEPT_FOR_EXITS: Final = 10
_REAL_VOLUME_DAY_MIN: Final = Decimal(1_000_000)

DAILY_LOSS_CAP: Final = "RISK_DAILY_LOSS_CAP"
HARD_STOP: Final = "RISK_HARD_STOP"
ORDER_VALUE: Final = "RISK_ORDER_VALUE"
ORDER_RATE: Final = "RISK_ORDER_RATE"
REPEATED_EXECUTION: Final = "RISK_REPEATED_EXECUTION"
PRICE_COLLAR: Final = "FILTER_PRICE_COLLAR"
LIMITS_MISSING: Final = "RISK_LIMITS_MISSING"
UNPRICED: Final = "DATA_STALE"
LIQUIDITY: Final = "RISK_LIQUIDITY"
OPPOSITE_POSITION: Final = "CONFLICT_OPPOSITE_POSITION"


class LimitsInvalid(ValueError):
    """Raised when limits contradict each other or leave something unlimited; carries the field."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.name = name


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What an account or a book may risk."""

    order_value_max: Decimal
    soft_loss_percent: Decimal = Decimal(5)
    hard_loss_percent: Decimal = Decimal(7)
    fall_percent: Decimal = Decimal(10)
    collar_percent: Decimal = Decimal(5)
    orders_per_minute: int = 600
    repeats_max: int = 10
    opposite_positions: str = ALLOW
    # The least that a market must trade in quote in 24 hours before anybody buys there; zero is any.
    volume_day_min: Decimal = ZERO

    def __post_init__(self) -> None:
        """Refuse what is no limit."""
        if not ZERO < self.soft_loss_percent <= self.hard_loss_percent:
            raise LimitsInvalid("soft_loss_percent", "The soft cap must be above zero and not above the hard cap.")
        if self.hard_loss_percent >= NEVER_PERCENT:
            raise LimitsInvalid("hard_loss_percent", f"The hard cap must stay below {NEVER_PERCENT} percent.")
        if not ZERO < self.fall_percent <= 100:
            raise LimitsInvalid("fall_percent", "A fall is more than zero and at most 100 percent.")
        if not ZERO < self.collar_percent <= 100:
            raise LimitsInvalid("collar_percent", "The collar is more than zero and at most 100 percent.")
        if self.order_value_max <= ZERO:
            raise LimitsInvalid("order_value_max", "The largest order must be above zero.")
        if self.orders_per_minute < 0:
            raise LimitsInvalid("orders_per_minute", "Orders per minute cannot be below zero.")
        if self.repeats_max < 1:
            raise LimitsInvalid("repeats_max", "At least one attempt must be allowed.")
        if self.opposite_positions not in (ALLOW, REFUSE):
            raise LimitsInvalid("opposite_positions", f"Opposite positions are {ALLOW} or {REFUSE}.")
        if self.volume_day_min < ZERO:
            raise LimitsInvalid("volume_day_min", "A day's volume cannot be below zero.")


def opening_limits(equity: Decimal, *, is_real: bool = False) -> Limits:
    """Derive the limits of a new account: no order above a quarter of what it opens with.

    With real money nobody buys in a thin market: a stolen key that may trade is worth something only there (S06).
    """
    return Limits(
        order_value_max=max(floor_to(max(equity, ZERO) * _OPENING_SHARE, HUNDREDTH), _OPENING_VALUE_MIN),
        volume_day_min=_REAL_VOLUME_DAY_MIN if is_real else ZERO,
    )


def overlay(limits: Limits, changes: Mapping[str, Any]) -> Limits:
    """Return limits with what is named changed; names without a value stay."""
    return replace(limits, **{name: value for name, value in changes.items() if value not in (None, "")})


# More of these is more risk. Less of the others is: less is assumed to be lost, and thinner markets are bought in.
_MORE_IS_RISKIER: Final = (
    "order_value_max", "soft_loss_percent", "hard_loss_percent", "collar_percent", "orders_per_minute", "repeats_max",
)  # fmt: skip
_LESS_IS_RISKIER: Final = ("fall_percent", "volume_day_min")


def raised(before: Limits, after: Limits) -> list[str]:
    """Name the limits that allow more than before."""
    names = [name for name in _MORE_IS_RISKIER if getattr(after, name) > getattr(before, name)]
    names += [name for name in _LESS_IS_RISKIER if getattr(after, name) < getattr(before, name)]
    if (before.opposite_positions, after.opposite_positions) == (REFUSE, ALLOW):
        names.append("opposite_positions")
    return names


class DayStart(NamedTuple):
    """Worth and capital put in when the day of market time began."""

    equity: Decimal
    net_flows: Decimal


def shrunk_start(start: DayStart, *, net_flows: Decimal, worth_before: Decimal, moved: Decimal) -> DayStart:
    """Have the start of a day leave in proportion with capital that leaves; `net_flows` do not count it yet.

    Otherwise a book that lost a little and gave the rest back would look as if it had lost all of what it has left, and be
    shut for it. A share of a book takes its share of the loss along. Capital that comes changes nothing of what was lost.
    """
    if moved >= ZERO or worth_before <= ZERO:
        return start
    base_before = capital_since(start, net_flows)
    base_after = max(base_before, ZERO) * (worth_before + moved) // (worth_before * UNIT) * UNIT
    # The flow itself is counted by the book: what the day began with is what makes the new base of it.
    return DayStart(base_after - (net_flows + moved - start.net_flows), start.net_flows)


def capital_since(start: DayStart, net_flows: Decimal) -> Decimal:
    """Return what a day began with, and what came and went since."""
    return start.equity + net_flows - start.net_flows


def cap_of(base: Decimal, percent: Decimal) -> Decimal:
    """Return the loss in whole units of quote that is this share of a day's capital."""
    return floor_to(base * percent * HUNDREDTH, UNIT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Where an account or a book stands today."""

    limits: Limits
    start: DayStart
    equity: Decimal
    net_flows: Decimal
    # What is lost if everything open, in flight or of unknown fate goes as badly as is assumed.
    worst_open: Decimal
    # Where nothing is left that could be sold, a loss is no reason to shut before it is larger than what lies there as dust.
    floor: Decimal = ZERO
    # Held assets that have no price: then nobody knows the equity.
    unpriced: tuple[str, ...] = ()

    @property
    def base(self) -> Decimal:
        """Return the capital that today's caps are a share of: the day's start with the flows since."""
        return max(ZERO, capital_since(self.start, self.net_flows))

    @property
    def loss(self) -> Decimal:
        """Return today's loss, unrealised included; a gain is below zero. Flows are neither."""
        return capital_since(self.start, self.net_flows) - self.equity

    @property
    def soft_cap(self) -> Decimal:
        """Return the loss that no entry may plan beyond."""
        return cap_of(self.base, self.limits.soft_loss_percent)

    @property
    def hard_cap(self) -> Decimal:
        """Return the loss at which everything is sold."""
        return max(cap_of(self.base, self.limits.hard_loss_percent), self.floor)

    @property
    def left(self) -> Decimal:
        """Return what may still be put at risk today; never below zero."""
        return max(ZERO, self.soft_cap - self.loss - self.worst_open)

    @property
    def is_beyond_hard(self) -> bool:
        """Say whether everything must be sold."""
        return not self.unpriced and self.loss > ZERO and self.loss >= self.hard_cap

    def allows(self, worst: Decimal) -> bool:
        """Say whether an entry of this worst case fits: lost today + open at its worst + this one <= cap."""
        return self.loss + self.worst_open + worst <= self.soft_cap


class Exposure(NamedTuple):
    """A holding at its mark, or a buy on its way at its limit: what it may lose is measured from that price."""

    book_id: int
    instrument_id: int
    quantity: Decimal
    price: Decimal
    stop_price: Decimal | None = None


def worst_case(exposure: Exposure, fall_percent: Decimal) -> Decimal:
    """Return what an exposure may lose: down to its stop where one stands, else by the assumed fall.

    A stop further away than the assumed fall makes nothing worse than no stop. Neither covers a gap beyond it.
    """
    if exposure.quantity <= ZERO:
        return ZERO
    fall = exposure.price * fall_percent * HUNDREDTH
    if exposure.stop_price is not None:
        fall = min(fall, max(ZERO, exposure.price - exposure.stop_price))
    return ceil_to(exposure.quantity * fall, UNIT)


def worst_of(exposures: Iterable[Exposure], limits: Limits, *, book_id: int | None = None) -> Decimal:
    """Add up the worst cases of a book, or of all."""
    wanted = (row for row in exposures if book_id in (None, row.book_id))
    return sum((worst_case(row, limits.fall_percent) for row in wanted), ZERO)


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskRoom:
    """What the rules must know of an account beside what the desk has."""

    limits: Limits
    book_limits: Mapping[int, Limits]
    # The key None is the account.
    starts: Mapping[int | None, DayStart]
    net_flows: Mapping[int | None, Decimal]
    # Newest prices in quote by asset, and the close of the last candle by instrument.
    prices: Mapping[str, Decimal]
    closes: Mapping[int, Decimal] = field(default_factory=dict)
    # What each instrument has traded in quote in the last 24 hours, as far as it is known; asked for only where a limit wants it.
    volumes: Mapping[int, Decimal] = field(default_factory=dict)
    # Codes of open latches; the key None shuts the whole account.
    latches: Mapping[int | None, str] = field(default_factory=dict)
    # How many entries in a row gave no position, by book and instrument.
    barren: Mapping[tuple[int, int], int] = field(default_factory=dict)
    # Pairs of book and instrument that sold a moment ago; asked for only where the policy refuses opposite positions.
    sold_lately: frozenset[tuple[int, int]] = frozenset()
    # Whether the day's start is on record; a reader cannot record it.
    is_day_open: bool = True


def room_for_entries(orders_max: int) -> int:
    """Return how many of the orders that an exchange lets an account have at once may be entries or rest in its book.

    The last tenth is for exits and protective stops: at its limit an exchange refuses those as well, and what one bot holds
    could not be sold because of what another has resting.
    """
    return orders_max - orders_max // _KEPT_FOR_EXITS


class ExchangeCaps(NamedTuple):
    """What the exchange allows an account at once, shared by all of its bots; None is no cap."""

    orders: int | None
    stops: int | None
    position: Decimal | None


def exchange_caps(filters: Mapping[str, Any]) -> ExchangeCaps:
    """Read the caps from an instrument's filters as the exchange sent them."""

    def read(kind: str, name: str) -> Any:
        return (filters.get(kind) or {}).get(name)

    orders, stops = read("EXCHANGE_MAX_NUM_ORDERS", "maxNumOrders"), read("MAX_NUM_ALGO_ORDERS", "maxNumAlgoOrders")
    position = read("MAX_POSITION", "maxPosition")
    return ExchangeCaps(
        orders=None if orders is None else int(orders),
        stops=None if stops is None else int(stops),
        position=None if position is None else Decimal(str(position)),
    )


def collar_breach(price: Decimal, *, sources: Mapping[str, Decimal], collar_percent: Decimal) -> dict[str, Decimal] | None:
    """Return the facts if a buy at this price is too high against any source, or the sources differ too much.

    A price below the sources cannot overpay, so buys that rest far below pass.
    """
    share = collar_percent * HUNDREDTH
    lowest, highest = min(sources.values()), max(sources.values())
    if price - lowest <= lowest * share and highest - lowest <= lowest * share:
        return None
    return {"price": price, **sources, "collar_percent": collar_percent}
