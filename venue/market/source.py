"""What every market source offers to the clock and to the reader of candles."""

from typing import Protocol

from venue.listings import Listing
from venue.market.bars import Bar, Series


class UnusableMarket(Exception):
    """This market cannot be shown; the text says what to do."""


class MarketSource(Protocol):
    """Candles of several symbols on one clock. Deterministic: asked twice, it answers the same."""

    @property
    def kind(self) -> str:
        """Name the kind of market: synthetic or replay."""

    @property
    def label(self) -> str:
        """Say in words what is shown."""

    @property
    def identity(self) -> str:
        """Tell this market from any other."""

    @property
    def listings(self) -> tuple[Listing, ...]:
        """Return what is traded."""

    @property
    def base_interval_ms(self) -> int:
        """Return the interval of the candles that are walked."""

    @property
    def start_time(self) -> int:
        """Return where the market starts."""

    @property
    def end_time(self) -> int | None:
        """Return where it ends, if it does."""

    def bars_at(self, open_time: int) -> dict[str, Bar]:
        """Return the base candles that open at this moment."""

    def next_open(self, after: int) -> int | None:
        """Return the next moment at which a base candle opens, or nothing at the end."""

    def closed(self, symbol: str, interval_ms: int, *, first: int, last: int, limit: int, forward: bool) -> Series:
        """Return candles that open from `first` to `last`: the first ones, or else the last ones."""
