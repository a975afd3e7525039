"""What comes to a simulated account from outside and leaves it: to what is dealt to nobody, and from there, as live."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from trading.accounts.flows import INSUFFICIENT, Flow, FlowOutcome
from trading.accounts.member import Member
from trading.accounts.purse import Purse
from trading.accounts.referee import milliseconds, moment
from trading.allocations import settle_pending
from trading.instruments import amount, units
from trading.ledger import ZERO, exactly

_HOUR: Final = timedelta(hours=1)


@dataclass(slots=True)
class _Due:
    """A flow and the base candle at which it is taken."""

    at: int
    flow: Flow


class Cashier:
    """Books deposits and withdrawals, and brings in for the latter what books give back as it comes free."""

    def __init__(self, flows: Sequence[Flow], members: Sequence[Member], purse: Purse, *, align: Callable[[int], int]) -> None:
        """Book nothing yet; `align` answers the first base candle from a moment on."""
        in_order = sorted(flows, key=lambda flow: flow.at)
        self._waiting = deque(_Due(align(milliseconds(flow.at)), flow) for flow in in_order)
        self._members = members
        self._purse = purse
        self._booked: list[FlowOutcome] = []

    def next_after(self, at: int) -> datetime | None:
        """Answer when there is something to do next."""
        moments = [moment(self._waiting[0].at)] if self._waiting else []
        if self._booked and any(member.pending < ZERO for member in self._members):
            moments.append(moment(at).replace(minute=0, second=0, microsecond=0) + _HOUR)
        return min(moments, default=None)

    @exactly
    def act(self, at: int) -> None:
        """Take in what books have free of what they give back, then book what is due."""
        self._collect(at)
        while self._waiting and self._waiting[0].at <= at:
            self._book(self._waiting.popleft().flow, at)

    def outcomes(self) -> tuple[FlowOutcome, ...]:
        """Tell what came of every flow so far; of withdrawals that wait the oldest is served first."""
        left = self._purse.paid_out
        told = []
        for one in self._booked:
            if one.amount < ZERO and not one.code:
                done = min(left, -one.amount)
                left -= done
                told.append(replace(one, done=-done))
            else:
                told.append(one)
        return tuple(told)

    def _book(self, flow: Flow, at: int) -> None:
        booked = FlowOutcome(asked_at=flow.at, at=moment(at), amount=flow.amount, done=ZERO)
        if flow.amount > ZERO:
            self._purse.receive(units(flow.amount), at)
            booked = replace(booked, done=flow.amount)
        elif -flow.amount > self._purse.total(at) - amount(self._purse.owed):
            booked = replace(booked, code=INSUFFICIENT)
        else:
            self._purse.owe(units(-flow.amount), at)
            # What is free leaves at this very moment.
            self._collect(at)
        self._booked.append(booked)

    def _collect(self, at: int) -> None:
        giving = [holder for holder in self._purse.holders(at) if holder.pending < ZERO]
        if giving:
            # Nobody receives here, so no reserve is asked for.
            self._purse.complete(settle_pending(holders=giving, unallocated=ZERO, reserve=ZERO), at)
