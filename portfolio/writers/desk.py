"""What an account has in play: loaded once in a transaction, changed in memory, written in a few statements."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime, timedelta
from decimal import Decimal

from django.db.models import Count, Q

from marketdata.models import Instrument, Mark
from portfolio.models import Account, Book, DecisionRecord, Intent, Order, Position, Reservation
from portfolio.writers import accounts, books, reservations
from portfolio.writers.ledger import Journal
from trading.ledger import Pocket
from trading.order_status import READY, WITHDRAWN
from trading.orders import client_order_id
from trading.settlement import AVAILABLE

MINUTE = timedelta(minutes=1)
SELLS_OF_EXIT = (Intent.Kind.EXIT, Intent.Kind.FLATTEN)
ENTRIES = (Intent.Kind.ENTER, Intent.Kind.PLACE)


class Desk:
    """The live orders, waiting intents, positions and money of a locked account."""

    def __init__(self, account: Account, *, market_at: datetime, now: datetime, instrument_ids: Collection[int] = ()) -> None:
        self.account = account
        self.market_at = market_at
        self.now = now
        self.journal = Journal(account, now=now)
        self.books = {book.pk: book for book in Book.objects.filter(account=account)}
        live = Order.objects.filter(account=account, status__in=Order.LIVE).select_related("intent", "instrument", "reservation")
        self.live: list[Order] = sorted(live, key=lambda order: order.intent.seq)
        waiting = Intent.objects.filter(book__in=self.books, state=Intent.State.WAITING).select_related("instrument")
        self.waiting: list[Intent] = sorted(waiting, key=lambda intent: intent.seq)
        self._instruments = {order.instrument_id: order.instrument for order in self.live}
        self._instruments |= {intent.instrument_id: intent.instrument for intent in self.waiting}
        if missing := set(instrument_ids) - self._instruments.keys():
            self._instruments |= Instrument.objects.in_bulk(missing)
        self._positions: dict[tuple[int, int], Position] | None = None
        self._marks: dict[int, Decimal] | None = None
        self._order_counts: dict[int, int] | None = None
        self._decisions: list[DecisionRecord] = []
        self._intents: list[Intent] = []
        self._orders: list[Order] = []
        self._intents_moved: dict[int, Intent] = {}
        self._positions_moved: dict[int, Position] = {}
        self._cancels: dict[int, Order] = {}

    def instrument(self, instrument_id: int) -> Instrument:
        """Return an instrument of the account's market."""
        if instrument_id not in self._instruments:
            self._instruments[instrument_id] = Instrument.objects.get(id=instrument_id)
        return self._instruments[instrument_id]

    def position(self, book_id: int, instrument_id: int) -> Position | None:
        """Return a book's position in an instrument, if it ever had one."""
        if self._positions is None:
            rows = Position.objects.filter(book__in=self.books)
            self._positions = {(row.book_id, row.instrument_id): row for row in rows}
        return self._positions.get((book_id, instrument_id))

    def positions_of(self, book_id: int) -> list[Position]:
        """Return all positions of a book."""
        self.position(book_id, 0)
        assert self._positions is not None
        return [row for (holder, _), row in sorted(self._positions.items()) if holder == book_id]

    def mark(self, instrument_id: int) -> Decimal | None:
        """Return the newest price of an instrument, if there is one."""
        if self._marks is None:
            rows = Mark.objects.filter(instrument__in=self._instruments)
            self._marks = dict(rows.values_list("instrument_id", "price"))
        return self._marks.get(instrument_id)

    def available(self, book_id: int, asset: str) -> Decimal:
        """Return a book's free money in an asset."""
        return self.journal.balance(Pocket(AVAILABLE, book_id, asset))

    def lots_available(self, book_id: int, instrument: Instrument) -> int:
        """Count the whole lots a book could sell."""
        return int(self.available(book_id, instrument.base) // instrument.lot_size)

    def entries_last_minute(self, book_id: int) -> int:
        """Count the entries a book was granted in the last minute of market time."""
        if self._order_counts is None:
            rows = (
                Order.objects.filter(book__in=self.books, market_at__gt=self.market_at - MINUTE, intent__kind__in=ENTRIES)
                .values_list("book_id")
                .annotate(Count("id"))
            )
            self._order_counts = dict(rows)
        new = sum(order.book_id == book_id and order.intent.kind in ENTRIES for order in self._orders)
        return self._order_counts.get(book_id, 0) + new

    def live_of(self, book_id: int, instrument_id: int, *, side: str = "") -> list[Order]:
        """Return the live orders of a book in an instrument, oldest first."""
        return [
            order
            for order in self.live
            if order.book_id == book_id and order.instrument_id == instrument_id and side in ("", order.side)
        ]

    def waiting_of(self, book_id: int, instrument_id: int) -> list[Intent]:
        """Return the intents of a book in an instrument that wait for cancels, oldest first."""
        return [row for row in self.waiting if row.book_id == book_id and row.instrument_id == instrument_id]

    def record(self, decision: DecisionRecord) -> None:
        """Have a decision written."""
        self._decisions.append(decision)

    def admit(self, intent: Intent) -> Intent:
        """Number a new intent and have it written."""
        self.account.intent_seq += 1
        intent.seq = self.account.intent_seq
        self._intents.append(intent)
        return intent

    def forget(self, intent: Intent) -> None:
        """Take the newest intent back: it was refused."""
        if self._intents[-1] is not intent:
            raise ValueError("Only the newest intent can be taken back")
        self._intents.pop()
        self.account.intent_seq -= 1

    def wait(self, intent: Intent) -> None:
        """Have an intent wait for cancels."""
        if intent not in self.waiting:
            intent.state = Intent.State.WAITING
            self.waiting.append(intent)

    def drop(self, intent: Intent, reason: str) -> None:
        """Give an intent up and say why."""
        intent.state, intent.drop_reason = Intent.State.DROPPED, reason
        self._leave_waiting(intent)

    def order(
        self,
        intent: Intent,
        *,
        order_type: str,
        quantity: Decimal,
        price: Decimal | None = None,
        stop_price: Decimal | None = None,
        time_in_force: str = "",
    ) -> Order:
        """Write the one order of an intent and reserve its worst case."""
        instrument = self.instrument(intent.instrument_id)
        intent.state = Intent.State.ORDERED
        intent.lots = int(quantity / instrument.lot_size)
        self._leave_waiting(intent)
        order = Order(
            account=self.account,
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
            filters_version=instrument.filters_version,
            market_at=self.market_at,
            created_at=self.now,
        )
        reservations.hold(self.journal, reservations.draft(order), market_at=self.market_at)
        self._orders.append(order)
        self.live.append(order)
        return order

    def cancel(self, order: Order) -> None:
        """Ask for a cancel; an order that was never sent is withdrawn at once."""
        if order.status == READY and self._withdraw(order):
            return
        if order.cancel_requested_at is None:
            order.cancel_requested_at = self.now
            self._cancels[order.pk] = order

    def touch_position(self, position: Position) -> None:
        """Have a changed position written."""
        self._positions_moved[position.pk] = position

    def write(self) -> None:
        """Write everything that changed, wake the trader and tell the browsers."""
        touched = {decision.book_id for decision in self._decisions}
        touched |= {intent.book_id for intent in [*self._intents, *self._intents_moved.values()]}
        DecisionRecord.objects.bulk_create(self._decisions)
        Intent.objects.bulk_create(self._intents)
        Order.objects.bulk_create(self._orders)
        Reservation.objects.bulk_create([order.reservation for order in self._orders])
        self.journal.flush()
        if self._intents_moved:
            Intent.objects.bulk_update(self._intents_moved.values(), ["state", "lots", "drop_reason"])
        if self._positions_moved:
            Position.objects.bulk_update(self._positions_moved.values(), ["stop_price", "is_unprotected"])
        self._write_cancels()
        if self._orders:
            accounts.wake_trader(self.account.pk, "orders")
        if touched:
            books.raise_versions(touched)
            accounts.changed(self.account, "intent_seq")

    def _write_cancels(self) -> None:
        if self._cancels:
            Order.objects.filter(id__in=self._cancels).update(cancel_requested_at=self.now)
            accounts.wake_trader(self.account.pk, "cancel")

    def _withdraw(self, order: Order) -> bool:
        # The trader marks SENDING without the account's lock: whoever updates the row first has the order.
        if order.pk is not None:
            won = Order.objects.filter(id=order.pk, status=READY).update(status=WITHDRAWN, closed_at=self.now)
            if not won:
                return False
        order.status, order.closed_at = WITHDRAWN, self.now
        reservations.void(self.journal, order.reservation, market_at=self.market_at)
        self.live.remove(order)
        return True

    def _leave_waiting(self, intent: Intent) -> None:
        if intent in self.waiting:
            self.waiting.remove(intent)
        if intent.pk is not None:
            self._intents_moved[intent.pk] = intent


def is_stop(order: Order) -> bool:
    """Say whether an order is a protective stop."""
    return order.type == "STOP_LOSS"


def others(orders: Iterable[Order], *, book_id: int, instrument_id: int, side: str) -> list[Order]:
    """Return the orders of other books on one side of an instrument; stops rest nowhere until they trigger."""
    return [
        order
        for order in orders
        if order.book_id != book_id and order.instrument_id == instrument_id and order.side == side and not is_stop(order)
    ]


def waiting_exists(book_id: int, instrument_id: int) -> bool:
    """Say whether a book has intents that wait in an instrument."""
    return Intent.objects.filter(Q(state=Intent.State.WAITING), book_id=book_id, instrument_id=instrument_id).exists()
