"""A position as the fold of its fills: average cost for daily use, first in first out as its oracle."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import NamedTuple

from trading.ledger import UNIT, ZERO, exactly


class FillFact(NamedTuple):
    """What a fill did to the position; `base` is net of a fee in base, fees in quote are in `quote`.

    A buy's `quote` is everything paid (fees in quote included), a sell's is everything received (net of fees).
    """

    side: str
    base: Decimal
    quote: Decimal
    fee_quote: Decimal


@dataclass(frozen=True, slots=True)
class PositionFold:
    """Quantity, cost and results of a book in one instrument."""

    quantity: Decimal = ZERO
    cost: Decimal = ZERO
    realised: Decimal = ZERO
    fees: Decimal = ZERO


class Oversold(Exception):
    """Raised when fills sell more than was bought."""


@exactly
def apply_fill(position: PositionFold, fill: FillFact) -> tuple[PositionFold, Decimal]:
    """Fold one fill in; answer the position and what this fill realised."""
    fees = position.fees + fill.fee_quote
    if fill.side == "buy":
        quantity, cost = position.quantity + fill.base, position.cost + fill.quote
        return replace(position, quantity=quantity, cost=cost, fees=fees), ZERO
    if fill.base > position.quantity:
        raise Oversold(f"A sell of {fill.base} meets a position of {position.quantity}")
    cost_out = cost_of(position, fill.base)
    realised = fill.quote - cost_out
    sold = PositionFold(
        quantity=position.quantity - fill.base,
        cost=position.cost - cost_out,
        realised=position.realised + realised,
        fees=fees,
    )
    return sold, realised


@exactly
def cost_of(position: PositionFold, quantity: Decimal) -> Decimal:
    """Answer the share of cost that leaves with a quantity; the last sell takes the whole rest (I-28)."""
    if quantity == position.quantity:
        return position.cost
    # Rounded down, so that the remainder stays in the position and is never dropped.
    return position.cost * quantity // (position.quantity * UNIT) * UNIT


def fold(fills: Iterable[FillFact]) -> tuple[PositionFold, list[Decimal]]:
    """Fold fills from the first; answer the position and what each fill realised."""
    position = PositionFold()
    realised = []
    for fill in fills:
        position, gain = apply_fill(position, fill)
        realised.append(gain)
    return position, realised


@exactly
def fold_first_in_first_out(fills: Iterable[FillFact]) -> PositionFold:
    """Fold fills by matching sells with the oldest lots: the method oracle (I-27)."""
    lots: deque[PositionFold] = deque()
    realised = fees = ZERO
    for fill in fills:
        fees += fill.fee_quote
        if fill.side == "buy":
            lots.append(PositionFold(quantity=fill.base, cost=fill.quote))
            continue
        realised += fill.quote
        left = fill.base
        while left > ZERO:
            if not lots:
                raise Oversold(f"{left} more was sold than bought")
            lot = lots[0]
            part = min(left, lot.quantity)
            cost = cost_of(lot, part)
            realised -= cost
            left -= part
            if part == lot.quantity:
                lots.popleft()
            else:
                lots[0] = PositionFold(quantity=lot.quantity - part, cost=lot.cost - cost)
    quantity = sum((lot.quantity for lot in lots), ZERO)
    cost = sum((lot.cost for lot in lots), ZERO)
    return PositionFold(quantity=quantity, cost=cost, realised=realised, fees=fees)
