"""How much of what was ordered was filled: by the count of orders, and by their quantity."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any, Final, NamedTuple

from trading.metrics import wilson_interval
from trading.round_trips import ZERO
from trading.strategy import OrderKind

# A stop is there not to be filled, and each level that it is moved to is another order: it is counted beside the ratio.
RATED: Final = (OrderKind.ENTRY.name, OrderKind.LIMIT.name, OrderKind.EXIT.name)
STOP: Final = OrderKind.STOP.name


class OrderTally(NamedTuple):
    """The orders of one kind in one market that the exchange took and that are over."""

    symbol: str
    kind: str
    orders: int
    # Filled whole.
    filled: int
    quantity: Decimal
    quantity_filled: Decimal


@dataclass(frozen=True, slots=True)
class FillRatio:
    """Orders placed against filled; None where none was placed."""

    orders: int
    filled: int
    by_count: float | None
    by_count_low: float | None
    by_count_high: float | None
    # Quantities of several markets are added up at the last price of each; None where one has no price.
    by_quantity: float | None


def fill_ratio(tallies: Sequence[OrderTally], prices: Mapping[str, Decimal], kinds: Sequence[str] = RATED) -> FillRatio:
    """Measure the orders of some kinds; an order counts as filled when all of it was."""
    rated = [tally for tally in tallies if tally.kind in kinds]
    orders, filled = sum(tally.orders for tally in rated), sum(tally.filled for tally in rated)
    low, high = wilson_interval(filled, orders)
    is_priced = all(tally.symbol in prices for tally in rated)
    ordered = sum((tally.quantity * prices[tally.symbol] for tally in rated), ZERO) if is_priced else ZERO
    got = sum((tally.quantity_filled * prices[tally.symbol] for tally in rated), ZERO) if is_priced else ZERO
    return FillRatio(
        orders=orders,
        filled=filled,
        by_count=filled / orders if orders else None,
        by_count_low=low,
        by_count_high=high,
        by_quantity=float(got / ordered) if ordered else None,
    )


def order_figures(tallies: Sequence[OrderTally], prices: Mapping[str, Decimal]) -> dict[str, Any]:
    """Measure all orders and those of each kind that was placed, and count the stops beside them; JSON values."""
    kinds = [kind for kind in RATED if any(tally.kind == kind for tally in tallies)]
    return {
        **asdict(fill_ratio(tallies, prices)),
        "kinds": [{"kind": kind, **asdict(fill_ratio(tallies, prices, (kind,)))} for kind in kinds],
        "stops": sum(tally.orders for tally in tallies if tally.kind == STOP),
        "stops_filled": sum(tally.filled for tally in tallies if tally.kind == STOP),
    }
