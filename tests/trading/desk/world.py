"""An account in memory whose books have money, with the exchange of the money tests on the other side of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from tests.portfolio.exchange import Exchange
from trading.desk import claims, coordination, fills, reports
from trading.desk.desk import Desk
from trading.desk.memory import Memory, MemoryStore
from trading.desk.plain import Account, Book, Instrument, Order, Position
from trading.desk.prevention import EXPIRE_MAKER, EXPIRE_TAKER, SELF_TRADE_PREVENTION
from trading.ledger import ZERO, Leg, Pocket
from trading.orders import ExchangeStatus, OrderReport, TradeReport
from trading.proposals import Outcome, Proposal, ProposalKind

D = Decimal
NOW = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
MARKET_AT = datetime(2024, 3, 1, 0, 0, tzinfo=UTC)
BAR = timedelta(minutes=5)
MARKS = {1: D(50000), 2: D(2500), 3: D(400)}


@dataclass(slots=True)
class World:
    """What a test speaks to."""

    memory: Memory
    exchange: Exchange
    market_at: datetime = MARKET_AT
    legs: int = 0

    def desk(self, store: MemoryStore) -> Desk:
        """Open a desk."""
        return Desk(store, store.account, market_at=self.market_at, now=NOW)

    @contextmanager
    def at_desk(self, *, epoch: int | None = None) -> Iterator[Desk]:
        """Open a desk for one transaction and write what was done there."""
        with self.memory.transaction(epoch=epoch) as store:
            desk = self.desk(store)
            yield desk
            desk.write()

    def propose(self, kind: str, book: int = 1, instrument: int = 1, **values: Any) -> Proposal:
        """Make a proposal of a book."""
        self.legs += 1
        values.setdefault("side", {"enter": "buy", "exit": "sell"}.get(kind, ""))
        values.setdefault("reason", f"TEST_{kind.upper()}")
        return Proposal(book_id=book, rank=book, leg=self.legs, instrument_id=instrument, kind=ProposalKind(kind), **values)

    def decide(self, *proposals: Proposal) -> list[Outcome]:
        """Run the coordinator on the next candle."""
        self.market_at += BAR
        self.exchange.clock = max(self.exchange.clock, self.market_at)
        with self.memory.transaction() as store:
            desk = self.desk(store)
            outcomes = coordination.coordinate(desk, proposals)
            desk.write()
        return outcomes

    def order(self, kind: str, *, book: int = 1) -> Order:
        """Return the newest order of a kind of intent."""
        rows = [row for row in self.memory.tables.orders.values() if (row.intent.kind, row.book_id) == (kind, book)]
        return rows[-1]

    def now(self, order: Order) -> Order:
        """Return the order as it is now."""
        return self.memory.tables.orders[order.pk]

    def claim(self, order: Order, claim: claims.Claim) -> bool:
        """Claim an order."""
        with self.memory.transaction() as store:
            return store.claim_row(order.pk, claim)

    def send(self, order: Order) -> Order:
        """Send a READY order and record the exchange's answer."""
        assert self.claim(order, claims.sending(epoch=1, now=NOW))
        return self.report(order, self.exchange.accept(order))

    def report(self, order: Order, report: OrderReport) -> Order:
        """Record what the exchange says."""
        with self.memory.transaction(epoch=1) as store:
            desk = self.desk(store)
            reports.apply_report(desk, order.pk, report)
            desk.write()
        return self.now(order)

    def end(self, order: Order, status: ExchangeStatus = ExchangeStatus.CANCELED) -> Order:
        """Have the exchange end the order and report it."""
        return self.report(order, self.exchange.end(order.client_order_id, status))

    def lose(self, order: Order) -> Order:
        """Send an order into the dark and have the resolver call it absent."""
        assert self.claim(order, claims.sending(epoch=1, now=NOW))
        assert self.claim(order, claims.unknown("TIMEOUT", "no answer"))
        with self.memory.transaction(epoch=1) as store:
            desk = self.desk(store)
            reports.mark_absent(desk, order.pk)
            desk.write()
        return self.now(order)

    def fill(self, order: Order, quantity: str, price: str, *, fee: str = "0", fee_asset: str = "USDT") -> bool:
        """Have the exchange trade and post it."""
        trade = self.exchange.fill(order.client_order_id, quantity=D(quantity), price=D(price), fee=D(fee), fee_asset=fee_asset)
        return self.post(trade)

    def fill_after_end(self, order: Order, quantity: str = "0.0001", price: str = "50000") -> bool:
        """Post a trade that happened before the end of its order and is told after it."""
        row = self.exchange.orders[order.client_order_id]
        row.status = ExchangeStatus.NEW
        _, amount = self.exchange._worst(row)
        self.exchange.free["USDT"] -= amount
        self.exchange.locked["USDT"] += amount
        trade = self.exchange.fill(order.client_order_id, quantity=D(quantity), price=D(price), fee=D(0), fee_asset="USDT")
        self.exchange.end(order.client_order_id)
        return self.post(trade)

    def post(self, trade: TradeReport) -> bool:
        """Post a trade; say whether that was news."""
        with self.memory.transaction(epoch=1) as store:
            desk = self.desk(store)
            fill = fills.post_fill(desk, trade)
            desk.write()
        return fill is not None

    def post_page(self, trades: list[TradeReport]) -> int:
        """Post trades together; answer how many were news."""
        with self.memory.transaction(epoch=1) as store:
            desk = self.desk(store)
            posted = fills.post_fills(desk, trades)
            desk.write()
        return len(posted.fills)

    def pocket(self, kind: str, asset: str, *, book: int | None = 1) -> Decimal:
        """Return a balance."""
        return self.memory.tables.pockets.get(Pocket(kind, book, asset), ZERO)

    def position(self, book: int = 1, instrument: int = 1) -> Position:
        """Return a position."""
        return self.memory.tables.positions[book, instrument]

    def totals(self) -> dict[str, Decimal]:
        """Add up what the ledger says the exchange holds (I-02)."""
        sums: dict[str, Decimal] = {}
        for pocket, balance in self.memory.tables.pockets.items():
            if not pocket.kind.startswith("external"):
                sums[pocket.asset] = sums.get(pocket.asset, ZERO) + balance
        return {asset: total for asset, total in sums.items() if total}

    def agrees(self) -> bool:
        """Say whether ledger and exchange agree to the last unit."""
        return self.totals() == {asset: total for asset, total in self.exchange.totals().items() if total}


def build(*, books: int = 3, quote: str = "2000", pool: str = "3") -> World:
    """Fund an account's books."""
    account = Account(pk=1, deploy="t1")
    rows = [
        Book(pk=n, number=n, name=f"Book {n}", base_equity=D(quote), position_cap_percent=D(100)) for n in range(1, books + 1)
    ]
    pairs = (("BTC/USDT", "0.01", "0.00001"), ("ETH/USDT", "0.01", "0.0001"), ("BNB/USDT", "0.1", "0.001"))
    memory = Memory(account, books=rows, instruments=[_instrument(n, *pair) for n, pair in enumerate(pairs, 1)])
    memory.marks = dict(MARKS)
    balances = {"USDT": D(quote) * books, "BNB": D(pool)}
    with memory.transaction() as store:
        desk = Desk(store, store.account, market_at=MARKET_AT, now=NOW)
        legs = [Leg(Pocket("external_flow", None, asset), -amount) for asset, amount in balances.items()]
        legs += [Leg(Pocket("available", row.pk, "USDT"), D(quote)) for row in rows]
        legs.append(Leg(Pocket("fee_pool", None, "BNB"), D(pool)))
        desk.journal.post(kind="deposit", reference="opening", legs=legs, market_at=MARKET_AT)
        desk.write()
    return World(memory, Exchange(balances, clock=MARKET_AT))


def _instrument(pk: int, symbol: str, tick: str, lot: str) -> Instrument:
    base, quote = symbol.split("/")
    return Instrument(
        pk=pk,
        symbol=symbol,
        venue_symbol=base + quote,
        base=base,
        quote=quote,
        tick_size=D(tick),
        lot_size=D(lot),
        quantity_min=D(lot),
        quantity_max=D(9000),
        notional_min=D(5),
        filters={SELF_TRADE_PREVENTION: {"modes": [EXPIRE_TAKER, EXPIRE_MAKER]}},
    )
