"""The arithmetic of the double-entry ledger: exact amounts, zero-sum legs, reservations, the hash chain."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import (
    Context,
    Decimal,
    DivisionByZero,
    FloatOperation,
    Inexact,
    InvalidOperation,
    Overflow,
    localcontext,
)
from functools import wraps
from typing import Any, Final, NamedTuple, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

ZERO: Final = Decimal(0)
UNIT: Final = Decimal("0.00000001")
CENT: Final = Decimal("0.01")
# An exchange rounds the fee of each trade up: so much is held beyond the rate for a hundred trades of an order.
FEE_ROUNDING: Final = 100 * UNIT
_MILLION: Final = 1_000_000
_STORED: Final = Decimal(1).scaleb(-18)
_DIGITS_STORED: Final = 38

# Wide enough for the product of two stored amounts; whatever still does not fit raises.
EXACT: Final = Context(prec=2 * _DIGITS_STORED + 2, traps=[Inexact, InvalidOperation, DivisionByZero, Overflow, FloatOperation])
_CANONICAL: Final = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False)
_FITS: Final = Context(prec=_DIGITS_STORED, traps=[Inexact, InvalidOperation, FloatOperation])


class NotZeroSum(Exception):
    """Raised when the legs of a transaction do not sum to zero for every asset."""


class Pocket(NamedTuple):
    """One asset in one place: a book's, a pool's or the outside world's."""

    kind: str
    book_id: int | None
    asset: str


class Leg(NamedTuple):
    """A signed amount that enters or leaves a pocket."""

    pocket: Pocket
    amount: Decimal


def exactly(function: Callable[P, R]) -> Callable[P, R]:
    """Run the function where a rounded result or a float raises instead of passing."""

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        with localcontext(EXACT):
            return function(*args, **kwargs)

    return run


def stored(amount: Decimal) -> Decimal:
    """Return the amount as the database keeps it; raise if it would have to be rounded."""
    return _FITS.quantize(amount, _STORED)


def floor_to(amount: Decimal, unit: Decimal) -> Decimal:
    """Round an amount that is not negative down to whole units."""
    return amount // unit * unit


def ceil_to(amount: Decimal, unit: Decimal) -> Decimal:
    """Round an amount that is not negative up to whole units."""
    floor = floor_to(amount, unit)
    return floor if floor == amount else floor + unit


def checked_legs(legs: Iterable[Leg]) -> list[Leg]:
    """Return the legs that move something; raise unless they sum to zero for every asset (I-01)."""
    sums: dict[str, Decimal] = defaultdict(lambda: ZERO)
    moving = []
    for leg in legs:
        if leg.amount != ZERO:
            moving.append(Leg(leg.pocket, stored(leg.amount)))
            sums[leg.pocket.asset] += leg.amount
    if broken := {asset: str(total) for asset, total in sums.items() if total != ZERO}:
        raise NotZeroSum(f"These assets do not sum to zero: {broken}")
    if not moving:
        raise NotZeroSum("A transaction must move something")
    return moving


def transaction_hash(
    *,
    previous: str,
    account_id: int,
    seq: int,
    kind: str,
    reference: str,
    market_at: datetime,
    recorded_at: datetime,
    facts: Mapping[str, Any],
    legs: Sequence[Leg],
) -> str:
    """Hash a transaction together with the hash before it (I-05)."""
    row = {
        "previous": previous,
        "account": account_id,
        "seq": seq,
        "kind": kind,
        "reference": reference,
        "market_at": market_at.astimezone(UTC).isoformat(),
        "recorded_at": recorded_at.astimezone(UTC).isoformat(),
        "facts": facts,
        "legs": [[*leg.pocket, plain(leg.amount)] for leg in legs],
    }
    return hashlib.sha256(_CANONICAL.encode(row).encode()).hexdigest()


def plain(amount: Decimal) -> str:
    """Write an amount without exponent and without trailing zeros."""
    return format(EXACT.normalize(amount), "f") if amount else "0"


class QuoteFee(NamedTuple):
    """What an exchange may take of a buy in quote: its rate, and what the order's trades have spent and paid so far."""

    ppm: int = 0
    spent: Decimal = ZERO
    paid: Decimal = ZERO


NO_QUOTE_FEE: Final = QuoteFee()


def worst_case(*, side: str, quantity: Decimal, filled: Decimal, price: Decimal | None, fee: QuoteFee = NO_QUOTE_FEE) -> Decimal:
    """Answer what an order may still cost: quote for a buy at its limit with its fee, base for a sell (I-08)."""
    remaining = quantity - filled
    if side == "sell":
        return remaining
    if price is None:
        raise ValueError("A buy without a limit has no worst case; entries are limit orders")
    cost = remaining * price
    if not fee.ppm or remaining == ZERO:
        return cost
    # Of the whole order, less what is paid: whatever its trades are like, each finds its fee among what it frees.
    whole = ceil_to((fee.spent + cost) * fee.ppm / _MILLION, UNIT) + FEE_ROUNDING
    return cost + max(whole - fee.paid, ZERO)


def spendable(free: Decimal, *, fee_ppm: int, orders: int) -> Decimal:
    """Answer how much of free quote so many buys may cost together, so that their fees in quote still fit beside them."""
    if not fee_ppm:
        return free
    # Each order holds its fee rounded up and the rounding of its trades.
    beside = orders * (FEE_ROUNDING + UNIT)
    return max((free - beside) * _MILLION // ((_MILLION + fee_ppm) * UNIT) * UNIT, ZERO)


class Split(NamedTuple):
    """An amount taken from several pockets in turn, and what none of them could cover."""

    legs: tuple[Leg, ...]
    missing: Decimal


def take(amount: Decimal, sources: Sequence[tuple[Pocket, Decimal]]) -> Split:
    """Take an amount from pockets in order, from each no more than is said to be there."""
    legs = []
    for pocket, there in sources:
        part = min(amount, max(there, ZERO))
        if part > ZERO:
            legs.append(Leg(pocket, -part))
            amount -= part
    return Split(tuple(legs), amount)
