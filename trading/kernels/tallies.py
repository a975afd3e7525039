"""Read off worlds what became of their orders; those that still live are left out, for nobody knows what becomes of them."""

from collections.abc import Sequence

from trading.fill_ratios import OrderTally
from trading.instruments import Instrument
from trading.strategy import OrderKind, Record


def read_tallies(worlds: Record, instruments: Sequence[Instrument]) -> tuple[OrderTally, ...]:
    """Answer a tally for each market and kind of order that was placed there."""
    found = (_tally(world, one, kind) for world, one in zip(worlds, instruments, strict=True) for kind in OrderKind)
    return tuple(tally for tally in found if tally.orders)


def _tally(world: Record, instrument: Instrument, kind: OrderKind) -> OrderTally:
    counted = world["tallies"][kind]
    live = world["orders"][: int(world["order_count"])]
    live = live[live["kind"] == kind]
    filled = int(live["lots_filled"].sum())
    return OrderTally(
        symbol=instrument.symbol,
        kind=kind.name,
        orders=int(counted["orders"]) - len(live),
        filled=int(counted["filled"]),
        quantity=instrument.quantity(int(counted["lots"]) - int(live["lots"].sum()) - filled),
        quantity_filled=instrument.quantity(int(counted["lots_filled"]) - filled),
    )
