"""Trade one Binance account: the only place from which an order can leave the house."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any, Final

import ccxt

from exchange import clock
from exchange.binance import answers
from exchange.binance.wire import Connection, Wire, default_host
from exchange.budget import RequestBudget
from exchange.errors import AnswerNotOurs, ExchangeTrouble, Outcome
from exchange.ports import KeyPermissions, Listing, OrderTicket, StreamGap, Submitted, UserEvent
from exchange.profiles import VenueProfile
from exchange.streams import EventQueue, follow
from trading.orders import BalanceReport, OrderReport, TradeReport

_TRADES_PER_PAGE: Final = 1000
# Already subscribed, or not any more (U06).
_SUBSCRIPTION_TROUBLES: Final = (-2035, -2036)
_TROUBLES: Final = (ExchangeTrouble, ccxt.BaseError, OSError, asyncio.TimeoutError)


class BinanceTrading:
    """A TradingPort bound to one account and its key."""

    def __init__(
        self,
        *,
        profile: VenueProfile,
        key: str,
        secret: str,
        rest_url: str = "",
        stream_url: str = "",
        wire_class: type[Wire] = Wire,
        uid: str = "",
    ) -> None:
        self.profile = profile
        self._uid = uid
        self.budget = RequestBudget(wall_seconds=time.time, host=rest_url or default_host(wire_class))
        self.clock_ahead_ms = 0
        # Kinds of stream events that we know nothing of, and how often they came.
        self.events_unknown: Counter[str] = Counter()
        self._events: EventQueue[UserEvent] = EventQueue()
        self._sent: set[str] = set()
        self._connection = Connection(
            profile=profile,
            budget=self.budget,
            on_event=self._take_event,
            on_cut=lambda reason: self._events.put(StreamGap(reason)),
            rest_url=rest_url,
            stream_url=stream_url,
            key=key,
            secret=secret,
            wire_class=wire_class,
        )

    async def server_time_ms(self) -> int:
        """Ask for the exchange's clock and sign by it from now on."""
        asked, began = self._connection.wire.milliseconds(), time.monotonic()
        server = await self._read_time()
        self._set_ahead(clock.ahead_ms([clock.Sample(asked, (time.monotonic() - began) * 1000, server)]))
        return server

    async def measure_clock(self) -> int:
        """Measure how far our clock is ahead of the exchange's, in milliseconds, and sign by that from now on."""
        samples = []
        for _ in range(clock.SAMPLES):
            asked, began = self._connection.wire.milliseconds(), time.monotonic()
            server = await self._read_time()
            samples.append(clock.Sample(asked, (time.monotonic() - began) * 1000, server))
        self._set_ahead(clock.ahead_ms(samples))
        return self.clock_ahead_ms

    def silent_seconds(self) -> float:
        """Return for how long the exchange wants to hear nothing from this address."""
        return self.budget.silent_seconds()

    async def instruments(self) -> list[Listing]:
        """List what can be traded."""
        raw = await self._connection.call("public_get_exchangeinfo", method="GET", weight=20)
        self.budget.learn_limit(answers.weight_limit(raw))
        return answers.listings(raw)

    async def submit(self, ticket: OrderTicket, *, send_before_ms: int) -> Submitted:
        """Send an order, once in the life of this process; no byte leaves after the deadline."""
        if ticket.client_order_id in self._sent:
            # The second gate behind the database's: what became of the first sending must be read.
            raise ExchangeTrouble(Outcome.EXISTS, f"{ticket.client_order_id} has been sent already.")
        self._sent.add(ticket.client_order_id)
        raw = await self._connection.call(
            "private_post_order",
            answers.order_parameters(ticket),
            method="POST",
            weight=1,
            is_urgent=ticket.side == "sell",
            write_before_ms=send_before_ms,
        )
        report = _read_order(raw)
        answers.check_submitted(report, ticket)
        return Submitted(report, answers.trades_of_answer(raw, report))

    async def cancel(self, symbol: str, client_order_id: str) -> OrderReport:
        """Cancel an order and report its end."""
        parameters = {"symbol": symbol, "origClientOrderId": client_order_id}
        raw = await self._connection.call("private_delete_order", parameters, method="DELETE", weight=1, is_urgent=True)
        report = _read_order(raw)
        answers.check_echo(report, symbol=symbol, client_order_id=client_order_id)
        return report

    async def order_by_client_id(self, symbol: str, client_order_id: str) -> OrderReport:
        """Read an order by our name for it."""
        report = await self._order({"symbol": symbol, "origClientOrderId": client_order_id})
        answers.check_echo(report, symbol=symbol, client_order_id=client_order_id)
        return report

    async def order_by_exchange_id(self, symbol: str, exchange_order_id: str) -> OrderReport:
        """Read an order by the exchange's number."""
        report = await self._order({"symbol": symbol, "orderId": exchange_order_id})
        if (report.symbol, report.exchange_order_id) != (symbol, exchange_order_id):
            raise AnswerNotOurs(
                f"Asked about {symbol} {exchange_order_id}, told about {report.symbol} {report.exchange_order_id}."
            )
        return report

    async def open_orders(self, symbol: str | None = None) -> list[OrderReport]:
        """List live orders, of one symbol or of all."""
        parameters = {"symbol": symbol} if symbol else {}
        raw = await self._read("private_get_openorders", parameters, weight=6 if symbol else 80)
        return [answers.order_report(row) for row in _rows(raw)]

    async def orders_since(self, symbol: str, from_id: int, through_id: int) -> list[OrderReport]:
        """List every order of a symbol in this range of the exchange's numbers, page by page."""
        found: list[OrderReport] = []
        while from_id <= through_id:
            parameters = {"symbol": symbol, "orderId": from_id, "limit": _TRADES_PER_PAGE}
            page = [answers.order_report(row) for row in _rows(await self._read("private_get_allorders", parameters, weight=20))]
            found += page
            if len(page) < _TRADES_PER_PAGE:
                break
            from_id = int(page[-1].exchange_order_id) + 1
        return found

    async def trades_since(self, symbol: str, from_id: int) -> list[TradeReport]:
        """List every trade from this trade id on, oldest first, page by page."""
        found: list[TradeReport] = []
        while True:
            parameters = {"symbol": symbol, "fromId": from_id, "limit": _TRADES_PER_PAGE}
            page = [answers.trade_report(row) for row in _rows(await self._read("private_get_mytrades", parameters, weight=20))]
            found += page
            if len(page) < _TRADES_PER_PAGE:
                return found
            from_id = page[-1].trade_id + 1

    async def balances(self) -> BalanceReport:
        """Read what the exchange holds for the account; the answer of another account is refused (I-36)."""
        raw = await self._read("private_get_account", {"omitZeroBalances": "true"}, weight=20)
        report = answers.balance_report(raw)
        answers.check_account(raw, uid=self._uid)
        return report

    async def key_permissions(self) -> KeyPermissions:
        """Read what our key may do."""
        return answers.key_permissions(await self._read("sapi_get_account_apirestrictions", {}, weight=1))

    async def user_events(self) -> AsyncIterator[UserEvent]:
        """Follow the account for ever; every cut shows as a StreamGap, every return as a StreamOpen."""
        async for event in follow(self._events, self._subscribe, _TROUBLES):
            yield event

    async def close(self) -> None:
        """Let go of every connection."""
        await self._connection.close()

    async def _read_time(self) -> int:
        raw = await self._connection.call("public_get_time", method="GET", weight=1, is_urgent=True)
        server = raw.get("serverTime") if isinstance(raw, dict) else None
        if not isinstance(server, int) or not clock.is_milliseconds(server):
            raise ExchangeTrouble(Outcome.UNAVAILABLE, f"This is no time: {str(raw)[:120]}")
        return server

    def _set_ahead(self, ahead_ms: int) -> None:
        self.clock_ahead_ms = ahead_ms
        self._connection.wire.options["timeDifference"] = ahead_ms

    async def reopen_stream(self, reason: str) -> None:
        """Give the stream up and open a new one: it is there but does not tell what happens (U07)."""
        await self._connection.drop_streams()
        self._events.put(StreamGap(reason))

    async def _subscribe(self) -> None:
        # A banned address must not even knock.
        await self.budget.admit(2, is_urgent=True)
        try:
            async with asyncio.timeout(self.profile.request_deadline_seconds):
                await self._connection.wire.open_user_stream()
        except ExchangeTrouble as trouble:
            if trouble.code in _SUBSCRIPTION_TROUBLES:
                # Of a socket with half a subscription nothing is known: the next attempt gets a fresh one.
                await self._connection.drop_streams()
            raise

    def _take_event(self, raw: dict[str, Any]) -> None:
        if raw.get("e") not in answers.EVENTS_KNOWN:
            self.events_unknown[str(raw.get("e"))[:40]] += 1
        try:
            for event in answers.user_events(raw):
                self._events.put(event)
        except ExchangeTrouble as trouble:
            # What we cannot read we must fetch: the same as having missed it.
            self._events.put(StreamGap(str(trouble)))

    async def _order(self, parameters: dict[str, Any]) -> OrderReport:
        return _read_order(await self._read("private_get_order", parameters, weight=4, is_urgent=True))

    async def _read(self, name: str, parameters: dict[str, Any], *, weight: int, is_urgent: bool = False) -> Any:
        """Read; once more with a fresh clock if the exchange says that ours is off (E16)."""
        try:
            return await self._connection.call(name, parameters, method="GET", weight=weight, is_urgent=is_urgent)
        except ExchangeTrouble as trouble:
            if trouble.outcome != Outcome.REJECTED_TIME:
                raise
        await self.server_time_ms()
        return await self._connection.call(name, parameters, method="GET", weight=weight, is_urgent=is_urgent)


def _read_order(raw: Any) -> OrderReport:
    if not isinstance(raw, dict):
        raise ExchangeTrouble(Outcome.UNKNOWN, f"This is no order: {str(raw)[:120]}")
    return answers.order_report(raw)


def _rows(raw: Any) -> list[Any]:
    if not isinstance(raw, list):
        raise ExchangeTrouble(Outcome.UNAVAILABLE, f"This is no list: {str(raw)[:120]}")
    return raw
