"""What a simulated account came to, bot by bot; the books and what nobody has add up to it, to the last unit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from trading.accounts.flows import FlowOutcome
from trading.bars import Floats, Times
from trading.fill_ratios import OrderTally
from trading.handover import Mode
from trading.kernels.backtest import Fill
from trading.ledger import ZERO
from trading.metrics import time_weighted
from trading.round_trips import fee_in_quote


class Holding(NamedTuple):
    """What is left in one market, and the last close there."""

    symbol: str
    lot_size: Decimal
    quantity: Decimal
    mark: Decimal


@dataclass(frozen=True, slots=True, eq=False)
class BotResult:
    """What came of one bot: its fills, its purse, and what was refused."""

    key: str
    strategy: str
    # A market each, in the order of the bot's markets.
    holdings: tuple[Holding, ...]
    fills: tuple[Fill, ...]
    tallies: tuple[OrderTally, ...]
    cash: Decimal
    # Capital put in and not taken out again; holdings that were handed on count at their mark.
    net_flows: Decimal
    reasons: Mapping[str, int]
    refusals: Mapping[str, int]
    # What the book was worth at the account's times.
    worths: Floats

    @property
    def equity(self) -> Decimal:
        """Value everything at the last mark."""
        return self.cash + sum((one.quantity * one.mark for one in self.holdings), ZERO)

    @property
    def profit(self) -> Decimal:
        """Return what it won or lost."""
        return self.equity - self.net_flows

    @property
    def fees(self) -> Decimal:
        """Add up its fees in quote; one taken in base counts at the price of its fill."""
        return sum((fee_in_quote(fill) for fill in self.fills), ZERO)


@dataclass(frozen=True, slots=True, eq=False)
class AccountResult:
    """What came of an account; `times` are the opens of the base bars at which `worths` was taken."""

    name: str
    mode: Mode
    capital: Decimal
    unallocated: Decimal
    bots: tuple[BotResult, ...]
    times: Times
    worths: Floats
    # At the same times: what the coins were worth, and whether any bot held so many of one that the exchange would take a sale.
    invested: Floats
    is_in_market: npt.NDArray[np.bool_]
    # When the account passed on, and to whom; whom a hard cap shut, None being the account.
    switches: tuple[tuple[datetime, str], ...]
    hard_stops: tuple[tuple[datetime, str | None], ...]
    decisions: int
    # What came of the plan's flows, and what came and went at the account's times, right after its worth was taken.
    flows: tuple[FlowOutcome, ...] = ()
    payments: tuple[tuple[int, Decimal], ...] = ()

    @property
    def final_equity(self) -> Decimal:
        """Add up the books and what is dealt to nobody."""
        return self.unallocated + sum((bot.equity for bot in self.bots), ZERO)

    @property
    def net_flows(self) -> Decimal:
        """Return what came from outside less what left."""
        return sum((moved for _, moved in self.payments), ZERO)

    @property
    def profit(self) -> Decimal:
        """Return what the account won or lost; flows are neither."""
        return self.final_equity - self.capital - self.net_flows

    @property
    def paid(self) -> dict[int, float]:
        """Return what came and went by the place among the times, as figures need it."""
        found: dict[int, float] = {}
        for at, moved in self.payments:
            place = int(np.searchsorted(self.times, at))
            found[place] = found.get(place, 0.0) + float(moved)
        return found

    @property
    def growth(self) -> Floats:
        """Return what the account would be worth had nothing come or gone: what figures of performance are measured on."""
        return time_weighted(self.worths, self.paid)

    @property
    def fees(self) -> Decimal:
        """Add up the fees of all bots in quote."""
        return sum((bot.fees for bot in self.bots), ZERO)
