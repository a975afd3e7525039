"""The second shell: an account's rows in memory, with transactions, constraints and the trader's fence."""

from __future__ import annotations

from bisect import bisect_right, insort
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, TypeVar, cast

from trading.desk.claims import Claim
from trading.desk.journal import MAY_BE_NEGATIVE
from trading.desk.plain import Account, Book, Decision, Fill, Instrument, Intent, Order, Position, Reservation
from trading.desk.reservations import obligation
from trading.desk.rows import ENTRIES, STOP, WAITING, OrderRow
from trading.desk.store import (
    INTENT_FIELDS,
    ORDER_FIELDS,
    POSITION_FIELDS,
    RESERVATION_FIELDS,
    AuditNote,
    Changes,
    Movement,
    OwnerUnknown,
    TradeFacts,
)
from trading.handover import Stance
from trading.ledger import ZERO, Pocket, exactly
from trading.order_status import LIVE
from trading.orders import TradeReport, parse_client_order_id
from trading.risk import RiskRoom

K = TypeVar("K")
V = TypeVar("V")


class ConstraintBroken(Exception):
    """Raised where a database would refuse a write; the transaction leaves nothing behind."""


class Fenced(Exception):
    """Raised when the account's lease has passed to another trader."""


@dataclass
class Tables:
    """All rows, by their names. A row in a table is never changed: a write puts a changed copy in its place."""

    account: Account
    books: dict[int, Book]
    instruments: dict[int, Instrument]
    orders: dict[int, Order] = field(default_factory=dict)
    order_ids: dict[str, int] = field(default_factory=dict)
    live: set[int] = field(default_factory=set)
    intents: dict[int, Intent] = field(default_factory=dict)
    waiting: set[int] = field(default_factory=set)
    decisions: dict[tuple[int, datetime, int], Decision] = field(default_factory=dict)
    fills: dict[tuple[int, int], Fill] = field(default_factory=dict)
    # By position: (traded at, number) of its fills since something passed from or to it, oldest first.
    fill_times: dict[tuple[int, int], tuple[tuple[datetime, int], ...]] = field(default_factory=dict)
    positions: dict[tuple[int, int], Position] = field(default_factory=dict)
    pockets: dict[Pocket, Decimal] = field(default_factory=dict)
    movements: list[Movement] = field(default_factory=list)
    references: set[tuple[str, str]] = field(default_factory=set)
    audits: list[AuditNote] = field(default_factory=list)

    def clone(self) -> Tables:
        """Return tables of the same rows that can be written to alone."""
        copy = object.__new__(Tables)
        copy.__dict__.update({name: table.copy() for name, table in self.__dict__.items() if name != "account"})
        copy.account = self.account
        return copy


class Memory:
    """One account in memory. `wakes` are the doorbells rung at commits, `epoch` is the lease of the account's trader."""

    def __init__(self, account: Account, *, books: Iterable[Book], instruments: Iterable[Instrument], epoch: int = 1) -> None:
        self.tables = Tables(account, {row.pk: row for row in books}, {row.pk: row for row in instruments})
        self.marks: dict[int, Decimal] = {}
        self.price_troubles: dict[int, str] = {}
        self.epoch = epoch
        self.wakes: list[str] = []
        # None limits nothing: what the simulation is about is set by whoever simulates.
        self.risk: RiskRoom | None = None
        self.stance: Stance | None = None
        self._is_open = False

    @contextmanager
    def transaction(self, *, epoch: int | None = None) -> Iterator[MemoryStore]:
        """Run one transaction: what it wrote is there when it ends, or nothing is when it raises.

        With an epoch it is a trader's transaction, refused once the lease has passed on (I-34).
        """
        if self._is_open:
            raise RuntimeError("The account is locked: one transaction at a time")
        if epoch is not None and epoch != self.epoch:
            raise Fenced(f"The lease is at epoch {self.epoch}, not {epoch}")
        self._is_open = True
        try:
            store = MemoryStore(self, self.tables.clone())
            yield store
            store.check()
            self.tables = store.tables
            self.wakes += store.wakes
        finally:
            self._is_open = False

    @property
    def journal_hash(self) -> str:
        """Return the head of the hash chain: the same history has the same hash (I-51)."""
        return self.tables.account.ledger_hash


class MemoryStore:
    """The rows within one transaction; rules are handed copies, and only what they hand back is written."""

    def __init__(self, memory: Memory, tables: Tables) -> None:
        self.memory = memory
        self.tables = tables
        self.account = tables.account.clone()
        self.wakes: list[str] = []
        self._orders_touched: set[int] = set()
        self._movements_before = len(tables.movements)

    def books(self) -> list[Book]:
        """Return all books."""
        return [row.clone() for row in self.tables.books.values()]

    def pockets(self, book_ids: Collection[int] | None) -> Mapping[Pocket, Decimal]:
        """Return the balances of the pools and of these books, or of all."""
        return {
            pocket: balance
            for pocket, balance in self.tables.pockets.items()
            if book_ids is None or pocket.book_id is None or pocket.book_id in book_ids
        }

    def live_orders(self) -> list[Order]:
        """Return the live orders."""
        return [self.tables.orders[pk].clone() for pk in sorted(self.tables.live)]

    def waiting_intents(self) -> list[Intent]:
        """Return the intents that wait for cancels."""
        return [self.tables.intents[seq].clone() for seq in sorted(self.tables.waiting)]

    def positions(self) -> list[Position]:
        """Return all positions."""
        return [row.clone() for row in self.tables.positions.values()]

    def instruments(self, instrument_ids: Collection[int]) -> list[Instrument]:
        """Return these instruments."""
        return [self.tables.instruments[pk] for pk in instrument_ids]

    def marks(self, instrument_ids: Collection[int]) -> Mapping[int, Decimal]:
        """Return the newest prices there are."""
        return {pk: self.memory.marks[pk] for pk in instrument_ids if pk in self.memory.marks}

    def price_troubles(self) -> Mapping[int, str]:
        """Say of each instrument whose prices are in doubt, why."""
        return self.memory.price_troubles

    def fee_mark(self, asset: str, quote: str) -> Decimal | None:
        """Return the newest price of a fee asset in quote."""
        pairs = (row.pk for row in self.tables.instruments.values() if (row.base, row.quote) == (asset, quote))
        return next((self.memory.marks[pk] for pk in pairs if pk in self.memory.marks), None)

    def entry_counts(self, *, after: datetime) -> Mapping[int, int]:
        """Count the entries ordered after a market time, by book."""
        orders = self.tables.orders.values()
        return Counter(row.book_id for row in orders if row.market_at > after and row.intent.kind in ENTRIES)

    def has_had_stop(self, book_id: int, instrument_id: int) -> bool:
        """Say whether a book ever asked for a stop in an instrument."""
        wanted = (book_id, instrument_id, STOP)
        return any((row.book_id, row.instrument_id, row.kind) == wanted for row in self.tables.intents.values())

    def newest_stop(self, book_id: int, instrument_id: int) -> Order | None:
        """Return the newest stop order of a book in an instrument."""
        wanted, rows = (book_id, instrument_id, STOP), reversed(self.tables.orders.values())
        return next((row for row in rows if (row.book_id, row.instrument_id, row.intent.kind) == wanted), None)

    def risk(self) -> RiskRoom | None:
        """Return what the risk rules must know of the account; none where nothing is limited."""
        return self.memory.risk

    def stance(self) -> Stance | None:
        """Return whose turn it is in the operator's mode; none where every bot has its share."""
        return self.memory.stance

    def order(self, order_id: int) -> Order:
        """Return an order."""
        return self.tables.orders[order_id].clone()

    def order_named(self, client_order_id: str) -> Order | None:
        """Return the order of a name, if there is one."""
        pk = self.tables.order_ids.get(client_order_id)
        return None if pk is None else self.order(pk)

    def lock_orders(self, order_ids: Collection[int], names: Collection[str]) -> list[Order]:
        """Return the orders of these numbers and of these client order ids."""
        named = {self.tables.order_ids[name] for name in names if name in self.tables.order_ids}
        return [self.order(pk) for pk in sorted({*order_ids, *named})]

    def prefetch_trades(self, trades: Sequence[TradeReport]) -> None:
        """Load nothing: it is all here."""

    def trade_facts(self, trade: TradeReport) -> TradeFacts:
        """Return the order of a trade and what is on record beside it; raise OwnerUnknown."""
        instrument = next(row for row in self.tables.instruments.values() if trade.symbol in (row.symbol, row.venue_symbol))
        if (instrument.pk, trade.trade_id) in self.tables.fills:
            return TradeFacts(None, instrument, None, is_posted=True, newest=None)
        order = self._order_of(trade, instrument)
        if order is None:
            return TradeFacts(None, instrument, None, is_posted=False, newest=None)
        key = (order.book_id, instrument.pk)
        position = self.tables.positions.get(key)
        times = self.tables.fill_times.get(key)
        return TradeFacts(
            order, instrument, position.clone() if position else None, is_posted=False, newest=times[-1] if times else None
        )

    def fills_after(self, book_id: int, instrument_id: int, trade: TradeReport) -> Sequence[Fill]:
        """Return the fills of a position that come after a trade by (time, number), oldest first."""
        times = self.tables.fill_times.get((book_id, instrument_id), ())
        first = bisect_right(times, (trade.traded_at, trade.trade_id))
        return [self.tables.fills[instrument_id, number].clone() for _, number in times[first:]]

    def claim(self, order: OrderRow, claim: Claim) -> bool:
        """Set the values if the order's row allows it at this very moment."""
        return self.claim_row(self.tables.order_ids[order.client_order_id], claim)

    def claim_row(self, order_id: int, claim: Claim) -> bool:
        """Set the values of an order that is known by its number alone."""
        row = self.tables.orders[order_id]
        is_refused = (
            row.status not in claim.statuses
            or (claim.epoch is not None and claim.epoch != self.memory.epoch)
            or (claim.is_first_attempt and row.attempt > 0)
            or (claim.spares_killed_entries and self.tables.account.is_killed and row.intent.kind in ENTRIES)
            or (claim.is_cancel_requested and row.cancel_requested_at is None)
        )
        if not is_refused:
            self._put_order(row.changed(claim.values))
        return not is_refused

    def make_decision(self, **values: Any) -> Decision:
        """Make a decision record."""
        return Decision(**values)

    def make_intent(self, **values: Any) -> Intent:
        """Make an intent."""
        return Intent(**values)

    def make_order(self, *, reserved_asset: str, reserved: Decimal, **values: Any) -> Order:
        """Make an order with its reservation."""
        held = Reservation(asset=reserved_asset, initial=reserved, remaining=reserved)
        return Order(reservation=held, **values)

    def make_fill(self, **values: Any) -> Fill:
        """Make a fill."""
        return Fill(**values)

    def make_position(self, *, book_id: int, instrument_id: int) -> Position:
        """Make an empty position."""
        return Position(book_id=book_id, instrument_id=instrument_id)

    def write(self, changes: Changes) -> None:
        """Write everything that changed to the transaction's tables."""
        self._write_new(changes)
        self._write_moved(changes)
        self._write_ledger(changes)
        tables = self.tables
        for book_id, book in changes.books_halted.items():
            tables.books[book_id] = tables.books[book_id].changed(_fields(book, ("is_halted", "halt_reason")))
        for book_id, book in changes.books_flattened.items():
            tables.books[book_id] = tables.books[book_id].changed(_fields(book, ("flattened_seq",)))
        for book_id in changes.books_touched:
            tables.books[book_id] = tables.books[book_id].changed({"version": tables.books[book_id].version + 1})
        if changes.is_account_touched or changes.account_fields:
            self.account.version += 1
            tables.account = tables.account.changed(
                _fields(self.account, changes.account_fields) | {"version": self.account.version}
            )
        tables.audits += changes.audits
        self.wakes += [word for word in changes.wakes if word not in self.wakes]

    @exactly
    def check(self) -> None:
        """Refuse to commit what the constraints of the database refuse (I-01, I-07, I-08, I-10, I-11)."""
        for movement in self.tables.movements[self._movements_before :]:
            sums: dict[str, Decimal] = {}
            for (_, _, asset), amount in movement.legs:
                sums[asset] = sums.get(asset, ZERO) + amount
            if any(sums.values()):
                raise ConstraintBroken(f"Transaction {movement.seq} is not zero-sum: {sums}")
        for pocket, balance in self.tables.pockets.items():
            if balance < ZERO and pocket.kind not in MAY_BE_NEGATIVE:
                raise ConstraintBroken(f"{pocket} holds {balance}")
        for pk in self._orders_touched:
            _check_order(self.tables.orders[pk])

    def _order_of(self, trade: TradeReport, instrument: Instrument) -> Order | None:
        if trade.client_order_id is None:
            for row in self.tables.orders.values():
                if (row.instrument_id, row.exchange_order_id) == (instrument.pk, trade.exchange_order_id):
                    return row.clone()
            raise OwnerUnknown(f"Nobody here knows {instrument.symbol} order {trade.exchange_order_id}")
        order = self.order_named(trade.client_order_id)
        if order is not None and order.instrument_id != instrument.pk:
            raise OwnerUnknown(f"{trade.client_order_id} is an order in {order.instrument.symbol}, not in {trade.symbol}")
        name = parse_client_order_id(trade.client_order_id)
        if order is None and name is not None and name.deploy == self.account.deploy:
            raise OwnerUnknown(f"No order {trade.client_order_id} is on record, yet the name is ours")
        return order

    def _write_new(self, changes: Changes) -> None:
        tables = self.tables
        for decision in cast("list[Decision]", changes.decisions):
            _insert(tables.decisions, (decision.book_id, decision.bar_closed_at, decision.leg), decision)
        for intent in cast("list[Intent]", changes.intents):
            _insert(tables.intents, intent.seq, intent.clone())
            self._note_waiting(intent)
        for order in cast("list[Order]", changes.orders):
            order.pk = len(tables.orders) + 1
            _insert(tables.order_ids, order.client_order_id, order.pk)
            self._put_order(order.clone())
        for fill, _ in cast("list[tuple[Fill, Movement]]", changes.fills):
            _insert(tables.fills, (fill.instrument.pk, fill.trade_id), fill.clone())
            if fill.book_id is not None:
                times = list(tables.fill_times.get((fill.book_id, fill.instrument.pk), ()))
                insort(times, (fill.traded_at, fill.trade_id))
                tables.fill_times[fill.book_id, fill.instrument.pk] = tuple(times)
        for place in changes.passed:
            tables.fill_times.pop(place, None)

    def _write_moved(self, changes: Changes) -> None:
        tables = self.tables
        for seq, intent in changes.intents_moved.items():
            tables.intents[seq] = tables.intents[seq].changed(_fields(intent, INTENT_FIELDS))
            self._note_waiting(tables.intents[seq])
        for name, order in changes.orders_moved.items():
            self._put_order(tables.orders[tables.order_ids[name]].changed(_fields(order, ORDER_FIELDS)))
        for name, held in changes.reservations_moved.items():
            row = tables.orders[tables.order_ids[name]]
            self._put_order(row.changed({"reservation": row.reservation.changed(_fields(held, RESERVATION_FIELDS))}))
        for name, order in changes.cancels.items():
            row = tables.orders[tables.order_ids[name]]
            self._put_order(row.changed({"cancel_requested_at": order.cancel_requested_at}))
        for key, position in changes.positions_moved.items():
            empty = Position(book_id=key[0], instrument_id=key[1])
            tables.positions[key] = empty.changed(_fields(position, POSITION_FIELDS))
        for place, fill in changes.fills_corrected.items():
            tables.fills[place] = tables.fills[place].changed({"realised": fill.realised})

    def _write_ledger(self, changes: Changes) -> None:
        tables = self.tables
        for seq, movement in enumerate(changes.movements, tables.account.ledger_seq + 1):
            reference = (movement.kind, movement.reference)
            if reference in tables.references or movement.seq != seq:
                raise ConstraintBroken(f"Transaction {movement.seq} {reference} is posted already")
            tables.references.add(reference)
            tables.movements.append(movement)
        for pocket, amount in changes.balances.items():
            tables.pockets[pocket] = tables.pockets.get(pocket, ZERO) + amount

    def _put_order(self, row: Order) -> None:
        self.tables.orders[row.pk] = row
        self._orders_touched.add(row.pk)
        (self.tables.live.add if row.status in LIVE else self.tables.live.discard)(row.pk)

    def _note_waiting(self, intent: Intent) -> None:
        (self.tables.waiting.add if intent.state == WAITING else self.tables.waiting.discard)(intent.seq)


def _check_order(row: Order) -> None:
    held = row.reservation
    is_right = (
        held.remaining == obligation(row)
        and held.initial == held.remaining + held.posted + held.voided
        and min(held.remaining, held.posted, held.voided) >= ZERO
        and ZERO <= row.filled_quantity <= row.quantity
        and row.attempt <= 1
    )
    if not is_right:
        raise ConstraintBroken(f"{row.client_order_id} is {row.status} and its reservation says {held}")


def _fields(row: object, names: Iterable[str]) -> dict[str, object]:
    return {name: getattr(row, name) for name in names}


def _insert(table: dict[K, V], key: K, row: V) -> None:
    if key in table:
        raise ConstraintBroken(f"There is a {type(row).__name__} {key} already")
    table[key] = row
