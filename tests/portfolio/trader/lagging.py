"""The parts of a trader on a clock that a test owns, over an honest exchange that shows late what it did."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal

from django.db import transaction

from exchange.errors import ExchangeTrouble, Outcome
from exchange.ports import KeyPermissions, Listing, OrderTicket, RecordedFlow, StreamGap, Submitted, UserEvent
from exchange.profiles import BINANCE
from portfolio.models import Account, Order
from portfolio.trader import records
from portfolio.trader.database import Database
from portfolio.trader.intake import Intake
from portfolio.trader.outbox import Outbox
from portfolio.trader.resolver import Resolver
from portfolio.trader.sandwich import Sandwich
from portfolio.trader.session import Session
from tests.portfolio.world import NOW, World
from trading.orders import FINAL_STATUSES, BalanceReport, ExchangeStatus, OrderReport, TradeReport


@dataclass(slots=True)
class LaggingPort:
    """A TradingPort that keeps every order from its readers until its time has come."""

    world: World
    elapsed: float = 0.0
    clock_ahead_ms: int = 0
    events_unknown: Counter[str] = field(default_factory=Counter)
    # Moment of the test's clock from which an order and its trades show; an order without one never came.
    visible_from: dict[str, float] = field(default_factory=dict)
    # What each method raises on its next calls.
    troubles: dict[str, list[ExchangeTrouble]] = field(default_factory=dict)
    # Lists that leave an order out although it lives.
    omitted: set[str] = field(default_factory=set)
    # Trades that the history leaves out although the balances show them.
    late_trades: set[int] = field(default_factory=set)
    calls: Counter[str] = field(default_factory=Counter)
    canceled: list[str] = field(default_factory=list)
    # Orders that a person has made elsewhere: the name of each number.
    by_hand: dict[str, str] = field(default_factory=dict)
    # Deposits and withdrawals as the exchange records them.
    recorded: list[RecordedFlow] = field(default_factory=list)
    reader: Database | None = None

    def shows(self, name: str) -> bool:
        """Say whether readers see an order and its trades."""
        is_due = name in self.world.exchange.orders and self.elapsed >= self.visible_from.get(name, 0.0)
        return is_due or name in self.by_hand.values()

    def _note(self, method: str) -> None:
        self.calls[method] += 1
        if self.troubles.get(method):
            raise self.troubles[method].pop(0)

    async def server_time_ms(self) -> int:
        return int(((NOW + timedelta(seconds=self.elapsed)).timestamp()) * 1000)

    async def measure_clock(self) -> int:
        return self.clock_ahead_ms

    def silent_seconds(self) -> float:
        return 0.0

    def weight_used_ratio(self) -> float:
        return 0.25

    async def reopen_stream(self, reason: str) -> None:
        self.calls["reopen_stream"] += 1

    async def instruments(self) -> list[Listing]:
        return []

    async def submit(self, ticket: OrderTicket, *, send_before_ms: int) -> Submitted:
        self._note("submit")
        assert self.reader is not None
        row = await self.reader.run(Order.objects.select_related("instrument").get, client_order_id=ticket.client_order_id)
        return Submitted(self.world.exchange.accept(row), ())

    async def cancel(self, symbol: str, client_order_id: str) -> OrderReport:
        self._note("cancel")
        self.canceled.append(client_order_id)
        return self.world.exchange.end(client_order_id)

    async def order_by_client_id(self, symbol: str, client_order_id: str) -> OrderReport:
        self._note("order_by_client_id")
        if not self.shows(client_order_id):
            raise ExchangeTrouble(Outcome.NOT_VISIBLE, "Order does not exist.", code=-2013)
        return self.world.exchange.report(client_order_id)

    async def order_by_exchange_id(self, symbol: str, exchange_order_id: str) -> OrderReport:
        self._note("order_by_exchange_id")
        if exchange_order_id in self.by_hand:
            (trade,) = [row for row in self.world.exchange.trades if row.exchange_order_id == exchange_order_id]
            return OrderReport(
                self.by_hand[exchange_order_id], exchange_order_id, symbol, trade.side, ExchangeStatus.FILLED,
                trade.quantity, trade.quantity, trade.quote_quantity, trade.traded_at,
            )  # fmt: skip
        names = {row.number: name for name, row in self.world.exchange.orders.items() if row.symbol == symbol}
        return self.world.exchange.report(names[exchange_order_id])

    async def names_of(self, symbol: str, numbers: Collection[str]) -> dict[str, str]:
        return {number: (await self.order_by_exchange_id(symbol, number)).client_order_id for number in numbers}

    async def open_orders(self, symbol: str | None = None) -> list[OrderReport]:
        self._note("open_orders")
        reports = [self.world.exchange.report(name) for name in self.world.exchange.orders]
        return [
            report
            for report in reports
            if report.status not in FINAL_STATUSES
            and self.shows(report.client_order_id)
            and report.client_order_id not in self.omitted
        ]

    async def trades_since(self, symbol: str, from_id: int) -> list[TradeReport]:
        self._note("trades_since")
        return [
            replace(trade, client_order_id=None)
            for trade in self.world.exchange.trades
            if trade.symbol == symbol and trade.trade_id >= from_id and trade.trade_id not in self.late_trades
            if self.shows(trade.client_order_id or "")
        ]

    async def balances(self) -> BalanceReport:
        self._note("balances")
        exchange = self.world.exchange
        # What a trade moved shows together with the trade.
        hidden = [trade for trade in exchange.trades if not self.shows(trade.client_order_id or "")]
        totals: dict[str, Decimal] = exchange.totals()
        for trade in hidden:
            row = exchange.orders[trade.client_order_id or ""]
            sign = 1 if trade.side == "buy" else -1
            totals[row.base] = totals.get(row.base, Decimal(0)) - sign * trade.quantity
            totals[row.quote] = totals.get(row.quote, Decimal(0)) + sign * trade.quote_quantity
            totals[trade.fee_asset] = totals.get(trade.fee_asset, Decimal(0)) + trade.fee
        return BalanceReport({asset: total for asset, total in totals.items() if total}, {})

    async def flows(self, since: datetime, until: datetime) -> list[RecordedFlow]:
        self._note("flows")
        return [flow for flow in self.recorded if since <= flow.began_at <= until]

    async def key_permissions(self) -> KeyPermissions:
        return KeyPermissions(can_read=True, can_trade=True, can_withdraw=False, can_transfer=False, is_ip_restricted=True)

    async def user_events(self) -> AsyncIterator[UserEvent]:
        yield StreamGap("this exchange has no stream")

    async def close(self) -> None:
        pass


@dataclass(slots=True)
class Bench:
    """A trader's parts, with time in the hands of the test."""

    port: LaggingPort
    session: Session
    intake: Intake
    resolver: Resolver
    outbox: Outbox
    sandwich: Sandwich
    seconds_per_step: float = 1.0

    async def read(self, order: Order) -> Order:
        """Read an order again."""
        return await self.session.database.run(Order.objects.get, id=order.pk)

    async def send(self) -> None:
        """Send what is due and wait for the answers."""
        await self.outbox.send(await self.session.claims.run(records.agenda, self.session.account_id))
        await self.outbox.drain()

    async def pass_time(self, seconds: float) -> None:
        """Let time pass, with the resolver looking as often as it would."""
        until = self.port.elapsed + seconds
        while self.port.elapsed < until:
            self.port.elapsed += self.seconds_per_step
            await self.resolver.look_when_due()


@asynccontextmanager
async def bench(world: World, **fields: object) -> AsyncIterator[Bench]:
    """Set the parts up on real PostgreSQL and a clock that stands until told to pass."""
    port = LaggingPort(world)
    databases = [Database() for _ in range(4)]
    port.reader = databases[2]

    def clock() -> datetime:
        return NOW + timedelta(seconds=port.elapsed)

    async def sleep(_seconds: float) -> None:
        await asyncio.sleep(0)

    session = Session(
        account_id=world.account_id, epoch=1, uid="", deploy="t1", process="trader test", port=port, profile=BINANCE, pacer=None,
        claims=databases[0], answers=databases[1], database=databases[2], auditor=databases[3],
        clock=clock, monotonic=lambda: port.elapsed, sleep=sleep,
    )  # fmt: skip
    session.keep_lease()
    session.lease_until = 1e9
    session.stream_open_since = -1.0
    session.is_stream_open = True
    for name, value in fields.items():
        setattr(session, name, value)
    intake = Intake(session)
    sandwich = Sandwich(session, intake)
    resolver = Resolver(session, intake, sandwich)
    try:
        yield Bench(port, session, intake, resolver, Outbox(session, intake, resolver), sandwich)
    finally:
        for database in databases:
            await database.close()


def account_of(world: World) -> Account:
    """Read the account as it stands."""
    return Account.objects.get(id=world.account_id)


def claimed(world: World, order: Order) -> Order:
    """Have T2 happen to an order and nothing after it."""
    from portfolio.writers import orders

    with transaction.atomic():
        assert orders.mark_sending(order.pk, epoch=1, now=NOW)
    return Order.objects.select_related("instrument", "intent").get(id=order.pk)
