"""What a bot of a simulated account was worth at moments gone by: floats for curves and falls, never money."""

from __future__ import annotations

from typing import Any

import numpy as np

from trading.accounts.member import FLOAT_UNIT, Member
from trading.bars import Floats, Times
from trading.compilation import compiled
from trading.strategy import BUY


def closes_at(member: Member, moments: Times) -> list[Floats]:
    """Return, for each market and moment, the close of the last base bar that had closed."""
    last = np.maximum(np.searchsorted(member.simulation.tape.times, moments) - 1, 0)
    return [
        ticks[last] * float(instrument.tick_size)
        for ticks, instrument in zip(member.walked.closes, member.instruments, strict=True)
    ]


@compiled
def sample(before: Any, fills: Any, read: Any, into: Any, first: int, last: int) -> None:
    """Write down what every book was worth at the account's times from the first to before the last, since all stood as before.

    `fills` are those since then, book after book, and where those of each book end.
    """
    cashes, owned = before
    journal, ends = fills
    worlds, books, times, closes, sale_mins = read
    worths, invested, is_in_market = into
    for at in range(first, last):
        invested[at], is_in_market[at] = 0.0, False
    fill = 0
    for k in range(len(books)):
        begin, count = books[k].first, books[k].count
        in_quote, cash = worlds[begin].fee_in_quote, cashes[k]
        for at in range(first, last):
            while fill < ends[k] and journal[fill].time < times[at]:
                one = journal[fill]
                w = worlds[begin + one.symbol]
                amount, coins = one.lots * one.ticks * w.quote_units_per_tick_lot, one.lots * w.units_per_lot
                if one.side == BUY:
                    cash -= amount + one.fee * in_quote
                    owned[begin + one.symbol] += coins - one.fee * (1 - in_quote)
                else:
                    cash += amount - one.fee
                    owned[begin + one.symbol] -= coins
                fill += 1
            worth = cash * FLOAT_UNIT
            for world in range(begin, begin + count):
                held = owned[world] * FLOAT_UNIT * closes[world, at]
                worth += held
                invested[at] += held
                is_in_market[at] |= held >= sale_mins[world]
            worths[k, at] = worth
        # What trades at the very end belongs to the next stretch.
        fill = ends[k]


@compiled
def first_below(worths: Floats, floors: Floats, first: int, last: int) -> int:
    """Answer the first place at which one of the worths is at its floor, or all of them at the last floor; `last` if none is."""
    for at in range(first, last):
        whole = 0.0
        for k in range(len(worths)):
            whole += worths[k, at]
            if k < len(floors) - 1 and worths[k, at] <= floors[k]:
                return at
        if whole <= floors[len(floors) - 1]:
            return at
    return last
