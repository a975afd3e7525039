"""The rows of a history in PostgreSQL: the trader runs the very functions that it runs in production."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from functools import wraps
from typing import Any, ParamSpec, TypeVar, cast

from django.db import connection, transaction
from django.db.models import F

from marketdata.models import Instrument as MarketInstrument
from marketdata.models import Mark, Market
from portfolio import models, services
from portfolio.jobs import coordinate as coordinator
from portfolio.jobs import verify
from portfolio.services.allocations import UnableToAllocate
from portfolio.services.suspense import UnableToExplain
from portfolio.trader import records
from portfolio.writers import accounts
from tests.portfolio import world
from tests.simulation.shells import BNB_MARK, FEE_POOL, FILTERS, FILTERS_OF_TAKERS
from tests.simulation.trader import DEPLOY
from trading.desk.memory import Tables
from trading.desk.plain import Account, Book, Fill, Instrument, Intent, Order, Position, Reservation
from trading.desk.store import Movement
from trading.ledger import Leg, Pocket
from trading.order_status import LIVE
from trading.proposals import Outcome, Proposal

D = Decimal
P = ParamSpec("P")
R = TypeVar("R")
BALANCES = {"USDT": D(7000), "BNB": FEE_POOL}


def _outside_the_loop(function: Callable[P, R]) -> Callable[P, R]:
    """Run as if there were no event loop: inside one, Django opens a second connection."""

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        loop = asyncio._get_running_loop()
        asyncio._set_running_loop(None)
        try:
            return function(*args, **kwargs)
        finally:
            asyncio._set_running_loop(loop)

    return run


class PostgresShell:
    """One account in PostgreSQL; its books and instruments are called 1, 2 and 3, whatever numbers their rows have."""

    checked_every = 6

    def __init__(self, *, now: datetime) -> None:
        built = world.build(balances=BALANCES, books=3, percent="27")
        self.account_id = built.account_id
        models.Account.objects.filter(id=self.account_id).update(deploy=DEPLOY)
        models.Book.objects.update(position_cap_percent=100)
        # As the exchange lists them: what protects may end the account's own bids in its way.
        MarketInstrument.objects.update(filters=FILTERS)
        Mark.objects.filter(instrument=built.instruments["BNB/USDT"]).update(price=BNB_MARK)
        services.fund_fee_pool(account_id=self.account_id, asset="BNB", amount=FEE_POOL, by=None, now=now)
        self._books = [book.pk for book in built.books]
        self._instruments = [built.instruments[symbol].pk for symbol in ("BTC/USDT", "ETH/USDT", "BNB/USDT")]
        self._tables: tuple[object, Tables] | None = None
        self._calls = 0

    @property
    @_outside_the_loop
    def killed_at(self) -> datetime | None:
        """Return since when the account is killed."""
        row = models.Account.objects.get(id=self.account_id)
        return row.killed_at if row.is_killed else None

    @_outside_the_loop
    def acquire(self) -> int:
        """Take the lease, whoever has it: a history's traders are all in this process."""
        lease = models.Lease.objects.get(name=f"trader:{self.account_id}")
        models.Lease.objects.filter(id=lease.pk).update(epoch=F("epoch") + 1)
        return lease.epoch + 1

    @_outside_the_loop
    def cursors(self) -> dict[str, int]:
        """Return up to where each history was read."""
        return records.read_cursors(self.account_id)

    @_outside_the_loop
    def call(self, function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Run the function itself."""
        self._calls += 1
        return function(*args, **kwargs)

    @_outside_the_loop
    def order(self, client_order_id: str) -> Order:
        """Return an order."""
        return cast("Order", models.Order.objects.select_related("intent").get(client_order_id=client_order_id))

    @_outside_the_loop
    def decide(self, proposals: Sequence[Proposal], *, now: datetime) -> list[Outcome]:
        """Have the coordinator decide."""
        self._calls += 1
        ours = [
            replace(
                proposal,
                book_id=self._books[proposal.book_id - 1],
                instrument_id=self._instruments[(proposal.instrument_id or 1) - 1],
            )
            for proposal in proposals
        ]
        with transaction.atomic():
            outcomes = coordinator.coordinate(accounts.lock(self.account_id), ours, market_at=now, now=now)
        return [replace(outcome, proposal=proposal) for outcome, proposal in zip(outcomes, proposals, strict=True)]

    @_outside_the_loop
    def flatten(self, book: int, *, now: datetime) -> None:
        """Have a book sell everything."""
        self._calls += 1
        with transaction.atomic():
            account = accounts.lock(self.account_id)
            coordinator.flatten(account, self._books[book - 1], market_at=now, now=now, reason="TEST_FLATTEN")

    @_outside_the_loop
    def kill(self, *, now: datetime) -> None:
        """Kill the account."""
        self._calls += 1
        services.kill(self.account_id, by=None, reason="test", now=now)

    @_outside_the_loop
    def release(self, *, now: datetime) -> None:
        """Release the kill."""
        self._calls += 1
        services.release_kill(self.account_id, by=None, reason="test", now=now)

    @_outside_the_loop
    def allocate(self, book: int, amount: Decimal, *, now: datetime) -> None:
        """Give a book more of the account, or less."""
        self._calls += 1
        pk = self._books[book - 1]
        percent = max(D(27) + amount / 50, D(0))
        try:
            services.set_allocations(account_id=self.account_id, percents={pk: percent}, by=None, now=now, market_at=now)
        except UnableToAllocate:
            return

    @_outside_the_loop
    def reopen(self, *, now: datetime) -> None:
        """Have a person lift every halt."""
        self._calls += 1
        with transaction.atomic():
            accounts.set_state(accounts.lock(self.account_id), models.Account.State.ACTIVE, "", now=now)
        models.Book.objects.update(is_halted=False, halt_reason="")

    @_outside_the_loop
    def explain(self, *, now: datetime) -> None:
        """Have a person explain what is in suspense."""
        self._calls += 1
        rows = models.LedgerAccount.objects.filter(account=self.account_id, kind="suspense").exclude(balance=0)
        for asset, balance in rows.values_list("asset", "balance"):
            kind = "deposit" if balance > 0 else "withdrawal"
            try:
                services.explain_suspense(
                    account_id=self.account_id, asset=asset, amount=abs(balance), kind=kind, by=None, reason="test", now=now
                )
            except UnableToExplain:
                continue

    @_outside_the_loop
    def set_mark(self, instrument: int, price: Decimal) -> None:
        """Note the newest price."""
        Mark.objects.filter(instrument=self._instruments[instrument - 1]).update(price=price)

    @_outside_the_loop
    def take_fees_in_quote(self) -> None:
        """Be an account of an exchange that takes the fee of a buy in quote."""
        Market.objects.update(exchange="coinbase")

    @_outside_the_loop
    def expire_takers_alone(self) -> None:
        """Be an account of an exchange on which the newcomer dies when two of its orders meet."""
        MarketInstrument.objects.update(filters=FILTERS_OF_TAKERS)

    @_outside_the_loop
    def verify(self) -> list[str]:
        """Return what the product's own audit finds, the constraints that speak at a commit included."""
        connection.check_constraints()
        return [f"{finding.invariant} {finding.message}" for finding in verify.verify(self.account_id)]

    @_outside_the_loop
    def tables(self) -> Tables:
        """Load all rows, unless nothing was done since the last time."""
        if self._tables is None or self._tables[0] != self._calls:
            self._tables = self._calls, self._load()
        return self._tables[1]

    def _load(self) -> Tables:
        row = models.Account.objects.get(id=self.account_id)
        books = {self._book(book.pk): _plain(Book, book, pk=self._book(book.pk)) for book in models.Book.objects.all()}
        tables = Tables(_plain(Account, row), books, self._load_instruments())
        self._load_orders(tables)
        for position in models.Position.objects.all():
            key = self._book(position.book_id), self._instrument(position.instrument_id)
            tables.positions[key] = _plain(Position, position, book_id=key[0], instrument_id=key[1])
        for pocket in models.LedgerAccount.objects.filter(account=self.account_id):
            tables.pockets[self._pocket(pocket)] = pocket.balance
        self._load_movements(tables)
        return tables

    def _load_instruments(self) -> dict[int, Instrument]:
        rows = MarketInstrument.objects.filter(id__in=self._instruments)
        return {self._instrument(row.pk): _plain(Instrument, row, pk=self._instrument(row.pk)) for row in rows}

    def _load_orders(self, tables: Tables) -> None:
        for intent in models.Intent.objects.select_related("parent").order_by("seq"):
            parent = tables.intents[intent.parent.seq] if intent.parent is not None else None
            instrument = tables.instruments[self._instrument(intent.instrument_id)]
            book = self._book(intent.book_id)
            tables.intents[intent.seq] = _plain(
                Intent, intent, book_id=book, instrument=instrument, decision=intent.decision_id, parent=parent
            )
        orders: dict[int, Order] = {}
        for row in models.Order.objects.select_related("reservation", "intent").order_by("id"):
            intent_row = tables.intents[row.intent.seq]
            held = _plain(Reservation, row.reservation)
            order = _plain(
                Order, row, book_id=intent_row.book_id, intent=intent_row, instrument=intent_row.instrument, reservation=held
            )
            orders[row.pk] = tables.orders[row.pk] = order
            tables.order_ids[row.client_order_id] = row.pk
            if row.status in LIVE:
                tables.live.add(row.pk)
        for fill in models.Fill.objects.order_by("id"):
            number = self._instrument(fill.instrument_id)
            tables.fills[number, fill.trade_id] = _plain(
                Fill,
                fill,
                instrument=tables.instruments[number],
                order=orders.get(fill.order_id or 0),
                book_id=self._book(fill.book_id) if fill.book_id else None,
            )

    def _load_movements(self, tables: Tables) -> None:
        legs: dict[int, list[Leg]] = {}
        entries = models.LedgerEntry.objects.select_related("ledger_account").order_by("id")
        for entry in entries:
            legs.setdefault(entry.transaction_id, []).append(Leg(self._pocket(entry.ledger_account), entry.amount))
        for row in models.LedgerTransaction.objects.order_by("seq"):
            tables.movements.append(
                Movement(
                    seq=row.seq,
                    kind=row.kind,
                    reference=row.reference,
                    market_at=row.market_at,
                    recorded_at=row.recorded_at,
                    facts=row.facts,
                    hash_previous=row.hash_previous,
                    hash=row.hash,
                    legs=legs[row.pk],
                )
            )

    def _pocket(self, row: models.LedgerAccount) -> Pocket:
        return Pocket(row.kind, self._book(row.book_id) if row.book_id else None, row.asset)

    def _book(self, pk: int) -> int:
        return self._books.index(pk) + 1

    def _instrument(self, pk: int) -> int:
        return self._instruments.index(pk) + 1


def _plain(kind: type[Any], row: Any, **values: Any) -> Any:
    """Make a plain row of a model's row: every field that both have, but for what is said here."""
    names = [name for name, field in kind.__dataclass_fields__.items() if field.init and name not in values]
    return kind(**{name: getattr(row, name) for name in names if hasattr(row, name)}, **values)
