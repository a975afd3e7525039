"""What an account has in play: loaded when a rule first asks, changed in memory, written once at the end."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cached_property
from typing import Any, Final

from trading.desk import reservations
from trading.desk.arrivals import Arrivals
from trading.desk.claims import withdrawal
from trading.desk.journal import Journal
from trading.desk.rows import (
    DROPPED,
    ENTRIES,
    ENTRIES_HALTED,
    HALTED,
    ORDERED,
    WAITING,
    AccountRow,
    BookRow,
    DecisionRow,
    InstrumentRow,
    IntentRow,
    OrderRow,
    PositionRow,
)
from trading.desk.store import AuditNote, Changes, Store
from trading.handover import Stance
from trading.ledger import Pocket
from trading.order_status import LIVE, READY, WITHDRAWN
from trading.orders import client_order_id
from trading.risk import RiskRoom
from trading.settlement import AVAILABLE

MINUTE: Final = timedelta(minutes=1)
RECONCILE_RESIDUAL: Final = "RECONCILE_RESIDUAL"


class Desk:
    """The live orders, waiting intents, positions and money of a locked account, for one transaction."""

    def __init__(self, store: Store, account: AccountRow, *, market_at: datetime, now: datetime) -> None:
        """Open a desk; nothing is loaded yet."""
        self.store = store
        self.account = account
        self.market_at = market_at
        self.now = now
        self.journal = Journal(account, store.pockets, now=now)
        self.changes = Changes()
        # The trades that this desk has posted, by instrument and number, and which of them came late.
        self.posted: set[tuple[int, int]] = set()
        self.arrivals = Arrivals(store)
        # One object for each row: rules compare and change what they find here.
        self._orders: dict[str, OrderRow] = {}
        self._positions: dict[tuple[int, int], PositionRow] = {}
        self._sorted: list[PositionRow] = []
        self._instruments: dict[int, InstrumentRow] = {}
        self._marks: Mapping[int, Decimal] | None = None
        self._entries_new: dict[int, int] = {}

    @cached_property
    def books(self) -> dict[int, BookRow]:
        """Return the account's books by number."""
        return {book.pk: book for book in self.store.books()}

    @cached_property
    def live(self) -> list[OrderRow]:
        """Return the live orders, oldest first; what this transaction has changed counts as changed."""
        for order in self.store.live_orders():
            self.know(order)
        return sorted((order for order in self._orders.values() if order.status in LIVE), key=lambda order: order.intent.seq)

    @cached_property
    def waiting(self) -> list[IntentRow]:
        """Return the intents that wait for cancels, oldest first."""
        return sorted(self.store.waiting_intents(), key=lambda intent: intent.seq)

    @cached_property
    def risk(self) -> RiskRoom | None:
        """Return what the risk rules must know."""
        return self.store.risk()

    @cached_property
    def stance(self) -> Stance | None:
        """Return whose turn it is; none where every bot has its share."""
        return self.store.stance()

    @cached_property
    def _price_troubles(self) -> Mapping[int, str]:
        return self.store.price_troubles()

    @cached_property
    def _entry_counts(self) -> Mapping[int, int]:
        return self.store.entry_counts(after=self.market_at - MINUTE)

    @cached_property
    def _all_positions(self) -> dict[tuple[int, int], PositionRow]:
        for row in self.store.positions():
            self.know_position(row)
        return self._positions

    def order_by_id(self, order_id: int) -> OrderRow:
        """Load one order, locked, and have the desk know it."""
        order = self.know(self.store.order(order_id))
        self.journal.narrow((order.book_id,))
        return order

    def lock_orders(self, *, order_ids: Collection[int] = (), names: Collection[str] = ()) -> None:
        """Load orders in one go, locked, before anything else is asked for."""
        for order in self.store.lock_orders(order_ids, names):
            self.know(order)

    def order_named(self, name: str) -> OrderRow | None:
        """Return an order that the desk knows."""
        return self._orders.get(name)

    def know(self, order: OrderRow) -> OrderRow:
        """Have the desk work on this very object wherever it meets the order."""
        return self._orders.setdefault(order.client_order_id, order)

    def left(self, order: OrderRow) -> None:
        """Take an order that has ended out of play."""
        if "live" in self.__dict__ and order in self.live:
            self.live.remove(order)

    def returned(self, order: OrderRow) -> None:
        """Take an order that was adopted back into play."""
        if "live" in self.__dict__:
            self.live.append(order)
            self.live.sort(key=lambda row: row.intent.seq)

    def know_position(self, position: PositionRow) -> PositionRow:
        """Have the desk work on this very object wherever it meets the position."""
        return self._positions.setdefault((position.book_id, position.instrument_id), position)

    def prefetch(self, instrument_ids: Iterable[int]) -> None:
        """Load these instruments in one go."""
        if missing := set(instrument_ids) - self._instruments.keys():
            self._instruments |= {row.pk: row for row in self.store.instruments(missing)}

    def instrument(self, instrument_id: int) -> InstrumentRow:
        """Return an instrument of the account's market."""
        self.prefetch((instrument_id,))
        return self._instruments[instrument_id]

    def position(self, book_id: int, instrument_id: int) -> PositionRow | None:
        """Return a book's position in an instrument, if it ever had one."""
        return self._positions.get((book_id, instrument_id)) or self._all_positions.get((book_id, instrument_id))

    def position_or_new(self, book_id: int, instrument_id: int) -> PositionRow:
        """Return a book's position in an instrument, an empty one if it never had any."""
        known = self._all_positions
        if (book_id, instrument_id) not in known:
            self.know_position(self.store.make_position(book_id=book_id, instrument_id=instrument_id))
        return known[book_id, instrument_id]

    @property
    def positions(self) -> list[PositionRow]:
        """Return all positions of the account, book by book."""
        if len(self._sorted) != len(self._all_positions):
            self._sorted = [row for _, row in sorted(self._all_positions.items())]
        return self._sorted

    def positions_of(self, book_id: int) -> list[PositionRow]:
        """Return all positions of a book."""
        return [row for row in self.positions if row.book_id == book_id]

    def mark(self, instrument_id: int) -> Decimal | None:
        """Return the newest price of an instrument, if there is one."""
        if self._marks is None or instrument_id not in self._marks:
            self._marks = self.store.marks({*self._instruments, instrument_id})
        return self._marks.get(instrument_id)

    def price_trouble(self, instrument_id: int) -> str:
        """Say why the prices of an instrument are in doubt; empty when they are not."""
        return self._price_troubles.get(instrument_id, "")

    def available(self, book_id: int, asset: str) -> Decimal:
        """Return a book's free money in an asset."""
        return self.journal.balance(Pocket(AVAILABLE, book_id, asset))

    def lots_available(self, book_id: int, instrument: InstrumentRow) -> int:
        """Count the whole lots a book could sell."""
        return int(self.available(book_id, instrument.base) // instrument.lot_size)

    def entries_last_minute(self, book_id: int) -> int:
        """Count the entries a book was granted in the last minute of market time."""
        return self._entry_counts.get(book_id, 0) + self._entries_new.get(book_id, 0)

    def live_of(self, book_id: int, instrument_id: int, *, side: str = "") -> list[OrderRow]:
        """Return the live orders of a book in an instrument, oldest first."""
        return [
            order
            for order in self.live
            if order.book_id == book_id and order.instrument_id == instrument_id and side in ("", order.side)
        ]

    def waiting_of(self, book_id: int, instrument_id: int) -> list[IntentRow]:
        """Return the intents of a book in an instrument that wait for cancels, oldest first."""
        return [row for row in self.waiting if row.book_id == book_id and row.instrument_id == instrument_id]

    def record(self, decision: DecisionRow) -> None:
        """Have a decision written."""
        self.changes.decisions.append(decision)
        self.touch_book(decision.book_id)

    def admit(self, intent: IntentRow) -> IntentRow:
        """Number a new intent and have it written."""
        self.account.intent_seq += 1
        self.changes.account_fields.add("intent_seq")
        intent.seq = self.account.intent_seq
        self.changes.intents.append(intent)
        self.touch_book(intent.book_id)
        return intent

    def forget(self, intent: IntentRow) -> None:
        """Take the newest intent back: it was refused."""
        if self.changes.intents[-1] is not intent:
            raise ValueError("Only the newest intent can be taken back")
        self.changes.intents.pop()
        self.account.intent_seq -= 1

    def wait(self, intent: IntentRow) -> None:
        """Have an intent wait for cancels."""
        if intent not in self.waiting:
            intent.state = WAITING
            self.waiting.append(intent)

    def ask_more(self, intent: IntentRow, lots: int) -> None:
        """Have a waiting sale take so many lots more; one without a number sells all anyway."""
        if intent.lots:
            intent.lots += lots
            self.changes.intents_moved[intent.seq] = intent

    def drop(self, intent: IntentRow, reason: str) -> None:
        """Give an intent up and say why."""
        intent.state, intent.drop_reason = DROPPED, reason
        self._leave_waiting(intent)

    def order(
        self,
        intent: IntentRow,
        *,
        order_type: str,
        quantity: Decimal,
        price: Decimal | None = None,
        stop_price: Decimal | None = None,
        time_in_force: str = "",
    ) -> OrderRow:
        """Write the one order of an intent and reserve its worst case."""
        instrument = self.instrument(intent.instrument_id)
        intent.state = ORDERED
        intent.lots = int(quantity / instrument.lot_size)
        self._leave_waiting(intent)
        fee_ppm = self.account.buy_fee_ppm * (intent.side == "buy")
        asset, amount = reservations.opening(instrument, side=intent.side, quantity=quantity, price=price, fee_ppm=fee_ppm)
        order = self.store.make_order(
            book_id=intent.book_id,
            intent=intent,
            instrument=instrument,
            client_order_id=client_order_id(self.account.deploy, self.books[intent.book_id].number, intent.seq),
            side=intent.side,
            type=order_type,
            time_in_force=time_in_force,
            slot=intent.slot,
            quantity=quantity,
            price=price,
            stop_price=stop_price,
            fee_ppm=fee_ppm,
            filters_version=instrument.filters_version,
            market_at=self.market_at,
            created_at=self.now,
            reserved_asset=asset,
            reserved=amount,
        )
        reservations.hold(self.journal, order, market_at=self.market_at)
        self.changes.orders.append(order)
        self._orders[order.client_order_id] = order
        self.live.append(order)
        if intent.kind in ENTRIES:
            self._entries_new[intent.book_id] = self._entries_new.get(intent.book_id, 0) + 1
        self.wake("orders")
        return order

    def cancel(self, order: OrderRow) -> None:
        """Ask for a cancel; an order that was never sent is withdrawn at once."""
        if self.withdraw(order):
            return
        if order.cancel_requested_at is None:
            order.cancel_requested_at = self.now
            self.changes.cancels[order.client_order_id] = order
            self.wake("cancel")

    def withdraw(self, order: OrderRow) -> bool:
        """Take back an order that was never sent, unless the trader has claimed it."""
        # The trader claims an order without the account's lock: whoever updates the row first has it.
        is_new = any(order is new for new in self.changes.orders)
        if order.status != READY or not (is_new or self.store.claim(order, withdrawal(now=self.now))):
            return False
        order.status, order.closed_at = WITHDRAWN, self.now
        if reservations.void(self.journal, order, market_at=self.market_at):
            self.touch_reservation(order)
        self.left(order)
        return True

    def touch_order(self, order: OrderRow) -> None:
        """Have a changed order written; its row is locked."""
        self.changes.orders_moved[order.client_order_id] = order

    def touch_reservation(self, order: OrderRow) -> None:
        """Have an order's changed reservation written."""
        self.changes.reservations_moved[order.client_order_id] = order.reservation

    def touch_position(self, position: PositionRow) -> None:
        """Have a changed position written."""
        self.changes.positions_moved[position.book_id, position.instrument_id] = position

    def pass_on(self, position: PositionRow) -> None:
        """Note that coins came to a position, or left it, by the ledger alone: later news of its trades comes after that."""
        self.arrivals.pass_on(position)
        self.changes.passed.add((position.book_id, position.instrument_id))

    def touch_book(self, book_id: int) -> None:
        """Have the browsers told that a book changed."""
        self.changes.books_touched.add(book_id)
        self.changes.is_account_touched = True

    def touch_account(self, *fields: str) -> None:
        """Have these fields of the account written, and the browsers told that it changed."""
        self.changes.account_fields.update(fields)
        self.changes.is_account_touched = True

    def wake(self, word: str) -> None:
        """Ring for the account's trader at commit."""
        self.changes.wakes[word] = None

    def audit(self, action: str, subject: str, *, before: Mapping[str, Any] | None = None, after: Mapping[str, Any]) -> None:
        """Have a state change noted in the audit."""
        self.changes.audits.append(AuditNote(action, subject, before or {}, after))

    def halt_book(self, book_id: int, reason: str) -> None:
        """Stop a book's entries until a person looks; the first reason stays."""
        book = self.books[book_id]
        if not book.is_halted:
            book.is_halted, book.halt_reason = True, reason
            self.changes.books_halted[book_id] = book
            self.touch_book(book_id)
            self.audit("book.halt", f"book:{book_id}", after={"reason": reason})

    def note_flatten(self, book_id: int) -> None:
        """Note that a book is being sold out: whatever its orders of before bring later is sold too."""
        book = self.books[book_id]
        book.flattened_seq = self.account.intent_seq
        self.changes.books_flattened[book_id] = book

    def halt_entries(self, reason: str) -> None:
        """Stop entries on the account; exits keep working. A full halt is not softened."""
        account = self.account
        if account.state == HALTED or (account.state, account.state_reason) == (ENTRIES_HALTED, reason):
            return
        before = {"state": account.state, "reason": account.state_reason}
        account.state, account.state_reason = ENTRIES_HALTED, reason
        self.touch_account("state", "state_reason")
        after = {"state": ENTRIES_HALTED, "reason": reason}
        self.audit("account.state", f"account:{account.pk}", before=before, after=after)

    def write(self) -> None:
        """Hand everything that changed to the store."""
        changes = self.changes
        self.changes = Changes()
        changes.movements, changes.balances = self.journal.taken()
        if changes.movements:
            changes.account_fields |= {"ledger_seq", "ledger_hash"}
        new = {intent.seq for intent in changes.intents}
        changes.intents_moved = {seq: row for seq, row in changes.intents_moved.items() if seq not in new}
        for order in changes.orders:
            changes.orders_moved.pop(order.client_order_id, None)
            changes.reservations_moved.pop(order.client_order_id, None)
        self.store.write(changes)

    def _leave_waiting(self, intent: IntentRow) -> None:
        if intent in self.waiting:
            self.waiting.remove(intent)
        self.changes.intents_moved[intent.seq] = intent
