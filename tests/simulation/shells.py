"""Where the rows of a history live: in memory, or in PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, Protocol

from exchange.profiles import COINBASE
from tests.simulation.memory_records import MemoryRecords
from trading.desk import coordination
from trading.desk.desk import Desk
from trading.desk.memory import Memory, Tables
from trading.desk.plain import Account, Book, Instrument, Order
from trading.desk.prevention import EXPIRE_MAKER, EXPIRE_TAKER, SELF_TRADE_PREVENTION
from trading.ledger import ZERO, Leg, Pocket, take
from trading.proposals import Outcome, Proposal

D = Decimal
QUOTE_OF_BOOK = D(2000)
FEE_POOL = D("1.5")
BNB_MARK = D("400.37")
PAIRS = (("BTC/USDT", "0.01", "0.00001"), ("ETH/USDT", "0.01", "0.0001"), ("BNB/USDT", "0.1", "0.001"))
# What the exchange says of each pair beside its grid.
FILTERS: Final = {SELF_TRADE_PREVENTION: {"modes": [EXPIRE_TAKER, EXPIRE_MAKER]}}
FILTERS_OF_TAKERS: Final = {SELF_TRADE_PREVENTION: {"modes": [EXPIRE_TAKER]}}


class Shell(Protocol):
    """What a history asks of the place where its rows live."""

    account_id: int
    # Loading all rows costs a database more than a step does.
    checked_every: int

    def acquire(self) -> int:
        """Take the lease for a new trader."""

    def cursors(self) -> dict[str, int]:
        """Return up to where each history was read."""

    def call(self, function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Run what the trader wants run on its database."""

    def tables(self) -> Tables:
        """Return all rows as they are now."""

    def order(self, client_order_id: str) -> Order:
        """Return an order."""

    def decide(self, proposals: Sequence[Proposal], *, now: datetime) -> list[Outcome]:
        """Have the coordinator decide."""

    def flatten(self, book: int, *, now: datetime) -> None:
        """Have a book sell everything."""

    def kill(self, *, now: datetime) -> None:
        """Kill the account."""

    def release(self, *, now: datetime) -> None:
        """Release the kill."""

    def allocate(self, book: int, amount: Decimal, *, now: datetime) -> None:
        """Give free quote to a book, or take it back."""

    def reopen(self, *, now: datetime) -> None:
        """Have a person lift every halt."""

    def explain(self, *, now: datetime) -> None:
        """Have a person say that what is in suspense came to the operator, or left him."""

    def set_mark(self, instrument: int, price: Decimal) -> None:
        """Note the newest price."""

    def take_fees_in_quote(self) -> None:
        """Be an account of an exchange that takes the fee of a buy in quote."""

    def expire_takers_alone(self) -> None:
        """Be an account of an exchange on which the newcomer dies when two of its orders meet, also a stop."""

    def verify(self) -> list[str]:
        """Return what the product's own audit finds."""

    @property
    def killed_at(self) -> datetime | None:
        """Return since when the account is killed."""


class MemoryShell:
    """Rows in memory."""

    account_id = 1
    checked_every = 1

    def __init__(self, crash_point: Callable[[str], None], *, now: datetime) -> None:
        account = Account(pk=1, deploy="s1")
        books = [
            Book(pk=n, number=n, name=f"Book {n}", base_equity=QUOTE_OF_BOOK, position_cap_percent=D(100)) for n in (1, 2, 3)
        ]
        self.memory = Memory(
            account, books=books, instruments=[_instrument(n, *pair) for n, pair in enumerate(PAIRS, 1)], epoch=0
        )
        self.memory.marks = {1: D(50000), 2: D(2500), 3: BNB_MARK}
        self.records = MemoryRecords(self.memory, crash_point)
        self._open(now)

    @property
    def killed_at(self) -> datetime | None:
        """Return since when the account is killed."""
        return self.records.killed_at if self.memory.tables.account.is_killed else None

    def acquire(self) -> int:
        """Take the lease."""
        return self.records.acquire()

    def cursors(self) -> dict[str, int]:
        """Return up to where each history was read."""
        return dict(self.records.cursors)

    def call(self, function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Run the method that stands for a function."""
        kwargs = {name: value for name, value in kwargs.items() if name != "account_id"}
        return getattr(self.records, function.__name__)(*args, **kwargs)

    def tables(self) -> Tables:
        """Return all rows."""
        return self.memory.tables

    def order(self, client_order_id: str) -> Order:
        """Return an order."""
        tables = self.memory.tables
        return tables.orders[tables.order_ids[client_order_id]]

    def decide(self, proposals: Sequence[Proposal], *, now: datetime) -> list[Outcome]:
        """Have the coordinator decide."""
        with self.memory.transaction() as store:
            desk = Desk(store, store.account, market_at=now, now=now)
            outcomes = coordination.coordinate(desk, proposals)
            desk.write()
        return outcomes

    def flatten(self, book: int, *, now: datetime) -> None:
        """Have a book sell everything."""
        with self.memory.transaction() as store:
            desk = Desk(store, store.account, market_at=now, now=now)
            coordination.flatten(desk, book, reason="TEST_FLATTEN")
            desk.write()

    def kill(self, *, now: datetime) -> None:
        """Kill the account."""
        self._set(now, is_killed=True, killed_reason="test")
        self.records.killed_at = now

    def release(self, *, now: datetime) -> None:
        """Release the kill."""
        self._set(now, is_killed=False, killed_reason="")

    def reopen(self, *, now: datetime) -> None:
        """Have a person lift every halt."""
        self._set(now, state="active", state_reason="")
        books = self.memory.tables.books
        for pk in books:
            books[pk] = books[pk].clone()
            books[pk].is_halted, books[pk].halt_reason = False, ""

    def allocate(self, book: int, amount: Decimal, *, now: datetime) -> None:
        """Give free quote to a book, or take it back: no more than is there."""
        own, spare = Pocket("available", book, "USDT"), Pocket("unallocated", None, "USDT")
        with self.memory.transaction() as store:
            desk = Desk(store, store.account, market_at=now, now=now)
            source = spare if amount > ZERO else own
            moved = min(abs(amount), max(desk.journal.balance(source), ZERO))
            if moved:
                legs = [Leg(source, -moved), Leg(own if source is spare else spare, moved)]
                reference = f"allocation-{desk.account.ledger_seq + 1}"
                desk.journal.post(kind="allocation", reference=reference, legs=legs, market_at=now)
                desk.write()

    def explain(self, *, now: datetime) -> None:
        """Have a person say that what is in suspense came to the operator, or left him; a bot's share makes up for the rest."""
        with self.memory.transaction() as store:
            desk = Desk(store, store.account, market_at=now, now=now)
            for pocket, amount in desk.journal.balances().items():
                if pocket.kind != "suspense" or not amount:
                    continue
                operator = Pocket("unallocated", None, pocket.asset)
                split = take(-amount, [(operator, desk.journal.balance(operator))]) if amount < ZERO else None
                moved = amount if split is None else amount + split.missing
                if moved:
                    reference = f"{pocket.asset}:{desk.account.ledger_seq + 1}"
                    legs = [Leg(pocket, -moved), Leg(operator, moved)]
                    desk.journal.post(kind="explained", reference=reference, legs=legs, market_at=now)
            desk.write()

    def set_mark(self, instrument: int, price: Decimal) -> None:
        """Note the newest price."""
        self.memory.marks[instrument] = price

    def take_fees_in_quote(self) -> None:
        """Have buys hold their fee."""
        self.memory.tables.account.buy_fee_ppm = COINBASE.buy_fee_quote_ppm

    def expire_takers_alone(self) -> None:
        """Have the instruments allow nothing else."""
        for instrument in self.memory.tables.instruments.values():
            instrument.filters = FILTERS_OF_TAKERS

    def verify(self) -> list[str]:
        """Find nothing: the audit is the database's."""
        return []

    def _set(self, now: datetime, **values: Any) -> None:
        with self.memory.transaction() as store:
            desk = Desk(store, store.account, market_at=now, now=now)
            for name, value in values.items():
                setattr(desk.account, name, value)
            desk.touch_account(*values)
            desk.write()

    def _open(self, now: datetime) -> None:
        with self.memory.transaction() as store:
            desk = Desk(store, store.account, market_at=now, now=now)
            legs = [Leg(Pocket("external_flow", None, "USDT"), D(-7000)), Leg(Pocket("unallocated", None, "USDT"), D(1000))]
            legs += [Leg(Pocket("available", book, "USDT"), QUOTE_OF_BOOK) for book in (1, 2, 3)]
            legs += [Leg(Pocket("external_flow", None, "BNB"), -FEE_POOL), Leg(Pocket("fee_pool", None, "BNB"), FEE_POOL)]
            desk.journal.post(kind="deposit", reference="opening", legs=legs, market_at=now)
            desk.write()


def _instrument(pk: int, symbol: str, tick: str, lot: str) -> Instrument:
    base, quote = symbol.split("/")
    return Instrument(
        pk=pk, symbol=symbol, venue_symbol=base + quote, base=base, quote=quote, tick_size=D(tick), lot_size=D(lot),
        quantity_min=D(lot), quantity_max=D(9000), notional_min=D(5),
        filters=FILTERS,
    )  # fmt: skip
