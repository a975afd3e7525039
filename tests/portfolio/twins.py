"""A world on PostgreSQL and its copy in memory: both do the same things, and are compared row by row."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import transaction

from marketdata.models import Market
from portfolio.models import Account, Book, Fill, Intent, LedgerAccount, Order, Position
from portfolio.writers.claiming import claim_order
from portfolio.writers.store import PostgresStore, open_desk
from tests.portfolio.exchange import Exchange, Resting
from tests.portfolio.world import BAR, NOW, World, build
from trading.desk import answers, claims, coordination, fills, plain, reports
from trading.desk.answers import Answer
from trading.desk.claims import Claim
from trading.desk.desk import Desk
from trading.desk.memory import Memory
from trading.ledger import Pocket
from trading.orders import ExchangeStatus, OrderReport, Side, TradeReport
from trading.proposals import Proposal

D = Decimal
UNIT = D("0.00000001")
SYMBOLS = ("BTC/USDT", "ETH/USDT")
MARKS = {"BTC/USDT": D(50000), "ETH/USDT": D(2500)}
LOTS = {"BTC/USDT": D("0.00001"), "ETH/USDT": D("0.0001")}
FINAL = (ExchangeStatus.FILLED, ExchangeStatus.CANCELED, ExchangeStatus.EXPIRED, ExchangeStatus.REJECTED)

ORDER = (
    "status", "final_status", "reason", "message", "exchange_order_id", "side", "type", "time_in_force", "quantity", "price",
    "stop_price", "executed_quantity", "executed_quote", "filled_quantity", "filled_quote", "fee_ppm", "filled_fee",
    "cancel_requested_at", "attempt", "epoch", "acknowledged_at", "closed_at", "market_at",
)  # fmt: skip
HELD = ("asset", "initial", "remaining", "posted", "voided")
INTENT = (
    "book_id", "kind", "state", "side", "slot", "lots", "limit_price", "expected_price", "stop_price", "reason", "drop_reason",
)  # fmt: skip
POSITION = ("quantity", "cost", "realised", "fees", "stop_price", "is_unprotected", "opened_at", "version")
ACCOUNT = ("state", "state_reason", "ledger_seq", "ledger_hash", "intent_seq", "trades_posted")
BOOK = ("is_halted", "halt_reason", "flattened_seq")
FILL = ("book_id", "side", "quantity", "fee_quote", "realised", "traded_at")

Rows = dict[str, dict[Any, Any]]


class Twins:
    """Three books in two shells, one exchange for both, and trades that are on their way."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.world = build(balances={"USDT": D("9882.31")}, books=3, percent="30")
        Book.objects.update(position_cap_percent=100)
        if seed % 2:
            # Every other pair trades where the fee of a buy is taken in quote.
            Market.objects.update(exchange="coinbase")
        self.exchange: Exchange = self.world.exchange
        self.memory = copied(self.world)
        self.on_their_way: list[TradeReport] = []
        # What happened how often: a history that never did a thing proves nothing about it.
        self.counts: dict[str, int] = {}

    def step(self) -> None:
        """Do one random thing in both shells."""
        verbs: list[Callable[[], bool]] = [
            *[self.decide] * 6, *[self.send] * 5, self.lose, self.lose, *[self.trade] * 6, *[self.deliver] * 4, self.deliver_page,
            self.redeliver, self.answer_many, self.answer_many, *[self.end] * 3, self.report, self.withdraw, self.cancel_book,
            *[self.find_dead] * 2, self.calm,
        ]  # fmt: skip
        verb = self.dice.choice(verbs)
        if verb():
            self.counts[verb.__name__] = self.counts.get(verb.__name__, 0) + 1

    def decide(self) -> bool:
        """Let books decide."""
        self.world.market_at += BAR
        self.exchange.clock = max(self.exchange.clock, self.world.market_at)
        proposals = [self._proposal() for _ in range(self.dice.randint(1, 3))]
        self._both(self.world.market_at, lambda desk: coordination.coordinate(desk, proposals))
        return True

    def send(self) -> bool:
        """Send a READY order and record the answer."""
        order = self._choose("ready")
        if order is None or not self._affordable(order):
            return False
        assert self._claim(order, claims.sending(epoch=1, now=NOW))
        self._apply(order, self.exchange.accept(order))
        return True

    def lose(self) -> bool:
        """Send an order, hear nothing, call it absent; half of the time the exchange has it all the same."""
        order = self._choose("ready")
        if order is None or not self._affordable(order):
            return False
        self._claim(order, claims.sending(epoch=1, now=NOW))
        self._claim(order, claims.unknown("TIMEOUT", "no answer"))
        if self.dice.random() < 0.5:
            self.exchange.accept(order)
        if self.dice.random() < 0.8:
            self._both(self.world.market_at, lambda desk: reports.mark_absent(desk, self._number(desk, order)).status)
        return True

    def find_dead(self) -> bool:
        """Find out that an order lives which was called dead, or was never heard of."""
        dead = [row for row in self._orders("absent", "unknown") if row.client_order_id in self.exchange.orders]
        if not dead:
            return False
        order = self.dice.choice(dead)
        self._apply(order, self.exchange.report(order.client_order_id))
        return True

    def trade(self) -> bool:
        """Have the exchange trade; the news is on its way."""
        resting = [row for row in self.exchange.orders.values() if row.status not in FINAL and row.left > 0]
        if not resting:
            return False
        row = self.dice.choice(resting)
        lot = LOTS[f"{row.base}/{row.quote}"]
        part = min(max(row.left * self.dice.choice([20, 50, 100]) / 100 // lot * lot, lot), row.left)
        price = row.price if row.price is not None else MARKS[f"{row.base}/{row.quote}"]
        if row.price is not None and row.side == Side.BUY:
            price -= self.dice.randint(0, 5)
        fee, asset = self._fee(row, part, price)
        self.on_their_way.append(
            self.exchange.fill(
                row.client_order_id, quantity=part, price=price, fee=fee, fee_asset=asset, seconds=self.dice.randint(0, 2)
            )
        )
        return True

    def deliver(self) -> bool:
        """Deliver one trade, not always the oldest."""
        if not self.on_their_way:
            return False
        trade = self.on_their_way.pop(self.dice.randrange(len(self.on_their_way)))
        self._both(trade.traded_at, lambda desk: fills.post_fill(desk, trade) is not None)
        return True

    def deliver_page(self) -> bool:
        """Deliver all that is on its way in one transaction."""
        if len(self.on_their_way) < 2:
            return False
        page, self.on_their_way = self.on_their_way, []
        self._both(page[0].traded_at, lambda desk: len(fills.post_fills(desk, page).fills))
        return True

    def redeliver(self) -> bool:
        """Tell of a trade that is posted; nothing may change."""
        known = [trade for trade in self.exchange.trades if trade not in self.on_their_way]
        if not known:
            return False
        trade = self.dice.choice(known)
        before = self.memory.journal_hash
        self._both(trade.traded_at, lambda desk: fills.post_fill(desk, trade) is not None)
        assert self.memory.journal_hash == before
        return True

    def end(self) -> bool:
        """Have the exchange end an order and tell it; its trades may still be on their way."""
        order = self._choose("open", "partial", "cancelling")
        if order is None or order.client_order_id not in self.exchange.orders:
            return False
        if order.cancel_requested_at is not None:
            self._claim(order, claims.cancelling(now=NOW))
        status = self.dice.choice([ExchangeStatus.CANCELED, ExchangeStatus.EXPIRED])
        self._apply(order, self.exchange.end(order.client_order_id, status))
        return True

    def answer_many(self) -> bool:
        """Record what came back for several orders on one desk: a refusal, ends with the trades they brought, old news."""
        refused = self._choose("ready")
        if refused is not None:
            self._claim(refused, claims.sending(epoch=1, now=NOW))
        ending = [row for row in self._orders("open", "partial") if row.client_order_id in self.exchange.orders]
        told = [(order, self.exchange.end(order.client_order_id, ExchangeStatus.CANCELED)) for order in ending[:3]]
        told += [(order, self.exchange.report(order.client_order_id)) for order in ending[3:]]
        brought = {order.pk: self._take_from_the_way(order.client_order_id) for order, _ in told}

        def answers_of(desk: Desk) -> list[Answer]:
            given = [Answer(self._number(desk, order), report, brought[order.pk]) for order, report in told]
            if refused is not None:
                given.append(Answer(self._number(desk, refused), None, is_refused=True, code="REJECTED_FILTER", message="no"))
            return given

        self._both(self.world.market_at, lambda desk: len(answers.apply_answers(desk, answers_of(desk)).fills))
        return refused is not None or bool(told)

    def report(self) -> bool:
        """Tell the state of any order, ended or not."""
        if not self.exchange.orders:
            return False
        name = self.dice.choice(list(self.exchange.orders))
        self._apply(Order.objects.get(client_order_id=name), self.exchange.report(name))
        return True

    def withdraw(self) -> bool:
        """Take back an order that was never sent."""
        order = self._choose("ready")
        if order is None:
            return False
        self._both(self.world.market_at, lambda desk: reports.withdraw(desk, self._number(desk, order), "ENTRY_STALE"))
        return True

    def cancel_book(self) -> bool:
        """Ask for the cancel of a book's entries, or of everything it has."""
        book_id = self.dice.choice(self.world.books).pk
        is_entries = self.dice.random() < 0.5
        self._both(self.world.market_at, lambda desk: reports.request_cancels(desk, book_ids=[book_id], entries_only=is_entries))
        return True

    def calm(self) -> bool:
        """Have a person lift every halt, so that the history goes on."""
        Book.objects.update(is_halted=False, halt_reason="")
        Account.objects.update(state=Account.State.ACTIVE, state_reason="")
        tables = self.memory.tables
        for row in tables.books.values():
            row.is_halted, row.halt_reason = False, ""
        tables.account.state, tables.account.state_reason = "active", ""
        return True

    def _both(self, market_at: datetime, command: Callable[[Desk], Any]) -> None:
        """Run a command on a desk in each shell: the same answer, or the same refusal."""
        with transaction.atomic():
            account = self.world.account()
            self.memory.risk = open_desk(account, market_at=market_at, now=NOW).risk
            desk = open_desk(account, market_at=market_at, now=NOW)
            answer = command(desk)
            desk.write()
        with self.memory.transaction(epoch=1) as store:
            desk = Desk(store, store.account, market_at=market_at, now=NOW)
            assert command(desk) == answer
            desk.write()

    def _apply(self, order: Order, report: OrderReport) -> None:
        self._both(report.market_at, lambda desk: reports.apply_report(desk, self._number(desk, order), report).status)

    def _claim(self, order: Order, claim: Claim) -> bool:
        won = claim_order(order.pk, claim)
        with self.memory.transaction() as store:
            assert store.claim_row(self.memory.tables.order_ids[order.client_order_id], claim) == won
        return won

    def _number(self, desk: Desk, order: Order) -> int:
        """Return the number of an order's row, which each shell gives by itself."""
        return order.pk if isinstance(desk.store, PostgresStore) else self.memory.tables.order_ids[order.client_order_id]

    def _take_from_the_way(self, name: str) -> tuple[TradeReport, ...]:
        taken = tuple(trade for trade in self.on_their_way if trade.client_order_id == name)
        self.on_their_way = [trade for trade in self.on_their_way if trade not in taken]
        return taken

    def _orders(self, *statuses: str) -> list[Order]:
        return list(Order.objects.filter(status__in=statuses).select_related("instrument", "intent").order_by("id"))

    def _choose(self, *statuses: str) -> Order | None:
        rows = self._orders(*statuses)
        return self.dice.choice(rows) if rows else None

    def _affordable(self, order: Order) -> bool:
        """Say whether the exchange would take the order: after an adoption the money may be gone there too."""
        asset = order.instrument.quote if order.side == "buy" else order.instrument.base
        needed = order.quantity * order.price if order.side == "buy" and order.price is not None else order.quantity
        return bool(self.exchange.free[asset] >= needed)

    def _fee(self, row: Resting, quantity: Decimal, price: Decimal) -> tuple[Decimal, str]:
        if row.side == Side.BUY:
            return (quantity * D("0.001")).quantize(UNIT), row.base
        return (quantity * price * self.dice.choice([D("0.001"), D("-0.0001")])).quantize(UNIT), row.quote

    def _proposal(self) -> Proposal:
        dice, symbol, book = self.dice, self.dice.choice(SYMBOLS), self.dice.randrange(3)
        mark, unit = MARKS[symbol], 1 if symbol == "BTC/USDT" else 2
        kind = dice.choice(["enter"] * 4 + ["place"] * 3 + ["exit", "exit", "move_stop", "cancel", "hold"])
        values: dict[str, Any] = {}
        if kind == "enter":
            stop = mark * 98 // 100 if dice.random() < 0.6 else None
            values = {"lots": dice.randint(50, 900) * unit, "limit_price": mark * 101 // 100, "stop_price": stop}
        elif kind == "place":
            side = dice.choice(["buy", "sell"])
            away = dice.randint(0, 5) * (-1 if side == "buy" else 1)
            price = mark * (100 + away) // 100
            values = {"side": side, "lots": dice.randint(50, 400) * unit, "limit_price": price, "slot": dice.randrange(3)}
        elif kind == "exit":
            values = {"lots": dice.choice([0, 0, 200 * unit]), "stop_price": dice.choice([None, mark * 97 // 100])}
        elif kind == "move_stop":
            values = {"stop_price": mark * dice.randint(90, 98) // 100}
        elif kind == "cancel":
            values = {"slot": dice.randrange(3)}
        return self.world.propose(kind, book, symbol, **values)


def copied(world: World) -> Memory:
    """Copy an account that has no orders yet into memory."""
    account = Account.objects.get(id=world.account_id)
    row = plain.Account(
        pk=account.pk,
        deploy=account.deploy,
        **{name: getattr(account, name) for name in (*ACCOUNT, "synced_through_at", "buy_fee_ppm")},
    )
    caps = ("base_equity", "position_cap_percent", "orders_per_minute", "is_active")
    books = [
        plain.Book(pk=book.pk, number=book.number, name=book.name, **{name: getattr(book, name) for name in caps})
        for book in Book.objects.filter(account=account)
    ]
    names = [field for field in plain.Instrument.__dataclass_fields__ if field != "pk"]
    instruments = [
        plain.Instrument(pk=pair.pk, **{name: getattr(pair, name) for name in names}) for pair in world.instruments.values()
    ]
    memory = Memory(row, books=books, instruments=instruments)
    memory.marks = {world.instruments[symbol].pk: mark for symbol, mark in MARKS.items()}
    for pocket in LedgerAccount.objects.filter(account=account):
        memory.tables.pockets[Pocket(pocket.kind, pocket.book_id, pocket.asset)] = pocket.balance
    return memory


def on_postgres(world: World) -> Rows:
    """Return everything that rules may change, from the database."""
    orders = Order.objects.select_related("intent", "reservation")
    return {
        "account": {0: _of(Account.objects.get(id=world.account_id), ACCOUNT)},
        "books": {row.pk: _of(row, BOOK) for row in Book.objects.all()},
        "pockets": {Pocket(row.kind, row.book_id, row.asset): row.balance for row in LedgerAccount.objects.all() if row.balance},
        "orders": {row.client_order_id: (*_of(row, ORDER), *_of(row.reservation, HELD), row.intent.seq) for row in orders},
        "intents": {row.seq: _of(row, INTENT) for row in Intent.objects.all()},
        "positions": {(row.book_id, row.instrument_id): _of(row, POSITION) for row in Position.objects.all()},
        "fills": {(row.instrument_id, row.trade_id): _of(row, FILL) for row in Fill.objects.all()},
    }


def in_memory(memory: Memory) -> Rows:
    """Return everything that rules may change, from memory."""
    tables = memory.tables
    return {
        "account": {0: _of(tables.account, ACCOUNT)},
        "books": {row.pk: _of(row, BOOK) for row in tables.books.values()},
        "pockets": {pocket: balance for pocket, balance in tables.pockets.items() if balance},
        "orders": {
            row.client_order_id: (*_of(row, ORDER), *_of(row.reservation, HELD), row.intent.seq) for row in tables.orders.values()
        },
        "intents": {row.seq: _of(row, INTENT) for row in tables.intents.values()},
        "positions": {key: _of(row, POSITION) for key, row in tables.positions.items()},
        "fills": {key: _of(row, FILL) for key, row in tables.fills.items()},
    }


def _of(row: object, names: tuple[str, ...]) -> tuple[Any, ...]:
    return tuple(getattr(row, name) for name in names)
