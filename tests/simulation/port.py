"""The exchange as the trader sees it: a port over a wire that loses, delays, repeats and lies."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, TypeVar

from exchange.classifier import classify
from exchange.errors import AnswerNotOurs, ExchangeTrouble, Outcome
from exchange.ports import (
    FlowReport,
    KeyPermissions,
    Listing,
    OrderTicket,
    RecordedFlow,
    StreamGap,
    StreamOpen,
    Submitted,
    UserEvent,
)
from tests.simulation.clock import BEGIN
from tests.simulation.exchange import Refusal, VenueOrder, VenueTrade
from tests.simulation.faults import STOP_PASSED
from trading.orders import BalanceReport, ExchangeStatus, OrderReport, Side, TradeReport

if TYPE_CHECKING:
    from tests.simulation.trader import SimulatedTrader

T = TypeVar("T")
DEADLINE_SECONDS: Final = 10.0
RECEIVE_WINDOW_SECONDS: Final = 5.0
_REFUSALS: Final = (
    (400, -1013, "Filter failure: PERCENT_PRICE_BY_SIDE"),
    (400, -2010, "Market is closed."),
    (429, -1003, "Too much request weight used."),
    (429, -1015, "Too many new orders."),
    (400, -1021, "Timestamp for this request is outside of the recvWindow."),
)


class SimulatedPort:
    """One connection of one trader."""

    clock_ahead_ms = 0

    def __init__(self, trader: SimulatedTrader) -> None:
        self.events_unknown: Counter[str] = Counter()
        self._trader = trader
        self._world = trader.world
        self._exchange = trader.world.exchange
        self._faults = trader.world.faults
        self._random = trader.world.random
        self._events: asyncio.Queue[UserEvent] = asyncio.Queue()
        self._is_listening = False

    async def submit(self, ticket: OrderTicket, *, send_before_ms: int) -> Submitted:
        """Write an order to the wire; whatever becomes of us, it goes its way."""
        await self._trader.step()
        loop = self._world.loop
        if loop.now().timestamp() * 1000 > send_before_ms:
            raise ExchangeTrouble(Outcome.REJECTED_LOCAL, "The deadline has passed.")
        self._world.note_sent(ticket, self._trader)
        written_at = loop.time()
        answer: asyncio.Future[Submitted] = loop.create_future()
        fate = self._world.fates.pop(ticket.client_order_id.split("-")[1], "")
        is_late, delay = fate == "late" or self._faults.strikes("request_late"), self._random.uniform(0.005, 0.05)
        if is_late:
            delay = self._random.uniform(1.0, RECEIVE_WINDOW_SECONDS - 0.2)
        if self._faults.strikes("request_expired"):
            delay = RECEIVE_WINDOW_SECONDS + self._random.uniform(0.1, 3.0)
        if fate != "absent" and not self._faults.strikes("request_lost"):
            self._world.wire_busy_until = max(self._world.wire_busy_until, written_at + delay)
            loop.call_later(delay, self._arrive, ticket, written_at, answer, is_late, fate)
        self._trader.crash_point("request_written")
        return await self._answer(answer)

    def _arrive(
        self, ticket: OrderTicket, written_at: float, answer: asyncio.Future[Submitted], is_late: bool, fate: str
    ) -> None:
        """Have the exchange see the order, whoever may still wait for the answer."""
        try:
            if self._world.loop.time() - written_at > RECEIVE_WINDOW_SECONDS:
                raise Refusal(400, -1021, "Timestamp for this request is outside of the recvWindow.")
            if fate == "rejected" or self._faults.strikes("refused"):
                raise Refusal(*self._random.choice(_REFUSALS))
            if ticket.stop_price is not None and self._faults.strikes(STOP_PASSED):
                # While it was on its way the market has gone through it.
                below = self._random.randint(0, 300) * self._exchange.pairs[ticket.symbol].tick
                self._world.go_to(ticket.symbol, ticket.stop_price - below)
            order, trades = self._exchange.place(
                name=ticket.client_order_id, symbol=ticket.symbol, side=ticket.side, kind=ticket.type, quantity=ticket.quantity,
                price=ticket.price, stop_price=ticket.stop_price, time_in_force=ticket.time_in_force,
                prevention=ticket.self_trade_prevention,
            )  # fmt: skip
        except Refusal as refusal:
            outcome = classify(status=refusal.status, code=refusal.code, message=refusal.message, method="POST")
            seconds = 1.0 if refusal.status == 429 else None
            trouble: Any = ExchangeTrouble(outcome, refusal.message, code=refusal.code, retry_after_seconds=seconds)
            self._give(answer, error=None if is_late else trouble)
            return
        told = Submitted(order_report(order, self._world.loop.time()), tuple(trade_report(trade, True) for trade in trades))
        if self._faults.strikes("server_error"):
            outcome = classify(status=503, code=-1007, message="Timeout waiting for response", method="POST")
            self._give(answer, error=ExchangeTrouble(outcome, "-1007"))
        elif self._faults.strikes("answer_cut"):
            self._give(answer, error=AnswerNotOurs("The answer speaks of another order."))
        elif not self._faults.strikes("response_lost") and not is_late:
            self._give(answer, value=told)

    def _give(self, answer: asyncio.Future[T], *, value: T | None = None, error: Exception | None = None) -> None:
        if answer.done():
            return
        if error is not None:
            answer.set_exception(error)
            answer.exception()
        elif value is not None:
            answer.set_result(value)

    async def _answer(self, answer: asyncio.Future[T]) -> T:
        """Wait for the answer, not for ever."""
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                given = await answer
        except TimeoutError:
            raise ExchangeTrouble(Outcome.UNKNOWN, "No answer.") from None
        await self._trader.step()
        self._trader.crash_point("answer_on_its_way")
        return given

    async def cancel(self, symbol: str, client_order_id: str) -> OrderReport:
        """Cancel an order and report its end."""
        await self._trader.step()
        answer: asyncio.Future[OrderReport] = self._world.loop.create_future()
        if not self._faults.strikes("cancel_request_lost"):
            self._world.loop.call_later(self._random.uniform(0.005, 0.3), self._arrive_cancel, symbol, client_order_id, answer)
        self._trader.crash_point("cancel_written")
        return await self._answer(answer)

    def _arrive_cancel(self, symbol: str, name: str, answer: asyncio.Future[OrderReport]) -> None:
        try:
            order = self._exchange.cancel(symbol, name)
        except Refusal as refusal:
            outcome = classify(status=refusal.status, code=refusal.code, message=refusal.message, method="DELETE")
            self._give(answer, error=ExchangeTrouble(outcome, refusal.message))
            return
        if not self._faults.strikes("cancel_response_lost"):
            self._give(answer, value=order_report(order, self._world.loop.time()))

    async def order_by_client_id(self, symbol: str, client_order_id: str) -> OrderReport:
        """Read an order by name."""
        await self._read()
        order = self._exchange.named(symbol, client_order_id)
        if order is None or not self._shows(order):
            raise ExchangeTrouble(Outcome.NOT_VISIBLE, "Order does not exist.")
        return self._perhaps_stale(order)

    async def order_by_exchange_id(self, symbol: str, exchange_order_id: str) -> OrderReport:
        """Read an order by number."""
        await self._read()
        return order_report(self._exchange.pairs[symbol].orders[int(exchange_order_id)], self._world.loop.time())

    async def open_orders(self, symbol: str | None = None) -> list[OrderReport]:
        """List live orders."""
        await self._read()
        pairs = [pair for pair in self._exchange.pairs.values() if symbol in (None, pair.symbol)]
        rows = [order for pair in pairs for order in pair.orders.values() if not order.is_final and self._shows(order)]
        return [self._perhaps_stale(order) for order in rows if not self._faults.strikes("list_omits")]

    async def names_of(self, symbol: str, numbers: Collection[str]) -> dict[str, str]:
        """Tell names by numbers."""
        return {number: (await self.order_by_exchange_id(symbol, number)).client_order_id for number in numbers}

    async def trades_since(self, symbol: str, from_id: int) -> list[TradeReport]:
        """List trades, oldest first; what the reads do not show yet is not here either, nor what came after it."""
        await self._read()
        rows = []
        for trade in self._exchange.pairs[symbol].trades[max(from_id - 1, 0) :]:
            if not self._shows(trade.order):
                break
            rows.append(trade_report(trade, False))
        return rows

    async def balances(self) -> BalanceReport:
        """Read balances."""
        await self._read()
        return BalanceReport(free=dict(self._exchange.free), locked=dict(self._exchange.locked))

    async def server_time_ms(self) -> int:
        """Read the clock."""
        await self._trader.step()
        return int(self._world.loop.now().timestamp() * 1000)

    async def measure_clock(self) -> int:
        """Measure how far off ours is: not at all."""
        return 0

    def silent_seconds(self) -> float:
        """Return for how long the exchange wants silence."""
        return 0.0

    def weight_used_ratio(self) -> float:
        """Return how much was asked: nobody counts."""
        return 0.0

    async def instruments(self) -> list[Listing]:
        """List what can be traded; nobody asks for more than an answer."""
        return []

    async def flows(self, since: datetime, until: datetime) -> list[RecordedFlow]:
        """Tell nothing of deposits and withdrawals; the profile says so, and nobody asks."""
        raise NotImplementedError

    async def key_permissions(self) -> KeyPermissions:
        """Read what the key may do."""
        return KeyPermissions(can_read=True, can_trade=True, can_withdraw=False, can_transfer=False, is_ip_restricted=True)

    async def close(self) -> None:
        """Let go."""
        self._is_listening = False

    async def reopen_stream(self, reason: str) -> None:
        """Open a new stream."""
        self.cut(reason)

    def cut(self, reason: str) -> None:
        """Cut the stream: what is on its way is lost, and a little later it is open again."""
        if not self._is_listening:
            return
        self._is_listening = False
        while not self._events.empty():
            self._events.get_nowait()
        self._events.put_nowait(StreamGap(reason))
        self._world.loop.call_later(self._random.uniform(0.5, 8.0), self._open)

    def _open(self) -> None:
        self._is_listening = True
        self._events.put_nowait(StreamOpen())

    async def user_events(self) -> AsyncIterator[UserEvent]:
        """Follow the account."""
        await self._trader.step()
        self._open()
        while True:
            event = await self._events.get()
            await self._trader.step()
            yield event

    def hear(self, kind: str, what: object) -> None:
        """Be told by the exchange that something has happened."""
        if not self._is_listening:
            return
        for event in self._events_of(kind, what):
            times = 2 if self._faults.strikes("stream_repeats") else 1
            for _ in range(times):
                delay = 0.01
                if self._faults.strikes("stream_shuffled"):
                    delay = self._random.uniform(0.0, 1.5)
                if self._faults.strikes("stream_slow"):
                    delay = self._random.uniform(2.0, 15.0)
                self._world.loop.call_later(delay, self._deliver, event)

    def _deliver(self, event: UserEvent) -> None:
        if self._is_listening:
            self._events.put_nowait(event)

    def _events_of(self, kind: str, what: object) -> list[UserEvent]:
        now = self._world.loop.time()
        if isinstance(what, VenueOrder):
            return [order_report(what, now)]
        if isinstance(what, VenueTrade):
            return [trade_report(what, True), order_report(what.order, now)]
        assert isinstance(what, tuple)
        asset, amount, reference = what
        return [FlowReport(asset, amount, self._world.loop.now(), reference)]

    async def _read(self) -> None:
        await self._trader.step()
        await asyncio.sleep(self._random.uniform(0.002, 0.03))
        await self._trader.step()
        if self._faults.strikes("read_fails"):
            raise ExchangeTrouble(Outcome.UNAVAILABLE, "Service unavailable.")

    def _shows(self, order: VenueOrder) -> bool:
        return order.visible_at <= self._world.loop.time()

    def _perhaps_stale(self, order: VenueOrder) -> OrderReport:
        """Tell the state of an order, or that of its beginning where a replica lags (E32)."""
        report = order_report(order, self._world.loop.time())
        if order.executed and self._faults.strikes("read_stale"):
            return OrderReport(
                client_order_id=order.name, exchange_order_id=str(order.number), symbol=order.symbol, side=Side(order.side),
                status=ExchangeStatus.NEW, quantity=order.quantity, executed_quantity=Decimal(0), executed_quote=Decimal(0),
                market_at=report.market_at,
            )  # fmt: skip
        return report


_STATUSES: Final[dict[str, ExchangeStatus]] = {"EXPIRED_IN_MATCH": ExchangeStatus.EXPIRED}
Told = Callable[[str, object], None]


def order_report(order: VenueOrder, now: float) -> OrderReport:
    """Say what the exchange says of an order."""
    return OrderReport(
        client_order_id=order.name,
        exchange_order_id=str(order.number),
        symbol=order.symbol,
        side=Side(order.side),
        status=_STATUSES.get(order.status) or ExchangeStatus(order.status.lower()),
        quantity=order.quantity,
        executed_quantity=order.executed,
        executed_quote=order.cost,
        market_at=BEGIN + timedelta(microseconds=round(now * 1_000_000)),
    )


def trade_report(trade: VenueTrade, is_named: bool) -> TradeReport:
    """Say what the exchange says of a trade; its history names the order by number alone."""
    order = trade.order
    return TradeReport(
        symbol=order.symbol,
        trade_id=trade.number,
        exchange_order_id=str(order.number),
        client_order_id=order.name if is_named else None,
        side=Side(order.side),
        price=trade.price,
        quantity=trade.quantity,
        quote_quantity=trade.quantity * trade.price,
        fee=trade.fee,
        fee_asset=trade.fee_asset,
        is_maker=trade.is_maker,
        traded_at=BEGIN + timedelta(microseconds=round(trade.at * 1_000_000)),
    )
