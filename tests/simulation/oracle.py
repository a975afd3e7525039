"""A second ledger, small and in whole numbers, that believes nothing but the exchange's own trades and the flows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from decimal import Decimal
from fractions import Fraction
from typing import Final, NamedTuple

from tests.simulation.exchange import VenueTrade

# Prices and lots of both pairs multiply to at most this many places.
SCALE: Final = 10**12
_UNIT: Final = SCALE // 10**8


class Holder(NamedTuple):
    """Whose it is: a book's number, or a pool's name; and of which asset."""

    owner: int | str
    asset: str


def whole(amount: Decimal) -> int:
    """Turn an amount into whole units; raise if it has more places than there are."""
    scaled = amount * SCALE
    number = int(scaled)
    if number != scaled:
        raise AssertionError(f"{amount} has more places than the oracle counts")
    return number


class Oracle:
    """What every book and pool must own, free and reserved together."""

    def __init__(self, opening: dict[Holder, Decimal], *, bnb_mark: Decimal) -> None:
        self.owned: defaultdict[Holder, int] = defaultdict(int, {holder: whole(amount) for holder, amount in opening.items()})
        self.folds: dict[tuple[int, str], list[tuple[float, int, int, int]]] = defaultdict(list)
        self._mark = bnb_mark

    def move(self, source: Holder, target: Holder, amount: Decimal) -> None:
        """Move an amount between two holders."""
        self.owned[source] -= whole(amount)
        self.owned[target] += whole(amount)

    def charge_of(self, trade: VenueTrade) -> int:
        """Answer what a book owes the pool for a fee in BNB: its worth, rounded up to the smallest unit."""
        worth = Fraction(trade.fee) * Fraction(self._mark) * 10**8
        return -(-worth.numerator // worth.denominator) * _UNIT

    def trade(self, trade: VenueTrade, owner: int | str, charged: Decimal) -> None:
        """Book a trade for its owner, with what the owner was charged for a fee in BNB."""
        order = trade.order
        base, quote = order.symbol[:3], order.symbol[3:]
        sign = 1 if order.side == "buy" else -1
        cost, quantity = whole(trade.quantity * trade.price), whole(trade.quantity)
        self.owned[Holder(owner, base)] += sign * quantity
        self.owned[Holder(owner, quote)] -= sign * cost
        got, paid = sign * quantity, sign * cost
        fee = whole(trade.fee)
        if trade.fee_asset == base:
            self.owned[Holder(owner, base)] -= fee
            got -= fee
        elif trade.fee_asset == quote:
            self.owned[Holder(owner, quote)] -= fee
            paid += fee
        else:
            self.owned[Holder("fee_pool", trade.fee_asset)] -= fee
            if isinstance(owner, int):
                self.owned[Holder(owner, quote)] -= whole(charged)
                self.owned[Holder("fee_pool", quote)] += whole(charged)
                paid += whole(charged)
        if isinstance(owner, int):
            self.folds[owner, order.symbol].append((trade.at, trade.number, got, paid))

    def position(self, book: int, symbol: str) -> tuple[int, int]:
        """Answer what a book holds, and its gains so far less what the holding has cost: a cash view that needs no method."""
        rows = self.folds[book, symbol]
        return sum(row[2] for row in rows), -sum(row[3] for row in rows)

    def totals(self) -> dict[str, int]:
        """Add up by asset."""
        sums: defaultdict[str, int] = defaultdict(int)
        for holder, amount in self.owned.items():
            sums[holder.asset] += amount
        return dict(sums)


def average_cost(rows: Iterable[tuple[float, int, int, int]]) -> tuple[int, int]:
    """Fold trades in the order of (time, number) by average cost; answer quantity and cost while nothing is sold short."""
    quantity = cost = 0
    for _, _, got, paid in sorted(rows):
        if got > 0:
            quantity, cost = quantity + got, cost + paid
        elif -got == quantity:
            quantity = cost = 0
        else:
            share = cost * -got // (quantity * _UNIT) * _UNIT
            quantity, cost = quantity + got, cost - share
    return quantity, cost
