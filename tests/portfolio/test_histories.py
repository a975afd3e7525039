"""Random histories of decisions, fills, cancels, duplicates and disorder: the books are exact after every one."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import NamedTuple

from django.db import connection, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from portfolio import services
from portfolio.jobs import verify
from portfolio.models import Account, Book, Fill, Order, Position
from portfolio.writers import orders
from tests.portfolio.exchange import Resting
from tests.portfolio.world import NOW, World, build
from trading.ledger import exactly
from trading.orders import ExchangeStatus, Side, TradeReport

D = Decimal
UNIT = D("0.00000001")
# A history is long and takes its time; a night's run has more of it.
EXAMPLES = settings().max_examples
SYMBOLS = ("BTC/USDT", "ETH/USDT")
MARKS = {"BTC/USDT": D("50000"), "ETH/USDT": D("2500")}
FINAL = (ExchangeStatus.FILLED, ExchangeStatus.CANCELED, ExchangeStatus.EXPIRED, ExchangeStatus.REJECTED)


class Act(NamedTuple):
    """One thing that happens; the numbers choose among what is possible then."""

    verb: str
    which: int
    size: int
    detail: int


VERBS = (
    *("enter", "place", "exit", "exit", "cancel", "move_stop", "kill", "allocate"),
    *("send", "send", "send", "send_unknown", "fill", "fill", "fill", "fill"),
    *("deliver", "deliver", "deliver", "redeliver", "cancel_arrives", "cancel_arrives", "report", "report"),
)

ACTS = st.lists(
    st.builds(Act, st.sampled_from(VERBS), st.integers(0, 97), st.integers(1, 100), st.integers(0, 11)),
    min_size=20,
    max_size=28,
)


@dataclass(slots=True)
class History:
    """Two books, an exchange, and trades that are on their way."""

    world: World
    undelivered: list[TradeReport] = field(default_factory=list)

    def run(self, act: Act) -> None:
        """Do one thing."""
        getattr(self, f"_{act.verb}")(act)

    def settle(self) -> None:
        """Let everything under way arrive: trades, ends, cancels."""
        for _ in range(4):
            while self.undelivered:
                self.world.post(self.undelivered.pop())
            for order in self._live():
                # What an order before it brought about may have taken it back: a stop gives way to a larger one.
                order.refresh_from_db(fields=["status", "cancel_requested_at"])
                if order.status not in Order.LIVE:
                    continue
                if order.status in ("ready", "sending", "unknown"):
                    self._resolve(order)
                elif order.cancel_requested_at or self._resting(order).status in FINAL or _takes(order):
                    self.world.end(order)

    def _propose(self, act: Act, kind: str, **fields: object) -> None:
        self.world.decide(self.world.propose(kind, act.which % 2, SYMBOLS[act.which % 3 % 2], **fields))

    def _enter(self, act: Act) -> None:
        symbol = SYMBOLS[act.which % 3 % 2]
        mark = MARKS[symbol]
        lots = act.size * (5 if symbol == "BTC/USDT" else 10)
        stop = mark * 98 // 100 if act.detail % 3 else None
        self._propose(act, "enter", lots=lots, limit_price=mark * 101 // 100, stop_price=stop)

    def _place(self, act: Act) -> None:
        symbol = SYMBOLS[act.which % 3 % 2]
        side = "buy" if act.detail % 2 else "sell"
        price = MARKS[symbol] * (100 - act.detail if side == "buy" else 100 + act.detail) // 100
        lots = act.size * (3 if symbol == "BTC/USDT" else 6)
        self._propose(act, "place", side=side, lots=lots, limit_price=price, slot=act.detail % 4)

    def _exit(self, act: Act) -> None:
        stop = MARKS[SYMBOLS[act.which % 3 % 2]] * 97 // 100 if act.detail % 2 else None
        self._propose(act, "exit", lots=act.size * 10 if act.detail % 3 else 0, stop_price=stop)

    def _cancel(self, act: Act) -> None:
        self._propose(act, "cancel", slot=act.detail % 4)

    def _move_stop(self, act: Act) -> None:
        self._propose(act, "move_stop", stop_price=MARKS[SYMBOLS[act.which % 3 % 2]] * (90 + act.detail % 9) // 100)

    def _kill(self, act: Act) -> None:
        if act.detail == 0:
            services.kill(self.world.account_id, by=None, reason="test", now=NOW)
            with transaction.atomic():
                orders.request_cancels(self.world.account(), now=NOW)
            services.release_kill(self.world.account_id, by=None, reason="test", now=NOW)

    def _send(self, act: Act) -> None:
        for order in self._live("ready")[: act.detail]:
            self.world.send(order)

    def _send_unknown(self, act: Act) -> None:
        ready = self._live("ready")
        if ready:
            order = ready[0]
            orders.mark_sending(order.pk, epoch=1, now=NOW)
            if act.detail % 3:
                # It arrived, but nobody told us.
                self.world.exchange.accept(order)
            orders.mark_unknown(order.pk, "TIMEOUT", "no answer", now=NOW)

    def _fill(self, act: Act) -> None:
        resting = self._at_exchange()
        if not resting:
            return
        row = resting[act.which % len(resting)]
        lot = D("0.00001") if row.base == "BTC" else D("0.0001")
        part = max((row.left * act.size / 100) // lot * lot, lot)
        price = row.price if row.price is not None else MARKS[f"{row.base}/{row.quote}"]
        if row.price is not None and row.side == Side.BUY:
            price -= act.detail
        fee, asset = self._fee(row, min(part, row.left), price, act.detail)
        trade = self.world.exchange.fill(
            row.client_order_id,
            quantity=min(part, row.left),
            price=price,
            fee=fee,
            fee_asset=asset,
            seconds=act.detail % 2,
        )
        self.undelivered.append(trade)

    def _fee(self, row: Resting, quantity: Decimal, price: Decimal, detail: int) -> tuple[Decimal, str]:
        if detail % 3 == 0:
            return (quantity * price / 400 * D("0.00075")).quantize(UNIT), "BNB"
        if row.side == Side.BUY:
            return (quantity * D("0.001")).quantize(UNIT), row.base
        return (quantity * price * D("0.001")).quantize(UNIT), row.quote

    def _deliver(self, act: Act) -> None:
        if self.undelivered:
            # Any of them, not the oldest: streams and page reads overtake each other.
            trade = self.undelivered.pop(act.which % len(self.undelivered))
            assert self.world.post(trade) is not None

    def _redeliver(self, act: Act) -> None:
        posted = set(Fill.objects.values_list("trade_id", flat=True))
        known = [trade for trade in self.world.exchange.trades if trade.trade_id in posted]
        if known:
            before = Account.objects.get(id=self.world.account_id).ledger_hash
            assert self.world.post(known[act.which % len(known)]) is None
            assert Account.objects.get(id=self.world.account_id).ledger_hash == before

    def _cancel_arrives(self, act: Act) -> None:
        wanted = [order for order in self._live("open", "partial", "cancelling") if order.cancel_requested_at]
        if wanted:
            order = wanted[act.which % len(wanted)]
            assert orders.mark_canceling(order.pk, now=NOW)
            self.world.end(order)

    def _report(self, act: Act) -> None:
        known = [order for order in self._live("open", "partial", "cancelling", "unknown") if self._has(order)]
        if known:
            order = known[act.which % len(known)]
            if _takes(order) or act.detail == 1:
                self.world.end(order, ExchangeStatus.EXPIRED)
            else:
                with transaction.atomic():
                    report = self.world.exchange.report(order.client_order_id)
                    orders.apply_report(self.world.account(), order.pk, report, now=NOW)

    def _allocate(self, act: Act) -> None:
        services.set_allocations(
            account_id=self.world.account_id,
            percents={self.world.books[0].pk: D(act.size) / 4, self.world.books[1].pk: D(act.which) / 2},
            by=None,
            now=NOW,
            rebase=bool(act.detail % 2),
        )

    def _resolve(self, order: Order) -> None:
        if order.status == "ready":
            self.world.send(order)
        elif self._has(order):
            self.world.end(order)
        else:
            with transaction.atomic():
                orders.mark_absent(self.world.account(), order.pk, now=NOW)

    def _live(self, *statuses: str) -> list[Order]:
        rows = Order.objects.filter(account=self.world.account_id, status__in=statuses or Order.LIVE)
        return list(rows.select_related("instrument", "intent").order_by("intent__seq"))

    def _has(self, order: Order) -> bool:
        return order.client_order_id in self.world.exchange.orders

    def _resting(self, order: Order) -> Resting:
        return self.world.exchange.orders[order.client_order_id]

    def _at_exchange(self) -> list[Resting]:
        return [row for row in self.world.exchange.orders.values() if row.status not in FINAL]


def _takes(order: Order) -> bool:
    return order.type == "MARKET" or order.time_in_force == "IOC"


def start() -> History:
    """Open the account of a history: two books, and BNB that pays fees."""
    world = build(balances={"USDT": D("9882.31"), "BNB": D(3)}, books=2)
    Book.objects.update(position_cap_percent=100)
    services.fund_fee_pool(account_id=world.account_id, asset="BNB", amount=D(3), by=None, now=NOW)
    history = History(world)
    # Both books hold something from the start, protected in one market and free in the other.
    for book, symbol, lots, stop in ((0, "BTC/USDT", 1000, D("49000")), (1, "ETH/USDT", 2000, None)):
        limit = MARKS[symbol] * 101 // 100
        world.decide(world.propose("enter", book, symbol, lots=lots, limit_price=limit, stop_price=stop))
        order = world.send(world.order(kind="enter", book=book))
        world.fill(order, str(order.quantity), str(MARKS[symbol]), fee="0.001", fee_asset="BNB")
    return history


def check_now(history: History) -> None:
    """Check what must hold after every single act (I-01, I-04, I-07, I-08, I-10, I-11, I-15)."""
    # The deferred trigger speaks now instead of at a commit.
    connection.check_constraints()
    account = Account.objects.get(id=history.world.account_id)
    found = [*verify.check_balances(account), *verify.check_reservations(account), *verify.check_fills(account)]
    assert found == []


def check_settled(history: History) -> None:
    """Check what must hold when nothing is under way: the exchange agrees to the last unit (I-02, I-09)."""
    world = history.world
    assert world.verify() == []
    found = world.compare()
    assert found.outcome == "exact", {line.asset: line.residual for line in found.lines.all()}
    locked = {asset: amount for asset, amount in world.exchange.locked.items() if amount}
    reserved: dict[str, Decimal] = {}
    for order in Order.objects.filter(status__in=Order.LIVE).select_related("reservation"):
        asset = order.reservation.asset
        reserved[asset] = reserved.get(asset, D(0)) + order.reservation.remaining
    assert reserved == locked


class Histories(TestCase):
    """Each example runs in a transaction of its own that is rolled back."""

    @settings(max_examples=EXAMPLES // 4, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
    @given(acts=ACTS)
    def test_the_books_are_exact_after_every_history(self, acts: list[Act]) -> None:
        """I-01, I-02, I-04, I-05, I-07..I-11, I-15, I-20, I-25..I-29 after any history."""
        history = start()
        for act in acts:
            history.run(act)
            check_now(history)
        history.settle()
        check_settled(history)

    @settings(max_examples=EXAMPLES // 10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(data=st.data(), sizes=st.lists(st.integers(1, 60), min_size=2, max_size=5))
    def test_the_order_of_arrival_does_not_matter(self, data: st.DataObject, sizes: list[int]) -> None:
        """I-21: trades of one entry and one exit end in the same position in whatever order they come."""
        history = start()
        world = history.world
        world.decide(world.propose("enter", lots=1000, limit_price=D("50500")))
        entry = world.send(world.order(kind="enter"))
        first = world.exchange.fill(entry.client_order_id, quantity=D("0.004"), price=D("50000"), fee=D(0), fee_asset="BTC")
        world.post(first)
        world.decide(world.propose("exit"))
        sell = world.send(world.order(kind="exit"))
        trades = []
        for number, size in enumerate(sizes):
            quantity = D(size) * D("0.00001")
            for order, price in ((entry, D("50100") + number), (sell, D("50200") - number)):
                fee = quantity * D("0.001") if order == entry else (quantity * price * D("0.001")).quantize(UNIT)
                asset = "BTC" if order == entry else "USDT"
                trades.append(
                    world.exchange.fill(
                        order.client_order_id, quantity=quantity, price=price, fee=fee.quantize(UNIT), fee_asset=asset
                    )
                )
        arrival = data.draw(st.permutations(trades))
        with transaction.atomic():
            position = self._arrive(world, trades)
            transaction.set_rollback(True)
        assert self._arrive(world, arrival) == position
        assert world.verify() == []

    @exactly
    def _arrive(self, world: World, trades: list[TradeReport]) -> tuple[Decimal, ...]:
        for trade in trades:
            world.post(trade)
        row = Position.objects.get(book=world.books[0])
        return (
            row.quantity,
            row.cost,
            row.realised,
            row.fees,
            *Fill.objects.order_by("trade_id").values_list("realised", flat=True),
        )
