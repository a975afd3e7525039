"""Trade one Coinbase account. Its orders and trades have names, not numbers in order, and its stream tells orders alone."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Collection
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from exchange.account import AccountPort, rows
from exchange.budget import RequestBudget
from exchange.coinbase import answers
from exchange.coinbase.wire import DEFAULT_HOST, REQUESTS_PER_MINUTE, Connection, Wire
from exchange.errors import AnswerNotOurs, ExchangeTrouble, Outcome
from exchange.ports import KeyPermissions, Listing, OrderTicket, RecordedFlow, StreamGap, Submitted, UserEvent
from exchange.profiles import VenueProfile
from exchange.streams import EventQueue
from exchange.values import ZERO, check_echo, check_submitted, moment
from trading.orders import FINAL_STATUSES, BalanceReport, ExchangeStatus, OrderReport, Side, TradeReport

_PAGE: Final = 250
# Beyond so many of our own orders and trades the oldest are read anew when somebody asks.
_REMEMBERED_MAX: Final = 20_000
_WAITING: Final = ("PENDING", "QUEUED", "CANCEL_QUEUED")
_ORDERS: Final = "v3_private_get_brokerage_orders_historical_batch"
_FILLS: Final = "v3_private_get_brokerage_orders_historical_fills"


class CoinbaseTrading(AccountPort[Wire]):
    """A TradingPort bound to one account and its key."""

    _connection: Connection

    def __init__(
        self, *, profile: VenueProfile, key: str, secret: str, rest_url: str = "", stream_url: str = "", uid: str = ""
    ) -> None:
        # The portfolio that the account is bound to.
        self._uid = uid
        budget = RequestBudget(wall_seconds=time.time, host=rest_url or DEFAULT_HOST, limit=REQUESTS_PER_MINUTE)
        budget.learn_limit(None)
        events: EventQueue[UserEvent] = EventQueue()
        connection = Connection(
            profile=profile,
            budget=budget,
            on_event=self._take_event,
            on_cut=lambda reason: events.put(StreamGap(reason)),
            rest_url=rest_url,
            stream_url=stream_url,
            key=key,
            secret=secret,
        )
        super().__init__(connection=connection, events=events)
        # Our name of an order, and the exchange's.
        self._numbers: dict[str, str] = {}
        # What the stream has told of an order, waiting to be read; and how much of each it has told as trades.
        self._hints: dict[str, None] = {}
        self._told: dict[str, Decimal] = {}

    async def instruments(self) -> list[Listing]:
        """List what can be traded."""
        raw = await self._read("v3_public_get_brokerage_market_products", {"product_type": "SPOT"}, weight=1)
        return answers.listings(rows(raw.get("products") if isinstance(raw, dict) else raw))

    async def submit(self, ticket: OrderTicket, *, send_before_ms: int) -> Submitted:
        """Send an order, once in the life of this process; its trades are told by the stream and by the history."""
        parameters = answers.order_parameters(ticket)
        self._claim(ticket)
        raw = await self._connection.call(
            "v3_private_post_brokerage_orders",
            parameters,
            method="POST",
            weight=1,
            is_urgent=ticket.side == "sell",
            write_before_ms=send_before_ms,
        )
        number = answers.accepted(raw, ticket)
        self._remember(ticket.client_order_id, number)
        try:
            report = await self.order_by_exchange_id(ticket.symbol, number)
            check_submitted(report, ticket)
            return Submitted(report, tuple(await self._trades_of(report)))
        except ExchangeTrouble:
            # It was taken, that much is proven, and no trouble of a read may say otherwise; the stream tells what became of it.
            return Submitted(self._taken(ticket, number), ())

    async def cancel(self, symbol: str, client_order_id: str) -> OrderReport:
        """Cancel an order and report its end."""
        try:
            number = await self._number_of(symbol, client_order_id)
        except ExchangeTrouble as trouble:
            if trouble.outcome != Outcome.NOT_VISIBLE:
                raise
            raise ExchangeTrouble(Outcome.QUERY, trouble.message) from trouble
        name = "v3_private_post_brokerage_orders_batch_cancel"
        raw = await self._connection.call(name, {"order_ids": [number]}, method="DELETE", weight=1, is_urgent=True)
        answers.check_cancelled(raw, number)
        report = await self.order_by_exchange_id(symbol, number)
        check_echo(report, symbol=symbol, client_order_id=client_order_id)
        return report

    async def order_by_client_id(self, symbol: str, client_order_id: str) -> OrderReport:
        """Read an order by our name for it."""
        report = await self.order_by_exchange_id(symbol, await self._number_of(symbol, client_order_id))
        check_echo(report, symbol=symbol, client_order_id=client_order_id)
        return report

    async def order_by_exchange_id(self, symbol: str, exchange_order_id: str) -> OrderReport:
        """Read an order by the exchange's name for it."""
        wanted = {"order_id": exchange_order_id}
        raw = await self._read("v3_private_get_brokerage_orders_historical_order_id", wanted, weight=1, is_urgent=True)
        report = answers.order_report(raw.get("order") if isinstance(raw, dict) else raw)
        if (report.symbol, report.exchange_order_id) != (symbol, exchange_order_id):
            told = f"{report.symbol} {report.exchange_order_id}"
            raise AnswerNotOurs(f"Asked about {symbol} {exchange_order_id}, told about {told}.")
        self._remember(report.client_order_id, exchange_order_id)
        return report

    async def open_orders(self, symbol: str | None = None) -> list[OrderReport]:
        """List live orders, of one symbol or of all; the exchange lists those that rest and those on their way apart."""
        chosen = {"product_ids": [symbol]} if symbol else {}
        listed = [row async for row in self._pages(_ORDERS, chosen | {"order_status": ["OPEN"]}, "orders")]
        listed += [row async for row in self._pages(_ORDERS, chosen | {"order_status": list(_WAITING)}, "orders")]
        found = {report.exchange_order_id: report for report in map(answers.order_report, listed)}
        return [report for report in found.values() if report.status not in FINAL_STATUSES]

    async def names_of(self, symbol: str, numbers: Collection[str]) -> dict[str, str]:
        """Tell what these orders of the exchange's are called by us."""
        return {number: (await self.order_by_exchange_id(symbol, number)).client_order_id for number in sorted(numbers)}

    async def trades_since(self, symbol: str, from_id: int) -> list[TradeReport]:
        """List every trade from this trade on, oldest first, page by page."""
        wanted: dict[str, Any] = {"product_ids": [symbol]}
        if from_id > 0:
            wanted["start_sequence_timestamp"] = answers.begin_of(from_id)
        fills = [row async for row in self._pages(_FILLS, wanted, "fills")]
        return [trade for trade in answers.trade_reports(fills, {}) if trade.trade_id >= from_id]

    async def balances(self) -> BalanceReport:
        """Read what the exchange holds for the account."""
        name = "v3_private_get_brokerage_accounts"
        found = [row async for row in self._pages(name, {}, "accounts")]
        answers.check_portfolio(found, uid=self._uid)
        return answers.balance_report(found)

    async def flows(self, since: datetime, until: datetime) -> list[RecordedFlow]:
        """Refuse: the part of its API that trades keeps no such record."""
        raise ExchangeTrouble(Outcome.UNAVAILABLE, f"Coinbase does not tell here what came or left from {since} to {until}.")

    async def key_permissions(self) -> KeyPermissions:
        """Read what our key may do."""
        return answers.key_permissions(await self._read("v3_private_get_brokerage_key_permissions", {}, weight=1))

    async def user_events(self) -> AsyncIterator[UserEvent]:
        """Follow the account for ever; what the stream says of an order is read before it is told."""
        async for event in super().user_events():
            if not isinstance(event, OrderReport):
                yield event
                continue
            if event.exchange_order_id not in self._hints:
                # Several hints of one order that waited together are one question.
                continue
            del self._hints[event.exchange_order_id]
            try:
                told = await self._read_hint(event)
            except (ExchangeTrouble, AnswerNotOurs) as trouble:
                # What cannot be read now is as good as missed.
                await self.reopen_stream(f"an order could not be read: {trouble}"[:200])
                continue
            for news in told:
                yield news

    async def _told_time(self) -> object:
        raw = await self._connection.call("v3_public_get_brokerage_time", method="GET", weight=1, is_urgent=True)
        told = raw.get("epochMillis") if isinstance(raw, dict) else None
        return int(told) if isinstance(told, str) and told.isdigit() else told

    async def _subscribe(self) -> None:
        await self.budget.admit(1, is_urgent=True)
        # A socket that is half open takes its time to close, too.
        async with asyncio.timeout(self.profile.request_deadline_seconds):
            # One that is there already would answer nothing to a second subscription.
            await self._connection.drop_streams()
            await self._connection.wire.open_user_stream()

    def _take_event(self, raw: dict[str, Any]) -> None:
        for event in raw.get("events", ()):
            if event.get("type") == "snapshot":
                # What was there before is read by whoever opened the stream.
                continue
            for order in event.get("orders", ()):
                self._note_hint(order)

    def _note_hint(self, order: dict[str, Any]) -> None:
        number, name = str(order.get("order_id", "")), str(order.get("client_order_id", ""))
        if not number:
            self._events.put(StreamGap(f"This is no order: {str(order)[:120]}"))
            return
        self._remember(name, number)
        self._hints[number] = None
        side = Side.SELL if order.get("order_side") == "SELL" else Side.BUY
        now = moment(self._connection.wire.milliseconds() - self.clock_ahead_ms)
        symbol = str(order.get("product_id", ""))
        self._events.put(OrderReport(name, number, symbol, side, ExchangeStatus.NEW, ZERO, ZERO, ZERO, now))

    async def _read_hint(self, hint: OrderReport) -> list[UserEvent]:
        report = await self.order_by_exchange_id(hint.symbol, hint.exchange_order_id)
        if report.executed_quantity == self._told.get(report.exchange_order_id, ZERO):
            return [report]
        trades = await self._trades_of(report)
        # Where the exchange shows fewer yet than the order speaks of, the next hint asks again.
        self._told[report.exchange_order_id] = sum((trade.quantity for trade in trades), ZERO)
        _forget(self._told)
        return [*trades, report]

    async def _trades_of(self, report: OrderReport) -> list[TradeReport]:
        if not report.executed_quantity:
            return []
        wanted = {"order_ids": [report.exchange_order_id]}
        fills = [row async for row in self._pages(_FILLS, wanted, "fills")]
        return answers.trade_reports(fills, {report.exchange_order_id: report.client_order_id})

    async def _number_of(self, symbol: str, client_order_id: str) -> str:
        """Find an order by our name: in memory, or by reading orders, the newest first."""
        if client_order_id in self._numbers:
            return self._numbers[client_order_id]
        async for row in self._pages(_ORDERS, {"product_ids": [symbol]}, "orders"):
            report = answers.order_report(row)
            self._remember(report.client_order_id, report.exchange_order_id)
            if report.client_order_id == client_order_id:
                return report.exchange_order_id
        raise ExchangeTrouble(Outcome.NOT_VISIBLE, f"No order of {symbol} is called {client_order_id}.")

    async def _pages(self, name: str, wanted: dict[str, Any], content: str) -> AsyncIterator[Any]:
        cursor = ""
        while True:
            more = {"cursor": cursor} if cursor else {}
            raw = await self._read(name, wanted | more | {"limit": _PAGE}, weight=1, is_urgent=True)
            if not isinstance(raw, dict):
                raise ExchangeTrouble(Outcome.UNAVAILABLE, f"This is no page of {content}: {str(raw)[:120]}")
            for row in rows(raw.get(content)):
                yield row
            told, cursor = cursor, str(raw.get("cursor") or "")
            if not cursor or cursor == told or raw.get("has_next") is False:
                return

    def _taken(self, ticket: OrderTicket, number: str) -> OrderReport:
        now = moment(self._connection.wire.milliseconds() - self.clock_ahead_ms)
        name, side = ticket.client_order_id, Side(ticket.side)
        return OrderReport(name, number, ticket.symbol, side, ExchangeStatus.NEW, ticket.quantity, ZERO, ZERO, now)

    def _remember(self, client_order_id: str, number: str) -> None:
        self._numbers[client_order_id] = number
        _forget(self._numbers)


def _forget(known: dict[str, Any]) -> None:
    while len(known) > _REMEMBERED_MAX:
        del known[next(iter(known))]
