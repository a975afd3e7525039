"""Trade one Binance account: the only place from which an order can leave the house."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Collection
from datetime import datetime, timedelta
from typing import Any, Final

from exchange.account import AccountPort, rows
from exchange.binance import answers
from exchange.binance.wire import Connection, Wire, default_host
from exchange.budget import RequestBudget
from exchange.errors import AnswerNotOurs, ExchangeTrouble, Outcome
from exchange.ports import KeyPermissions, Listing, OrderTicket, RecordedFlow, StreamGap, Submitted, UserEvent
from exchange.profiles import VenueProfile
from exchange.streams import EventQueue
from exchange.values import check_echo, check_submitted
from trading.orders import BalanceReport, OrderReport, TradeReport

_TRADES_PER_PAGE: Final = 1000
_FLOWS_PER_PAGE: Final = 1000
_FLOWS_WINDOW: Final = timedelta(days=90)
# More orders than this are named by reading whole pages of orders.
_ASKED_ONE_BY_ONE: Final = 5


class BinanceTrading(AccountPort[Wire]):
    """A TradingPort bound to one account and its key."""

    _connection: Connection

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
        self._uid = uid
        budget = RequestBudget(wall_seconds=time.time, host=rest_url or default_host(wire_class))
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
            wire_class=wire_class,
        )
        super().__init__(connection=connection, events=events)

    async def instruments(self) -> list[Listing]:
        """List what can be traded."""
        is_urgent = not self.budget.is_limit_told
        raw = await self._connection.call("public_get_exchangeinfo", method="GET", weight=20, is_urgent=is_urgent)
        self.budget.learn_limit(answers.weight_limit(raw))
        return answers.listings(raw)

    async def submit(self, ticket: OrderTicket, *, send_before_ms: int) -> Submitted:
        """Send an order, once in the life of this process; no byte leaves after the deadline."""
        self._claim(ticket)
        raw = await self._connection.call(
            "private_post_order",
            answers.order_parameters(ticket),
            method="POST",
            weight=1,
            is_urgent=ticket.side == "sell",
            write_before_ms=send_before_ms,
        )
        report = _read_order(raw)
        check_submitted(report, ticket)
        return Submitted(report, answers.trades_of_answer(raw, report))

    async def cancel(self, symbol: str, client_order_id: str) -> OrderReport:
        """Cancel an order and report its end."""
        parameters = {"symbol": symbol, "origClientOrderId": client_order_id}
        raw = await self._connection.call("private_delete_order", parameters, method="DELETE", weight=1, is_urgent=True)
        report = _read_order(raw)
        check_echo(report, symbol=symbol, client_order_id=client_order_id)
        return report

    async def order_by_client_id(self, symbol: str, client_order_id: str) -> OrderReport:
        """Read an order by our name for it."""
        report = await self._order({"symbol": symbol, "origClientOrderId": client_order_id})
        check_echo(report, symbol=symbol, client_order_id=client_order_id)
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
        return [answers.order_report(row) for row in rows(raw)]

    async def names_of(self, symbol: str, numbers: Collection[str]) -> dict[str, str]:
        """Tell what the orders of these numbers are called: one by one, or by whole pages when there are many."""
        wanted, names = sorted(map(int, numbers)), dict[str, str]()
        if len(wanted) > _ASKED_ONE_BY_ONE:
            found = await self._orders_between(symbol, wanted[0], wanted[-1])
            names = {report.exchange_order_id: report.client_order_id for report in found}
        for number in map(str, wanted):
            if number not in names:
                names[number] = (await self.order_by_exchange_id(symbol, number)).client_order_id
        return names

    async def trades_since(self, symbol: str, from_id: int) -> list[TradeReport]:
        """List every trade from this trade id on, oldest first, page by page."""
        found: list[TradeReport] = []
        while True:
            parameters = {"symbol": symbol, "fromId": from_id, "limit": _TRADES_PER_PAGE}
            page = [answers.trade_report(row) for row in rows(await self._read("private_get_mytrades", parameters, weight=20))]
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

    async def flows(self, since: datetime, until: datetime) -> list[RecordedFlow]:
        """List the deposits and withdrawals that began in this time, window by window and page by page."""
        found: dict[str, RecordedFlow] = {}
        while since < until:
            end = min(since + _FLOWS_WINDOW, until)
            for name, read in (
                ("sapi_get_capital_deposit_hisrec", answers.deposit),
                ("sapi_get_capital_withdraw_history", answers.withdrawal),
            ):
                async for row in self._flow_pages(name, since, end):
                    # What lies in another wallet never was in these balances.
                    if row.get("walletType", 0) == 0:
                        flow = read(row)
                        found[flow.name] = flow
            since = end
        return sorted(found.values(), key=lambda flow: (flow.began_at, flow.name))

    async def key_permissions(self) -> KeyPermissions:
        """Read what our key may do."""
        return answers.key_permissions(await self._read("sapi_get_account_apirestrictions", {}, weight=1))

    async def _told_time(self) -> object:
        raw = await self._connection.call("public_get_time", method="GET", weight=1, is_urgent=True)
        return raw.get("serverTime") if isinstance(raw, dict) else None

    async def _subscribe(self) -> None:
        # A banned address must not even knock.
        await self.budget.admit(2, is_urgent=True)
        # A socket that is half open takes its time to close, too.
        async with asyncio.timeout(self.profile.request_deadline_seconds):
            # Of one with half a subscription nothing is known; after a refusal ccxt would wait on it for ever for nobody.
            await self._connection.drop_streams()
            await self._connection.wire.open_user_stream()

    def _take_event(self, raw: dict[str, Any]) -> None:
        if raw.get("e") not in answers.EVENTS_KNOWN:
            self.events_unknown[str(raw.get("e"))[:40]] += 1
        try:
            for event in answers.user_events(raw):
                self._events.put(event)
        except ExchangeTrouble as trouble:
            # What we cannot read we must fetch: the same as having missed it.
            self._events.put(StreamGap(str(trouble)))

    async def _flow_pages(self, name: str, since: datetime, until: datetime) -> AsyncIterator[dict[str, Any]]:
        """Read the newest first; one that comes meanwhile moves others to the next page, where they show once more."""
        offset = 0
        while True:
            window = {"startTime": _milliseconds(since), "endTime": _milliseconds(until)}
            page = rows(await self._read(name, window | {"limit": _FLOWS_PER_PAGE, "offset": offset}, weight=1))
            for row in page:
                if not isinstance(row, dict):
                    raise ExchangeTrouble(Outcome.UNAVAILABLE, f"This is no flow: {str(row)[:120]}")
                yield row
            if len(page) < _FLOWS_PER_PAGE:
                return
            offset += len(page)

    async def _orders_between(self, symbol: str, from_id: int, through_id: int) -> list[OrderReport]:
        """List every order of a symbol in this range of the exchange's numbers, page by page."""
        found: list[OrderReport] = []
        while from_id <= through_id:
            parameters = {"symbol": symbol, "orderId": from_id, "limit": _TRADES_PER_PAGE}
            page = [answers.order_report(row) for row in rows(await self._read("private_get_allorders", parameters, weight=20))]
            found += page
            if len(page) < _TRADES_PER_PAGE:
                break
            from_id = int(page[-1].exchange_order_id) + 1
        return found

    async def _order(self, parameters: dict[str, Any]) -> OrderReport:
        return _read_order(await self._read("private_get_order", parameters, weight=4, is_urgent=True))


def _read_order(raw: Any) -> OrderReport:
    if not isinstance(raw, dict):
        raise ExchangeTrouble(Outcome.UNKNOWN, f"This is no order: {str(raw)[:120]}")
    return answers.order_report(raw)


def _milliseconds(at: datetime) -> int:
    return int(at.timestamp() * 1000)
