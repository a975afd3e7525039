"""A position as the fold of its fills: average cost for daily use, first in first out as its oracle."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
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


@exactly
def apply_fill(position: PositionFold, fill: FillFact) -> tuple[PositionFold, Decimal]:
    """Fold one fill in; answer the position and what this fill realised.

    What is sold beyond the position, by an order that was adopted, leaves it below zero: its cost is then what the sale
    brought, below zero too, and the buys that follow realise the difference.
    """
    moved = fill.base if fill.side == "buy" else -fill.base
    paid = fill.quote if fill.side == "buy" else -fill.quote
    closing = min(fill.base, abs(position.quantity)) if position.quantity * moved < ZERO else ZERO
    # Of the fill's money, what belongs to the part that closes; all of it unless the fill turns the position round.
    paid_closing = paid if closing == fill.base else _share(paid, closing, fill.base)
    cost_out = _signed_cost_of(position, closing)
    realised = -(paid_closing + cost_out)
    folded = PositionFold(
        quantity=position.quantity + moved,
        cost=position.cost - cost_out + paid - paid_closing,
        realised=position.realised + realised,
        fees=position.fees + fill.fee_quote,
    )
    return folded, realised


@exactly
def unapply_fill(position: PositionFold, fill: FillFact, realised: Decimal) -> PositionFold:
    """Take the newest fill out again; answer the position before it."""
    sign = 1 if fill.side == "buy" else -1
    return PositionFold(
        quantity=position.quantity - sign * fill.base,
        cost=position.cost - sign * fill.quote - realised,
        realised=position.realised - realised,
        fees=position.fees - fill.fee_quote,
    )


@exactly
def cost_of(position: PositionFold, quantity: Decimal) -> Decimal:
    """Answer the share of cost that leaves with a quantity; the last sell takes the whole rest (I-28)."""
    return _share(position.cost, quantity, position.quantity)


def _signed_cost_of(position: PositionFold, closing: Decimal) -> Decimal:
    return _share(position.cost, closing, abs(position.quantity)) if closing else ZERO


def _share(amount: Decimal, part: Decimal, whole: Decimal) -> Decimal:
    if part == whole:
        return amount
    # Rounded towards zero, so that the remainder stays in the position and is never dropped.
    return amount * part // (whole * UNIT) * UNIT


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
        sign = 1 if fill.side == "buy" else -1
        left, paid = fill.base, sign * fill.quote
        while left > ZERO and lots and lots[0].quantity * sign < ZERO:
            lot = lots[0]
            part = min(left, abs(lot.quantity))
            cost, paid_part = _share(lot.cost, part, abs(lot.quantity)), _share(paid, part, left)
            realised -= paid_part + cost
            left -= part
            paid -= paid_part
            if part == abs(lot.quantity):
                lots.popleft()
            else:
                lots[0] = PositionFold(quantity=lot.quantity + sign * part, cost=lot.cost - cost)
        if left > ZERO:
            lots.append(PositionFold(quantity=sign * left, cost=paid))
    quantity = sum((lot.quantity for lot in lots), ZERO)
    cost = sum((lot.cost for lot in lots), ZERO)
    return PositionFold(quantity=quantity, cost=cost, realised=realised, fees=fees)
