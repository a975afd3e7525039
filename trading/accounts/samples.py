"""What a bot of a simulated account was worth at moments gone by: floats for curves and falls, never money."""

from __future__ import annotations

import numpy as np

from trading.accounts.member import FLOAT_UNIT, Member, Saved
from trading.bars import Floats, Times
from trading.strategy import BUY, Record


def closes_at(member: Member, moments: Times) -> list[Floats]:
    """Return, for each market and moment, the close of the last base bar that had closed."""
    last = np.maximum(np.searchsorted(member.simulation.tape.times, moments) - 1, 0)
    return [
        ticks[last] * float(instrument.tick_size)
        for ticks, instrument in zip(member.walked.closes, member.instruments, strict=True)
    ]


def worth_at(member: Member, moments: Times, closes: Floats, before: Saved) -> tuple[list[Floats], Floats]:
    """Return what its coins, by market, and all of the book was worth at moments since `before`."""
    journal = member.simulation.tape.journal[before.fill_count : member.filled_now]
    if not len(journal):
        held = [owned * FLOAT_UNIT * close for owned, close in zip(before.owned, closes, strict=True)]
        return held, _added(before.cash * FLOAT_UNIT, held)
    done = np.searchsorted(journal["time"], moments)
    cash, coins = _moved_by(member, journal)
    held = []
    for market, close in enumerate(closes):
        own = coins if len(closes) == 1 else np.where(journal["symbol"] == market, coins, 0)
        held.append((before.owned[market] + _summed(own))[done] * FLOAT_UNIT * close)
    money: Floats = (before.cash + _summed(cash))[done].astype(np.float64) * FLOAT_UNIT
    return held, _added(money, held)


def _moved_by(member: Member, journal: Record) -> tuple[Times, Times]:
    """Answer the units of quote and of base that fills brought."""
    worlds, market = member.worlds, journal["symbol"]
    amounts = journal["lots"] * journal["ticks"] * worlds["quote_units_per_tick_lot"][market]
    coins = journal["lots"] * worlds["units_per_lot"][market]
    is_buy, fees = journal["side"] == BUY, journal["fee"]
    if member.in_quote:
        return np.where(is_buy, -amounts, amounts) - fees, np.where(is_buy, coins, -coins)
    return np.where(is_buy, -amounts, amounts - fees), np.where(is_buy, coins - fees, -coins)


def _added(cash: Floats | float, held: list[Floats]) -> Floats:
    """Add cash and coins up, market by market."""
    worth = cash + held[0]
    for one in held[1:]:
        worth = worth + one
    return worth


def _summed(changes: Times) -> Times:
    """Add changes up, with what there was before the first."""
    return np.concatenate(([0], np.cumsum(changes)))
