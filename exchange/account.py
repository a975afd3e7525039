"""What every port of an account does alike: keep the exchange's time, send an order once, read again by a fresh clock."""

from __future__ import annotations

import abc
import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any, Final, Generic, TypeVar

import ccxt

from exchange import clock
from exchange.errors import ExchangeTrouble, Outcome
from exchange.ports import OrderTicket, StreamGap, UserEvent
from exchange.profiles import VenueProfile
from exchange.streams import EventQueue, follow
from exchange.wire import Calls, CarefulWire

STREAM_TROUBLES: Final = (ExchangeTrouble, ccxt.BaseError, OSError, asyncio.TimeoutError)
W = TypeVar("W", bound=CarefulWire)


class AccountPort(abc.ABC, Generic[W]):
    """The part of a TradingPort that is the same everywhere."""

    def __init__(self, *, connection: Calls[W], events: EventQueue[UserEvent]) -> None:
        self._connection = connection
        self.profile: VenueProfile = connection.profile
        self.budget = connection.budget
        self.clock_ahead_ms = 0
        # Kinds of stream events that we know nothing of, and how often they came.
        self.events_unknown: Counter[str] = Counter()
        self._events = events
        self._sent: set[str] = set()

    async def server_time_ms(self) -> int:
        """Ask for the exchange's clock and sign by it from now on."""
        sample = await self._sample()
        self._set_ahead(clock.ahead_ms([sample]))
        return sample.server_ms

    async def measure_clock(self) -> int:
        """Measure how far our clock is ahead of the exchange's, in milliseconds, and sign by that from now on."""
        self._set_ahead(clock.ahead_ms([await self._sample() for _ in range(clock.SAMPLES)]))
        return self.clock_ahead_ms

    def silent_seconds(self) -> float:
        """Return for how long the exchange wants to hear nothing from this address."""
        return self.budget.silent_seconds()

    def weight_used_ratio(self) -> float:
        """Return the used part of this minute's request weight."""
        return self.budget.used_ratio()

    async def user_events(self) -> AsyncIterator[UserEvent]:
        """Follow the account for ever; every cut shows as a StreamGap, every return as a StreamOpen."""
        async for event in follow(self._events, self._subscribe, STREAM_TROUBLES):
            yield event

    async def reopen_stream(self, reason: str) -> None:
        """Give the stream up and open a new one: it is there but does not tell what happens (U07)."""
        await self._connection.drop_streams()
        self._events.put(StreamGap(reason))

    async def close(self) -> None:
        """Let go of every connection."""
        await self._connection.close()

    def _claim(self, ticket: OrderTicket) -> None:
        """Let an order be sent once in the life of this process: the second gate behind the database's."""
        if ticket.client_order_id in self._sent:
            # What became of the first sending must be read.
            raise ExchangeTrouble(Outcome.EXISTS, f"{ticket.client_order_id} has been sent already.")
        self._sent.add(ticket.client_order_id)

    async def _read(self, name: str, parameters: dict[str, Any], *, weight: int, is_urgent: bool = False) -> Any:
        """Read; once more with a fresh clock if the exchange says that ours is off (E16)."""
        try:
            return await self._connection.call(name, parameters, method="GET", weight=weight, is_urgent=is_urgent)
        except ExchangeTrouble as trouble:
            if trouble.outcome != Outcome.REJECTED_TIME:
                raise
        await self.server_time_ms()
        return await self._connection.call(name, parameters, method="GET", weight=weight, is_urgent=is_urgent)

    async def _sample(self) -> clock.Sample:
        asked, began = self._connection.wire.milliseconds(), time.monotonic()
        server = await self._told_time()
        if not isinstance(server, int) or not clock.is_milliseconds(server):
            raise ExchangeTrouble(Outcome.UNAVAILABLE, f"This is no time: {str(server)[:120]}")
        return clock.Sample(asked, (time.monotonic() - began) * 1000, server)

    def _set_ahead(self, ahead_ms: int) -> None:
        self.clock_ahead_ms = ahead_ms
        self._connection.wire.options["timeDifference"] = ahead_ms

    @abc.abstractmethod
    async def _told_time(self) -> object:
        """Ask for the exchange's clock, in milliseconds."""

    @abc.abstractmethod
    async def _subscribe(self) -> None:
        """Open the user stream; return when the exchange has said that it runs."""


def rows(raw: Any) -> list[Any]:
    """Read a list."""
    if not isinstance(raw, list):
        raise ExchangeTrouble(Outcome.UNAVAILABLE, f"This is no list: {str(raw)[:120]}")
    return raw
