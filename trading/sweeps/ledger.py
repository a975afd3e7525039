"""The money of one combination: what a kernel does when a position is opened, closed or marked.

All of the cash is put in, and equity starts at 1. Everything here is what a plain loop over the
bars would do, bit for bit: rounding never changes the order of two products with the same factor,
so the lowest equity of a trade is the product with the lowest close.
"""

from typing import Final, NamedTuple

import numpy as np

from trading.bars import Floats, Times
from trading.compilation import inlined, kernel
from trading.sweeps.market import (
    BLOCK,
    FILL,
    HEAD_HIGH,
    HEAD_LOW,
    HIGHS,
    LOWS,
    MARK,
    TAIL_HIGH,
    TAIL_LOW,
    SweepMarket,
)
from trading.sweeps.masks import ALL, highest_of_some, lowest_of_some

# Columns of a combination's state; counts are floats too, exact far beyond any number of bars.
CASH: Final = 0
UNITS: Final = 1
ENTRY: Final = 2
PEAK: Final = 3
WORST: Final = 4
TRADES: Final = 5
WINS: Final = 6
WON: Final = 7
LOST: Final = 8
HELD: Final = 9
SAMPLE: Final = 10
LEVEL: Final = 11
RETURNS: Final = 12
SQUARES: Final = 13
FINAL: Final = 14
# Sixteen columns: two cache lines for a combination.
STATE_COLUMNS: Final = 16


class Prices(NamedTuple):
    """What the money of a combination is worked out from."""

    closes: Floats
    reaches: Floats
    blocks: Floats
    far_blocks: Floats
    samples: Times
    sample_closes: Floats

    @classmethod
    def of(cls, market: SweepMarket) -> "Prices":
        """Take from a market what money is worked out from."""
        return cls(market.closes, market.reaches, market.blocks, market.far_blocks, market.samples, market.sample_closes)


def new_states(count: int) -> Floats:
    """Make the states of combinations that own 1 and have done nothing."""
    states = np.zeros((count, STATE_COLUMNS))
    states[:, CASH] = states[:, PEAK] = 1.0
    return states


@inlined
def enter(prices: Prices, states: Floats, c: int, bar: int, keep: float) -> None:
    """Buy for all there is at the fill price of the bar; `keep` is what costs leave of it."""
    sample(prices, states, c, bar)
    states[c, UNITS] = states[c, CASH] * keep / prices.closes[FILL, bar]
    states[c, ENTRY] = bar


@inlined
def leave(prices: Prices, states: Floats, c: int, bar: int, price: float, keep: float) -> None:
    """Sell everything at the price; `bar` is the last at whose close the position was held."""
    sample(prices, states, c, bar)
    cash = states[c, UNITS] * price * keep
    # First the fall that is known without a search: mostly no close before the sale was a deeper one, and none need be looked
    # at. A higher peak on the way makes it no smaller.
    states[c, WORST] = min(states[c, WORST], cash / states[c, PEAK] - 1.0)
    first = int(states[c, ENTRY]) + 1
    if first <= bar:
        mark(prices, states, c, first, bar)
    _settle(states, c, bar, cash)


@inlined
def leave_between(prices: Prices, states: Floats, c: int, bar: int, price: float, keep: float, low: float, high: float) -> None:
    """Sell everything so, where lowest and highest of the closes at which the position was held are known."""
    sample(prices, states, c, bar)
    cash = states[c, UNITS] * price * keep
    mark_between(prices, states, c, int(states[c, ENTRY]) + 1, bar, low, high)
    _settle(states, c, bar, cash)


@inlined
def _settle(states: Floats, c: int, bar: int, cash: float) -> None:
    """Count a trade that brought so much."""
    profit = cash - states[c, CASH]
    states[c, TRADES] += 1.0
    # Without branches: which way a trade goes is what nobody can predict, a processor neither.
    is_won = profit > 0.0
    states[c, WINS] += 1.0 if is_won else 0.0
    states[c, WON] += profit if is_won else 0.0
    states[c, LOST] -= 0.0 if is_won else profit
    states[c, HELD] += bar - states[c, ENTRY]
    states[c, CASH] = cash
    states[c, UNITS] = 0.0
    # The bar after is spent in cash, whatever comes then.
    states[c, PEAK] = max(states[c, PEAK], cash)
    states[c, WORST] = min(states[c, WORST], cash / states[c, PEAK] - 1.0)


@inlined
def finish(prices: Prices, states: Floats, c: int) -> None:
    """Value what is left at the last close; an open position is no trade."""
    last = prices.closes.shape[1] - 1
    sample(prices, states, c, last)
    states[c, FINAL] = states[c, CASH]
    if states[c, UNITS] > 0.0:
        mark(prices, states, c, int(states[c, ENTRY]) + 1, last)
        states[c, HELD] += last - states[c, ENTRY]
        states[c, FINAL] = states[c, UNITS] * prices.closes[MARK, last]


@inlined
def sample(prices: Prices, states: Floats, c: int, bar: int) -> None:
    """Take the daily equity up to and with the bar; call it before money moves."""
    samples, closes = prices.samples, prices.sample_closes
    k, count = int(states[c, SAMPLE]), len(samples)
    if k >= count or samples[k] > bar:
        return
    units, level = states[c, UNITS], states[c, LEVEL]
    while k < count and samples[k] <= bar:
        equity = units * closes[k] if units > 0.0 else states[c, CASH]
        if k > 0 and equity != level:
            change = equity / level - 1.0
            states[c, RETURNS] += change
            states[c, SQUARES] += change * change
        level = equity
        k += 1
    states[c, SAMPLE], states[c, LEVEL] = k, level


@inlined
def mark(prices: Prices, states: Floats, c: int, first: int, last: int) -> None:
    """Mark a position at every close from `first` to `last`: peak and deepest fall."""
    units, peak, worst = states[c, UNITS], states[c, PEAK], states[c, WORST]
    low, high, exact = reach(prices, first, last)
    if units * high <= peak:
        fall = units * low / peak - 1.0
        if fall < worst:
            if not exact:
                low, _ = _scan(prices.closes, first, last)
                fall = units * low / peak - 1.0
            states[c, WORST] = min(worst, fall)
        return
    if not exact:
        low, high = _scan(prices.closes, first, last)
    mark_between(prices, states, c, first, last, low, high)


@inlined
def mark_between(prices: Prices, states: Floats, c: int, first: int, last: int, low: float, high: float) -> None:
    """Mark a position at every close from `first` to `last`, the lowest and the highest of which are known."""
    units, peak, worst = states[c, UNITS], states[c, PEAK], states[c, WORST]
    if units * high <= peak:
        states[c, WORST] = min(worst, units * low / peak - 1.0)
    elif units * low / (units * high) - 1.0 >= worst:
        # Whatever came first, no fall in this stretch is the deepest.
        states[c, PEAK] = units * high
    else:
        _walk(prices, states, c, first, last)


@inlined
def reach(prices: Prices, first: int, last: int) -> tuple[float, float, bool]:
    """Answer lowest and highest close of a stretch; inside one block only bounds, and false."""
    reaches, blocks = prices.reaches, prices.blocks
    begin, end = first // BLOCK, last // BLOCK
    is_inside = begin == end
    one, other = reaches[TAIL_LOW, first], reaches[HEAD_LOW, last]
    low = max(one, other) if is_inside else min(one, other)
    one, other = reaches[TAIL_HIGH, first], reaches[HEAD_HIGH, last]
    high = min(one, other) if is_inside else max(one, other)
    block = begin + 1
    while block < end:
        if block % BLOCK == 0 and block + BLOCK <= end:
            low = min(low, prices.far_blocks[LOWS, block // BLOCK])
            high = max(high, prices.far_blocks[HIGHS, block // BLOCK])
            block += BLOCK
        else:
            low = min(low, blocks[LOWS, block])
            high = max(high, blocks[HIGHS, block])
            block += 1
    return low, high, not is_inside


@inlined
def _scan(closes: Floats, first: int, last: int) -> tuple[float, float]:
    """Answer lowest and highest close of a stretch inside one block."""
    marks, at = closes[MARK], np.uint64(first // BLOCK * BLOCK)
    some = (ALL << np.uint64(first % BLOCK)) & (ALL >> np.uint64(BLOCK - 1 - last % BLOCK))
    return lowest_of_some(marks, at, some), highest_of_some(marks, at, some)


@kernel
def _walk(prices: Prices, states: Floats, c: int, first: int, last: int) -> None:
    """Follow equity bar by bar, but step over blocks that can hold neither a peak nor a deeper fall."""
    closes, blocks = prices.closes, prices.blocks
    units, peak, worst = states[c, UNITS], states[c, PEAK], states[c, WORST]
    t = first
    while t <= last:
        if t % BLOCK == 0 and t + BLOCK <= last + 1:
            top, bottom = units * blocks[HIGHS, t // BLOCK], units * blocks[LOWS, t // BLOCK]
            if top <= peak:
                worst = min(worst, bottom / peak - 1.0)
                t += BLOCK
                continue
        equity = units * closes[MARK, t]
        if equity > peak:
            peak = equity
        else:
            worst = min(worst, equity / peak - 1.0)
        t += 1
    states[c, PEAK], states[c, WORST] = peak, worst
