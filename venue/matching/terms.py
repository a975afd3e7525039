"""The terms of trade: what a taker pays, how deep the market is, what it costs."""

from dataclasses import dataclass
from typing import Final

PPM: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Terms:
    """Spread, slippage, depth and fees, in parts per million."""

    half_spread_ppm: int = 50
    slippage_ppm: int = 0
    participation_ppm: int = 100_000
    maker_fee_ppm: int = 1_000
    taker_fee_ppm: int = 1_000

    def ask(self, tick_price: int, tick: int, level: int = 1) -> int:
        """Return the price of the n-th level of offers."""
        return _up(tick_price * (PPM + level * self.half_spread_ppm), tick)

    def bid(self, tick_price: int, tick: int, level: int = 1) -> int:
        """Return the price of the n-th level of bids."""
        return max(tick, _down(tick_price * (PPM - level * self.half_spread_ppm), tick))

    def taker_buy(self, tick_price: int, tick: int, level: int = 1) -> int:
        """Price a purchase at the n-th level, slippage included."""
        return _up(tick_price * (PPM + level * self.half_spread_ppm + self.slippage_ppm), tick)

    def taker_sale(self, tick_price: int, tick: int, level: int = 1) -> int:
        """Price a sale at the n-th level, slippage included."""
        return max(tick, _down(tick_price * (PPM - level * self.half_spread_ppm - self.slippage_ppm), tick))

    def depth(self, volume: int, step: int) -> int:
        """Return how much of a bar's volume one level of the book, or all resting orders together, may have."""
        return volume // step * self.participation_ppm // PPM * step

    def fee(self, received: int, *, is_maker: bool) -> int:
        """Take the fee out of what is received, rounded down to a unit."""
        return received * (self.maker_fee_ppm if is_maker else self.taker_fee_ppm) // PPM


def _up(scaled: int, tick: int) -> int:
    return -(-scaled // (PPM * tick)) * tick


def _down(scaled: int, tick: int) -> int:
    return scaled // (PPM * tick) * tick
