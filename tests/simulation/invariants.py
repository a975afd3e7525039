"""What must hold after every step, and what must hold when nothing is under way; equalities wherever there is one."""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from datetime import UTC
from decimal import ROUND_CEILING, Decimal
from itertools import islice
from typing import TYPE_CHECKING, Final

from tests.simulation.faults import TAKERS_GIVE_WAY
from tests.simulation.oracle import Holder, Oracle, average_cost, whole
from tests.simulation.shells import BNB_MARK
from trading.desk.memory import Tables
from trading.desk.plain import Fill, Order
from trading.ledger import Pocket

if TYPE_CHECKING:
    from tests.simulation.world import World

D = Decimal
ZERO: Final = D(0)
OUTSIDE: Final = ("external_flow", "external_trade", "external_fee")
MAY_BE_NEGATIVE: Final = (*OUTSIDE, "suspense", "deficit")
LIVE: Final = ("ready", "sending", "unknown", "open", "partial", "cancelling")
ENDS: Final = ("filled", "canceled", "expired", "rejected")
# Written down a second time, on purpose: from each status, every status that any number of moves may lead to.
_ONWARD: Final = {
    "ready": {*LIVE, *ENDS, "absent", "withdrawn"},
    "sending": {*LIVE, *ENDS, "absent"} - {"ready"},
    "unknown": {*LIVE, *ENDS, "absent"} - {"ready", "sending"},
    "open": {"open", "partial", "cancelling", *ENDS},
    "partial": {"partial", "cancelling", *ENDS},
    "cancelling": {"cancelling", *ENDS},
}
_ADOPTED: Final = {"open", "partial", "cancelling", "filled", "canceled", "expired"}


class Violation(AssertionError):
    """Raised when an invariant is broken; begins with its number."""


def require(invariant: str, holds: object, message: object) -> None:
    """Raise unless it holds."""
    if not holds:
        raise Violation(f"{invariant} {message}")


class Checker:
    """Remembers what it has seen, so that each step is checked for what it changed."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._folded: defaultdict[Pocket, Decimal] = defaultdict(lambda: ZERO)
        self._movements = 0
        self._chain = ""
        self._orders: dict[int, Order] = {}
        self._fills = 0
        self._tables: Tables | None = None
        self._balances: dict[Pocket, Decimal] = {}
        self._touched: set[Pocket] = set()
        self.shortfalls = 0
        tables = world.shell.tables()
        self._opened_through = tables.account.ledger_seq
        opening = {_holder(pocket): balance for pocket, balance in tables.pockets.items() if pocket.kind not in OUTSIDE}
        self.oracle = Oracle(opening, bnb_mark=BNB_MARK)

    def check_now(self) -> None:
        """Check what must hold between any two transactions."""
        tables = self._world.shell.tables()
        self._check_exchange()
        if tables is self._tables:
            return
        self._tables = tables
        self._touched = set()
        self._check_movements(tables)
        self._check_pockets(tables)
        self._check_orders(tables)
        self._check_fills(tables)
        self._check_oracle(tables, self._touched)

    def check_settled(self) -> None:
        """Check what must hold when nothing is under way: the exchange agrees with everything."""
        self.check_now()
        self._check_oracle(self._world.shell.tables(), None)
        tables, exchange = self._world.shell.tables(), self._world.exchange
        held: defaultdict[str, Decimal] = defaultdict(lambda: ZERO)
        for pocket, balance in tables.pockets.items():
            if pocket.kind not in OUTSIDE:
                held[pocket.asset] += balance
        ours = {asset: total for asset, total in held.items() if total}
        require("I-02", ours == exchange.totals(), f"the ledger holds {ours}, the exchange {exchange.totals()}")
        self._check_against_venue(tables)
        # No order cost more than was held for it and its fee, unless a person's hand or an exchange that hid one had a part.
        fired = self._world.faults.fired
        excuses = [name for name in ("hand_trade", "flows", "lag_long") if fired[name]]
        is_held = not self.shortfalls or excuses or not self._world.exchange.fees_in_quote
        require("I-08", is_held, f"{self.shortfalls} trades cost more than was held for them")
        # Reads hid an order for longer than an exchange may: nothing else makes us take a living order for dead.
        adopted = [row.client_order_id for row in tables.orders.values() if row.reason == "ORDER_ADOPTED"]
        require("I-13", not adopted or self._world.faults.fired["lag_long"], f"{adopted} were taken for dead")
        self._check_positions(tables)
        self._check_protection(tables)

    def check_chain(self) -> None:
        """Recompute every hash (I-05)."""
        tables = self._world.shell.tables()
        previous = ""
        for row in tables.movements:
            content = {
                "previous": previous, "account": self._world.shell.account_id, "seq": row.seq, "kind": row.kind,
                "reference": row.reference, "market_at": row.market_at.astimezone(UTC).isoformat(),
                "recorded_at": row.recorded_at.astimezone(UTC).isoformat(), "facts": row.facts,
                "legs": [[*leg.pocket, _plain(leg.amount)] for leg in row.legs],
            }  # fmt: skip
            text = json.dumps(content, sort_keys=True, separators=(",", ":"))
            require("I-05", row.hash == hashlib.sha256(text.encode()).hexdigest(), f"movement {row.seq} is not what was hashed")
            previous = row.hash
        require("I-05", previous == tables.account.ledger_hash, "the head is not the newest movement's")

    def _check_movements(self, tables: Tables) -> None:
        for row in islice(tables.movements, self._movements, None):
            require("I-05", (row.seq, row.hash_previous) == (self._movements + 1, self._chain), f"{row.seq} follows nothing")
            self._movements, self._chain = row.seq, row.hash
            sums: defaultdict[str, Decimal] = defaultdict(lambda: ZERO)
            for leg in row.legs:
                sums[leg.pocket.asset] += leg.amount
                self._folded[leg.pocket] += leg.amount
                self._touched.add(leg.pocket)
            require("I-01", not any(sums.values()), f"movement {row.seq} {row.kind} sums to {dict(sums)}")
            self._follow(row.kind, {leg.pocket: leg.amount for leg in row.legs})
        require("I-05", tables.account.ledger_seq == self._movements, "the head's number is not the newest movement's")

    def _follow(self, kind: str, legs: dict[Pocket, Decimal]) -> None:
        """Have the oracle follow what is no trade: allocations and flows, which belong to no bot (I-06)."""
        for pocket, amount in legs.items():
            if pocket.kind in OUTSIDE:
                continue
            owner = pocket.book_id if pocket.book_id is not None else pocket.kind
            if (
                kind in ("allocation", "deposit", "withdrawal", "suspense", "explained")
                and self._movements > self._opened_through
            ):
                require("I-06", kind == "allocation" or pocket.book_id is None, f"{kind} moves {pocket}")
                self.oracle.owned[Holder(owner, pocket.asset)] += whole(amount)
            if kind == "fill" and pocket.kind == "suspense":
                # A trade that nobody could pay for: the books' own figures are then the ledger's word alone.
                self.shortfalls += 1

    def _check_pockets(self, tables: Tables) -> None:
        for pocket, balance in tables.pockets.items():
            if balance is self._balances.get(pocket):
                continue
            require("I-04", balance == self._folded[pocket], f"{pocket} holds {balance}, its entries {self._folded[pocket]}")
            require("I-07", balance >= ZERO or pocket.kind in MAY_BE_NEGATIVE, f"{pocket} holds {balance}")
            self._balances[pocket] = balance
        for pocket in self._touched:
            require("I-04", tables.pockets.get(pocket, ZERO) == self._folded[pocket], f"{pocket} is not its entries")

    def _check_orders(self, tables: Tables) -> None:
        reserved: defaultdict[tuple[int, str], Decimal] = defaultdict(lambda: ZERO)
        intents: Counter[int] = Counter()
        for pk, row in tables.orders.items():
            intents[row.intent.seq] += 1
            reserved[row.book_id, row.reservation.asset] += row.reservation.remaining
            before = self._orders.get(pk)
            if before is not row:
                self._check_order(before, row)
                self._orders[pk] = row
        require("I-12", all(count == 1 for count in intents.values()), "an intent has two orders")
        for pocket, balance in tables.pockets.items():
            if pocket.kind == "reserved" and pocket.book_id is not None:
                wanted = reserved[pocket.book_id, pocket.asset]
                require("I-08", balance == wanted, f"{pocket} holds {balance}, the reservations {wanted}")

    def _fee_held(self, row: Order) -> Decimal:
        """Answer what a buy may still pay in fees, from its posted trades: 1.2 percent of all it may cost, less what is paid."""
        if not self._world.exchange.fees_in_quote or row.filled_quantity == row.quantity:
            return ZERO
        fills = [fill for fill in self._world.shell.tables().fills.values() if fill.order and fill.order.pk == row.pk]
        cost = sum((fill.quote_quantity for fill in fills), (row.quantity - row.filled_quantity) * (row.price or ZERO))
        smallest = D("0.00000001")
        most = (cost * D("0.012")).quantize(smallest, ROUND_CEILING) + 100 * smallest
        return max(most - sum((fill.fee for fill in fills), ZERO), ZERO)

    def _check_order(self, before: Order | None, row: Order) -> None:
        held, name = row.reservation, row.client_order_id
        left = row.quantity - row.filled_quantity
        owed = ZERO
        if row.status in LIVE:
            owed = left if row.side == "sell" else left * (row.price or ZERO) + self._fee_held(row)
        require("I-08", held.remaining == owed, f"{name} {row.status} reserves {held.remaining}, its worst case is {owed}")
        require("I-11", held.initial == held.remaining + held.posted + held.voided, f"the reservation of {name} does not add up")
        require("I-11", min(held.remaining, held.posted, held.voided) >= ZERO, f"the reservation of {name} is overused")
        require("I-15", ZERO <= row.filled_quantity <= row.quantity, f"{name} is filled beyond its quantity")
        require("I-15", row.status != "filled" or left == ZERO, f"{name} is filled and lacks {left}")
        require("I-18", row.attempt <= 1, f"{name} was attempted {row.attempt} times")
        require("I-19", row.quantity == row.intent.lots * row.instrument.lot_size, f"{name} is not its intent's size")
        needs_none = row.intent.kind in ("stop", "flatten")
        require("I-17", needs_none or row.intent.decision is not None, f"{name} has no decision")
        if before is not None and row.status not in _ONWARD.get(before.status, {before.status}):
            is_adopted = row.reason == "ORDER_ADOPTED" and row.status in _ADOPTED
            require("I-14", is_adopted, f"{name} went from {before.status} to {row.status}")

    def _check_fills(self, tables: Tables) -> None:
        count = len(tables.fills)
        require("I-20", count == tables.account.trades_posted, "the account counts other trades than there are")
        for fill in islice(tables.fills.values(), self._fills, None):
            self._check_fill(fill)
        self._fills = count

    def _check_fill(self, fill: Fill) -> None:
        trades = self._world.exchange.pairs[fill.instrument.venue_symbol].trades
        require("I-22", 0 < fill.trade_id <= len(trades), f"the exchange has no trade {fill.trade_id}")
        trade = trades[fill.trade_id - 1]
        ours = (fill.side, fill.price, fill.quantity, fill.quote_quantity, fill.fee, fill.fee_asset)
        told = (trade.order.side, trade.price, trade.quantity, trade.price * trade.quantity, trade.fee, trade.fee_asset)
        require("I-22", ours == told, f"trade {fill.trade_id} is {ours}, at the exchange {told}")
        name = fill.order.client_order_id if fill.order is not None else None
        is_ours = trade.order.name.startswith("s1-")
        require("I-22", name == (trade.order.name if is_ours else None), f"trade {fill.trade_id} belongs to {name}")
        require("I-22", fill.book_id == (int(trade.order.name.split("-")[1]) if is_ours else None), "another book's trade")
        charged = ZERO
        if fill.fee_asset == "BNB" and fill.book_id is not None:
            charged = fill.fee_quote
            owed = self.oracle.charge_of(trade)
            book = self._world.shell.tables().books[fill.book_id]
            require("I-24", whole(charged) == owed or (whole(charged) < owed and book.is_halted), f"charged {charged} for {owed}")
        self.oracle.trade(trade, fill.book_id if fill.book_id is not None else "unallocated", charged)

    def _check_oracle(self, tables: Tables, touched: set[Pocket] | None) -> None:
        """Compare with the second ledger: holders of these pockets, or all of them."""
        owned: defaultdict[Holder, int] = defaultdict(int)
        wanted = None if touched is None else {_holder(pocket) for pocket in touched if pocket.kind not in OUTSIDE}
        for pocket, balance in tables.pockets.items():
            if pocket.kind not in OUTSIDE and (wanted is None or _holder(pocket) in wanted):
                owned[_holder(pocket)] += whole(balance)
        if not self.shortfalls:
            for holder in owned.keys() | (self.oracle.owned.keys() if wanted is None else wanted):
                require("I-26", owned[holder] == self.oracle.owned[holder],
                        f"{holder} owns {owned[holder]}, by the exchange's trades {self.oracle.owned[holder]}")  # fmt: skip
            return
        if wanted is not None:
            return
        # What nobody could pay for stands in suspense; the sum of each asset is exact all the same.
        sums: defaultdict[str, int] = defaultdict(int)
        for holder, amount in owned.items():
            sums[holder.asset] += amount
        for asset, total in self.oracle.totals().items():
            require("I-02", sums[asset] == total, f"{asset}: {sums[asset]} in all, by the exchange's trades {total}")

    def _check_exchange(self) -> None:
        for taker, rival in self._world.exchange.self_trades:
            books = {order.name.split("-")[1] for order in (taker, rival) if order.name.startswith("s1-")}
            # A stop asks nobody when it triggers; where the exchange knows no better, it gives way and its position says so.
            is_stop = taker.type == "STOP_LOSS_TRIGGERED" and TAKERS_GIVE_WAY in self._world.faults.known
            require("I-39", len(books) < 2 or is_stop, f"{taker.name} met {rival.name}")

    def _check_against_venue(self, tables: Tables) -> None:
        by_name = {row.client_order_id: row for row in tables.orders.values()}
        locked: defaultdict[str, Decimal] = defaultdict(lambda: ZERO)
        count = 0
        seen: Counter[str] = Counter()
        for pair in self._world.exchange.pairs.values():
            count += len(pair.trades)
            for order in pair.orders.values():
                if not order.name.startswith("s1-"):
                    continue
                seen[order.name] += 1
                row = by_name.get(order.name)
                assert row is not None, f"I-13 the exchange has {order.name}, which nobody knows"
                same = row.filled_quantity == order.executed and (row.status in LIVE) == (not order.is_final)
                require(
                    "I-13",
                    same,
                    f"{order.name} is {row.status} {row.filled_quantity}, at the exchange {order.status} {order.executed}",
                )
        require("I-12", all(times == 1 for times in seen.values()), f"the exchange has an order twice: {seen}")
        require("I-23", count == len(tables.fills), f"{len(tables.fills)} of {count} trades are posted")
        for row in tables.orders.values():
            if row.status == "unknown" and row.client_order_id not in seen:
                # Only a difference that no person could explain keeps it so.
                require(
                    "I-43", any(b for p, b in tables.pockets.items() if p.kind == "suspense"), f"{row.client_order_id} is unknown"
                )
            elif row.status in LIVE:
                require("I-43", row.client_order_id in seen, f"{row.client_order_id} is {row.status} and not at the exchange")
                # What is held for a fee is each side's own guess.
                locked[row.reservation.asset] += row.reservation.remaining - (ZERO if row.side == "sell" else self._fee_held(row))
        theirs = {asset: left for asset, left in self._world.exchange.locked_without_fees().items() if left}
        require("I-09", {a: n for a, n in locked.items() if n} == theirs, f"reserved {dict(locked)}, locked {theirs}")

    def _check_positions(self, tables: Tables) -> None:
        for (book, instrument), row in tables.positions.items():
            symbol = tables.instruments[instrument].venue_symbol
            quantity, gained = self.oracle.position(book, symbol)
            require(
                "I-21", whole(row.quantity) == quantity, f"book {book} holds {row.quantity} {symbol}, its trades say {quantity}"
            )
            require("I-26", whole(row.realised) - whole(row.cost) == gained, f"book {book} {symbol}: {row.realised} - {row.cost}")
            require("I-28", row.quantity != ZERO or row.cost == ZERO, f"book {book} {symbol} is closed and costs {row.cost}")
            rows, running = sorted(self.oracle.folds[book, symbol]), 0
            is_short = any((running := running + each[2]) < 0 for each in rows)
            if not is_short:
                require("I-29", average_cost(rows) == (quantity, whole(row.cost)), f"book {book} {symbol} costs {row.cost}")

    def _check_protection(self, tables: Tables) -> None:
        asked = {row.parent.seq for row in tables.intents.values() if row.kind == "stop" and row.parent is not None}
        for order in tables.orders.values():
            wants = order.intent.kind == "enter" and order.intent.stop_price is not None and order.filled_quantity > ZERO
            # What comes after a flatten is sold.
            is_sold = order.intent.seq <= tables.books[order.book_id].flattened_seq
            if wants and not is_sold and order.status not in LIVE:
                require("I-47", order.intent.seq in asked, f"nobody asked for the stop of {order.client_order_id}")
        self._check_failed_stops(tables)
        for (book, instrument), row in tables.positions.items():
            if row.stop_price is None or row.is_unprotected:
                continue
            lot = tables.instruments[instrument].lot_size
            sells = [order for order in tables.orders.values() if order.status in LIVE and order.side == "sell"]
            sells = [order for order in sells if (order.book_id, order.instrument_id) == (book, instrument)]
            require("I-47", sells or row.quantity < lot, f"book {book} holds {row.quantity} without its stop")

    def _check_failed_stops(self, tables: Tables) -> None:
        """Check that something followed each stop, or sale in its place, that never arrived, and each that was passed.

        Unless somebody wanted it gone, or nothing is held, or another sale is on its way: its end is followed instead.
        """
        for order in tables.orders.values():
            is_passed = (order.type, order.reason) == ("STOP_LOSS", "STOP_WOULD_TRIGGER")
            has_failed = order.intent.kind == "stop" and (order.status == "absent" or is_passed)
            if not has_failed or order.cancel_requested_at is not None:
                continue
            place = (order.book_id, order.instrument_id)
            since = [row for row in tables.intents.values() if (row.book_id, row.instrument_id) == place]
            is_asked = any(row.side == "sell" and row.seq > order.intent.seq for row in since)
            is_held = tables.positions[place].quantity >= order.instrument.lot_size
            kinds = {
                row.intent.kind
                for row in tables.orders.values()
                if row.status in LIVE and (row.book_id, row.instrument_id) == place
            }
            is_asked = is_asked or bool(kinds & {"exit", "flatten", "stop"})
            require("I-47", is_asked or not is_held, f"nothing followed {order.client_order_id}, which never came to stand")


def _holder(pocket: Pocket) -> Holder:
    return Holder(pocket.book_id if pocket.book_id is not None else pocket.kind, pocket.asset)


def _plain(amount: Decimal) -> str:
    text = format(amount.normalize(), "f")
    return "0" if text in ("-0", "0") else text
