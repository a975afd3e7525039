"""The coordinator's own rules over a simulated account: its rows are laid out, `trading.desk` decides."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Final, NamedTuple

from trading.accounts.member import Member
from trading.desk.admission import entry_refusal, expected_price, price_inside_rivals
from trading.desk.desk import MINUTE, Desk
from trading.desk.memory import Memory, MemoryStore
from trading.desk.plain import Account, Book, Instrument, Intent, Order, Position, Reservation
from trading.desk.refusals import Refusal
from trading.desk.rows import LIMIT_MAKER, PLACE, STOP, STOP_LOSS
from trading.desk.turns import turn_refusal
from trading.handover import Stance
from trading.instruments import Instrument as KnownInstrument
from trading.ledger import ZERO, Pocket, exactly
from trading.order_status import OPEN
from trading.proposals import Proposal
from trading.risk import RiskRoom
from trading.settlement import AVAILABLE, RESERVED, UNALLOCATED
from trading.strategy import BUY, SELL, OrderKind, Reason, Record

# Client order ids name no account here: nothing is sent.
_DEPLOY: Final = "sim"
# Order numbers of one book stay below this.
_NUMBERS: Final = 10**12


class Verdict(NamedTuple):
    """Whether an entry may live, and at which limit."""

    refusal: Refusal | None
    limit_price: Decimal | None


class Referee:
    """Asks the rules about one account; knows the entries of the last minute, nothing else of its own."""

    def __init__(self, members: Sequence[Member], quote: str) -> None:
        """Lay out what never changes: the account and its markets."""
        self._members = members
        self._quote = quote
        self._instruments = {
            symbol: _instrument_row(pk, one) for pk, (symbol, one) in enumerate(_markets(members).items(), start=1)
        }
        self._granted: list[tuple[int, int]] = []
        self._turn_codes: dict[Hashable, tuple[str, ...]] = {}
        # The rows of each book, with what they were made from.
        self._rows: dict[int, tuple[tuple[int, int], list[Order]]] = {}

    def instrument_id(self, member: Member, market: int) -> int:
        """Return the number of one of a member's markets."""
        return self._instruments[member.instruments[market].symbol].pk

    @exactly
    def judge(
        self,
        member: Member,
        market: int,
        proposal: Proposal,
        *,
        at: int,
        unallocated: Decimal,
        room: RiskRoom | None,
        stance: Stance | None,
    ) -> Verdict:
        """Say whether an entry or a resting order may live now."""
        desk = self.desk(at, unallocated=unallocated, room=room, stance=stance)
        kind = str(proposal.kind)
        intent = Intent(
            book_id=member.number,
            kind=kind,
            instrument=self._instruments[member.instruments[market].symbol],
            side=proposal.side,
            slot=proposal.slot,
            lots=proposal.lots,
            limit_price=proposal.limit_price,
            stop_price=proposal.stop_price,
            expected_price=None if proposal.limit_price is None else expected_price(kind, proposal.limit_price),
            reason=proposal.reason,
            market_at=desk.market_at,
        )
        intent.limit_price = price_inside_rivals(desk, intent)
        refusal = entry_refusal(desk, intent)
        if refusal is None:
            self.grant(member.number, at)
        return Verdict(refusal, intent.limit_price)

    def grant(self, number: int, at: int, count: int = 1) -> None:
        """Count entries and resting orders that a book was granted."""
        self._granted += [(at, number)] * count

    def granted_since_a_minute(self, at: int) -> int:
        """Count what all books were granted in the last minute."""
        if self._granted:
            self._granted = [(then, number) for then, number in self._granted if then > at - _MINUTE_MS]
        return len(self._granted)

    def granted(self) -> list[tuple[int, int]]:
        """Return what was granted lately, to go back to it."""
        return self._granted.copy()

    def go_back(self, granted: list[tuple[int, int]]) -> None:
        """Forget what was granted since."""
        self._granted = granted.copy()

    def turn_codes(self, *, at: int, stance: Stance | None) -> tuple[str, ...]:
        """Say of every book by which code it is refused because it is not its turn; empty where it is not.

        The rule knows no moments but the two of the stance, so that one answer serves all that lie alike to them.
        """
        like = None if stance is None else _likeness(at, stance)
        known = self._turn_codes.get(like)
        if known is None:
            desk = self._desk_of_turns(at, stance)
            refusals = [turn_refusal(desk, member.number) for member in self._members]
            known = self._turn_codes[like] = tuple("" if refusal is None else refusal.code for refusal in refusals)
        return known

    def _desk_of_turns(self, at: int, stance: Stance | None) -> Desk:
        # The books have nothing in them: whose turn it is depends on nothing else.
        memory = self._memory()
        memory.stance = stance
        store = _Rows(memory, {})
        return Desk(store, store.account, market_at=moment(at), now=moment(at))

    def _memory(self) -> Memory:
        return Memory(
            Account(pk=1, deploy=_DEPLOY, quote_asset=self._quote),
            books=[_book_row(member) for member in self._members],
            instruments=self._instruments.values(),
        )

    def desk(self, at: int, *, unallocated: Decimal, room: RiskRoom | None, stance: Stance | None) -> Desk:
        """Open a desk on the account as it is now; what the rules do to it reaches nobody."""
        market_at = moment(at)
        memory = self._memory()
        tables = memory.tables
        tables.pockets[Pocket(UNALLOCATED, None, self._quote)] = unallocated
        for member in self._members:
            for asset, free, held in _balances(member):
                tables.pockets[Pocket(AVAILABLE, member.number, asset)] = free
                tables.pockets[Pocket(RESERVED, member.number, asset)] = held
            for market, instrument in enumerate(member.instruments):
                row = self._instruments[instrument.symbol]
                memory.marks[row.pk] = member.mark(market, at)
                tables.positions[member.number, row.pk] = Position(
                    book_id=member.number, instrument_id=row.pk, quantity=member.quantity(market)
                )
            for order in self._orders(member, at):
                tables.orders[order.pk] = order
                tables.live.add(order.pk)
        memory.risk, memory.stance = room, stance
        store = _Rows(memory, self._entries_since(market_at - MINUTE))
        return Desk(store, store.account, market_at=market_at, now=market_at)

    def prices(self, at: int) -> dict[str, Decimal]:
        """Return the newest price of every asset in quote."""
        return {self._quote: Decimal(1)} | {
            instrument.base: member.mark(market, at) for member, market, instrument in _all_markets(self._members)
        }

    def closes(self, at: int) -> dict[int, Decimal]:
        """Return the last close of every market."""
        return {self.instrument_id(member, market): member.mark(market, at) for member, market, _ in _all_markets(self._members)}

    def sold_lately(self, at: int) -> frozenset[tuple[int, int]]:
        """Return which books sold in which markets in the last minute."""
        return frozenset(
            (member.number, self.instrument_id(member, market)) for member in self._members for market in _sold(member, at)
        )

    def _entries_since(self, market_at: datetime) -> Mapping[int, int]:
        self.granted_since_a_minute(milliseconds(market_at) + _MINUTE_MS)
        return Counter(number for _, number in self._granted)

    def _orders(self, member: Member, at: int) -> list[Order]:
        # Orders change by fills, and by what is done from outside.
        made_from = (member.fill_count, member.changes)
        known = self._rows.get(member.number)
        if known is None or known[0] != made_from:
            rows = [
                _order_row(member, market, self._instruments[instrument.symbol], order, moment(at))
                for market, instrument in enumerate(member.instruments)
                for order in (*member.orders(market), *_buys(member.waiting(market)))
            ]
            known = made_from, rows
            self._rows[member.number] = known
        return known[1]


class _Rows(MemoryStore):
    """Rows of one moment; entries that were filled at once left no order behind, so they are counted apart."""

    def __init__(self, memory: Memory, entries: Mapping[int, int]) -> None:
        super().__init__(memory, memory.tables)
        self._entries = entries

    def entry_counts(self, *, after: datetime) -> Mapping[int, int]:
        """Count the entries granted in the last minute, by book."""
        del after
        return self._entries


@lru_cache(maxsize=64)
def moment(at: int) -> datetime:
    """Turn UTC milliseconds into a moment, exactly."""
    return _EPOCH + timedelta(milliseconds=at)


def milliseconds(at: datetime) -> int:
    """Count the milliseconds of UTC up to a moment, exactly."""
    return (at - _EPOCH) // timedelta(milliseconds=1)


_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MINUTE_MS: Final = MINUTE // timedelta(milliseconds=1)


def _likeness(at: int, stance: Stance) -> Hashable:
    now = moment(at)
    sides = (None if then is None else (now > then) - (now < then) for then in (stance.since, stance.until))
    return stance.mode, stance.phase, stance.active, *sides


def _all_markets(members: Sequence[Member]) -> Iterator[tuple[Member, int, KnownInstrument]]:
    for member in members:
        for market, instrument in enumerate(member.instruments):
            yield member, market, instrument


def _markets(members: Sequence[Member]) -> dict[str, KnownInstrument]:
    return {instrument.symbol: instrument for _, _, instrument in _all_markets(members)}


def _instrument_row(pk: int, known: KnownInstrument) -> Instrument:
    return Instrument(
        pk=pk,
        symbol=known.symbol,
        venue_symbol=known.symbol.replace("/", ""),
        base=known.base,
        quote=known.quote,
        tick_size=known.tick_size,
        lot_size=known.lot_size,
        quantity_min=known.min_quantity,
        quantity_max=known.max_quantity,
        notional_min=known.min_notional,
    )


def _book_row(member: Member) -> Book:
    return Book(
        pk=member.number,
        number=member.number,
        name=member.bot.key,
        base_equity=member.allocation,
        pending=member.pending,
        position_cap_percent=member.bot.position_cap_percent,
    )


def _balances(member: Member) -> Iterator[tuple[str, Decimal, Decimal]]:
    yield member.quote, member.cash, member.cash_reserved
    for market, instrument in enumerate(member.instruments):
        reserved = member.quantity_reserved(market)
        yield instrument.base, member.quantity(market) - reserved, reserved


def _order_row(member: Member, market: int, row: Instrument, order: Record, market_at: datetime) -> Order:
    is_stop = int(order["kind"]) == OrderKind.STOP
    side = "buy" if int(order["side"]) == BUY else "sell"
    lots, price = int(order["lots"]), member.instruments[market].price(int(order["ticks"]))
    number = member.number * _NUMBERS + int(order["id"])
    intent = Intent(
        book_id=member.number,
        kind=STOP if is_stop else PLACE,
        instrument=row,
        side=side,
        lots=lots,
        slot=int(order["slot"]),
        limit_price=None if is_stop else price,
        stop_price=price if is_stop else None,
        expected_price=None if is_stop else price,
        reason=Reason(int(order["reason"])).name,
        market_at=market_at,
        seq=number,
    )
    return Order(
        pk=number,
        book_id=member.number,
        intent=intent,
        instrument=row,
        reservation=Reservation(asset=row.quote if side == "buy" else row.base, initial=ZERO, remaining=ZERO),
        client_order_id=f"{_DEPLOY}-{number}",
        side=side,
        type=STOP_LOSS if is_stop else LIMIT_MAKER,
        quantity=member.instruments[market].quantity(lots),
        price=None if is_stop else price,
        stop_price=price if is_stop else None,
        status=OPEN,
        slot=int(order["slot"]),
        market_at=market_at,
        created_at=market_at,
        filters_version=row.filters_version,
    )


def _buys(orders: Record) -> Record:
    """Leave out sales: one that takes what is there meets no rule."""
    buys: Record = orders[orders["side"] == BUY]
    return buys


def _sold(member: Member, at: int) -> set[int]:
    journal = member.simulation.tape.journal[: member.fill_count]
    found = set()
    for entry in journal[::-1]:
        if int(entry["time"]) <= at - _MINUTE_MS:
            break
        if int(entry["side"]) == SELL:
            found.add(int(entry["symbol"]))
    return found
