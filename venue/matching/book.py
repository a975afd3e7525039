"""One symbol's market: the price of now, its depth, and the orders that wait for a price."""

from bisect import insort
from collections.abc import Iterator
from dataclasses import dataclass, field

from venue.listings import Listing
from venue.matching.terms import Terms
from venue.orders import BUY, Order

# Level the sooner it is met the smaller, then order of arrival, then the order itself.
_Entry = tuple[int, int, Order]


@dataclass(slots=True)
class SymbolBook:
    """The state of one symbol between two ticks."""

    listing: Listing
    terms: Terms
    price: int = 0
    # False while the recording has no candle for this symbol: nothing trades then.
    has_candle: bool = False
    # Stopped by the exchange itself: prices go on, nothing trades.
    is_halted: bool = False
    is_delisted: bool = False
    depth: int = 0
    budget: int = 0
    # Prices that happen elsewhere: bid and offer are what is told, and nothing trades while nobody tells.
    is_mirrored: bool = False
    quoted: tuple[int, int] | None = None
    _falling: list[_Entry] = field(default_factory=list)
    _rising: list[_Entry] = field(default_factory=list)

    @property
    def is_trading(self) -> bool:
        """Tell whether orders are taken and filled."""
        return self.has_candle and not self.is_halted

    @property
    def ask(self) -> int:
        """Return the best offer; nothing while nobody quotes."""
        return self.offer(1)

    @property
    def bid(self) -> int:
        """Return the best bid; nothing while nobody quotes."""
        return self.demand(1)

    def offer(self, level: int) -> int:
        """Return the n-th offer, best first: the quote that is told, or what the model makes of the price."""
        if not self.is_mirrored:
            return self.terms.ask(self.price, self.listing.tick, level)
        return self.terms.ask(self.quoted[1], self.listing.tick, level - 1) if self.quoted else 0

    def demand(self, level: int) -> int:
        """Return the n-th bid, best first."""
        if not self.is_mirrored:
            return self.terms.bid(self.price, self.listing.tick, level)
        return self.terms.bid(self.quoted[0], self.listing.tick, level - 1) if self.quoted else 0

    def taker_price(self, *, bought: bool, level: int) -> int:
        """Return what a taker pays or gets at the n-th level, slippage included."""
        price = self.terms.taker_buy if bought else self.terms.taker_sale
        if self.quoted is None:
            return price(self.price, self.listing.tick, level)
        return price(self.quoted[1] if bought else self.quoted[0], self.listing.tick, level - 1)

    def open_bar(self, price: int, volume: int) -> None:
        """Start a new bar: its first price and the depth that its volume allows."""
        self.price = price
        self.has_candle = True
        self.depth = self.budget = self.terms.depth(volume, self.listing.step)

    def close_for_outage(self) -> None:
        """Stop trading until there is a candle again."""
        self.has_candle = False
        self.depth = self.budget = 0
        self.quoted = None

    def add(self, order: Order) -> None:
        """Let an order wait for its price."""
        level, falls = self.trigger_level(order)
        if falls:
            insort(self._falling, (-level, order.order_id, order))
        else:
            insort(self._rising, (level, order.order_id, order))

    def remove(self, order: Order) -> None:
        """Take a waiting order out."""
        level, falls = self.trigger_level(order)
        side = self._falling if falls else self._rising
        side.remove((-level if falls else level, order.order_id, order))

    def holds(self, order: Order) -> bool:
        """Tell whether an order waits here."""
        return any(other is order for other in self.waiting())

    def relist(self, listing: Listing) -> None:
        """Go on under new filters; what waits keeps its price and is met where the new tick has it."""
        orders = list(self.waiting())
        self.listing = listing
        self._falling, self._rising = [], []
        for order in orders:
            self.add(order)

    def waiting(self) -> Iterator[Order]:
        """Iterate over all waiting orders."""
        for entry in (*self._falling, *self._rising):
            yield entry[2]

    def trigger_level(self, order: Order) -> tuple[int, bool]:
        """Return the price that meets an order, and whether it is met by a falling price."""
        bought = order.side == BUY
        if order.waits_for_trigger:
            return order.stop_price, bought == order.type.startswith("TAKE_PROFIT")
        tick = self.listing.tick
        return (order.price - tick, True) if bought else (order.price + tick, False)

    def next_met(self, start: int, end: int) -> tuple[Order, int] | None:
        """Find the order that a price moving from start to end meets first, and where it is met.

        An order whose level lies behind the start is met at the start. Of two at one level the
        older comes first; what a falling price meets comes before what a rising price meets.
        """
        if self.is_halted:
            return None
        low, high = min(start, end), max(start, end)
        for key, _, order in self._falling:
            if -key < low:
                break
            if self.budget > 0 or order.waits_for_trigger:
                return order, min(-key, start)
        for key, _, order in self._rising:
            if key > high:
                break
            if self.budget > 0 or order.waits_for_trigger:
                return order, max(key, start)
        return None
