"""How a taker walks up the book: the remainder of each level lies one half-spread deeper."""

from dataclasses import dataclass

from venue.amounts import UNIT, product
from venue.matching.book import SymbolBook


@dataclass(frozen=True, slots=True)
class Take:
    """Prices and quantities that a taker gets, best first."""

    levels: tuple[tuple[int, int], ...]

    @property
    def quantity(self) -> int:
        """Return how much is taken."""
        return sum(quantity for _, quantity in self.levels)

    @property
    def quote(self) -> int:
        """Return what it costs or brings."""
        return sum(product(price, quantity) for price, quantity in self.levels)

    def first(self, quantity: int) -> "Take":
        """Return the best part of it, up to a quantity."""
        levels, left = [], quantity
        for price, offered in self.levels:
            if part := min(offered, left):
                levels.append((price, part))
                left -= part
        return Take(tuple(levels))


def plan_take(book: SymbolBook, *, bought: bool, quantity: int, limit: int | None) -> Take:
    """Walk the book for a quantity, as far as the limit allows."""
    levels: list[tuple[int, int]] = []
    left, level = quantity, 1
    while left > 0:
        price = _price(book, bought, level)
        if limit is not None and (price > limit if bought else price < limit):
            break
        part = min(left, book.depth) if book.depth else left
        levels.append((price, part))
        left -= part
        level += 1
    return Take(tuple(levels))


def plan_quote_take(book: SymbolBook, *, bought: bool, quote: int) -> Take:
    """Walk the book for as many whole lots as an amount of quote currency pays for."""
    levels: list[tuple[int, int]] = []
    left, level = quote, 1
    while True:
        price = _price(book, bought, level)
        affordable = left * UNIT // price // book.listing.step * book.listing.step
        part = min(affordable, book.depth) if book.depth else affordable
        if part == 0:
            return Take(tuple(levels))
        levels.append((price, part))
        left -= product(price, part)
        level += 1


def _price(book: SymbolBook, bought: bool, level: int) -> int:
    return book.taker_price(bought=bought, level=level)
