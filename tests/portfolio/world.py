"""An account with five funded books and an exchange on the other side of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import transaction

from marketdata.models import Candle, Instrument, Mark, Market, Subscription
from portfolio import services
from portfolio.jobs import coordinate as coordinator
from portfolio.jobs import reconcile, verify
from portfolio.models import Account, Book, Fill, Lease, Order, Position, Reconciliation
from portfolio.writers import accounts, fills, orders
from tests.portfolio.exchange import Exchange
from trading.bars import interval_milliseconds
from trading.orders import ExchangeStatus, TradeReport
from trading.proposals import Outcome, Proposal, ProposalKind

D = Decimal
NOW = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
MARKET_AT = datetime(2024, 3, 1, 0, 0, tzinfo=UTC)
BAR = timedelta(minutes=5)
BALANCES = {"USDT": D("9882.31")}


@dataclass(slots=True)
class World:
    """What a test speaks to."""

    account_id: int
    exchange: Exchange
    books: list[Book]
    instruments: dict[str, Instrument]
    market_at: datetime = MARKET_AT
    legs: int = 0

    def account(self) -> Account:
        """Return the account, locked."""
        return accounts.lock(self.account_id)

    def decide(self, *proposals: Proposal) -> list[Outcome]:
        """Run the coordinator on the next candle."""
        self.market_at += BAR
        self.exchange.clock = max(self.exchange.clock, self.market_at)
        with transaction.atomic():
            return coordinator.coordinate(self.account(), proposals, market_at=self.market_at, now=NOW)

    def propose(self, kind: str, book: int = 0, symbol: str = "BTC/USDT", **fields: Any) -> Proposal:
        """Make a proposal of a book."""
        self.legs += 1
        sides = {"enter": "buy", "exit": "sell"}
        fields.setdefault("side", sides.get(kind, ""))
        fields.setdefault("reason", f"TEST_{kind.upper()}")
        return Proposal(
            book_id=self.books[book].pk,
            rank=book,
            leg=self.legs % 30_000,
            instrument_id=self.instruments[symbol].pk,
            kind=ProposalKind(kind),
            **fields,
        )

    def order(self, *, kind: str, book: int = 0) -> Order:
        """Return the newest order of a kind of intent."""
        return Order.objects.filter(intent__kind=kind, book=self.books[book]).order_by("-id")[0]

    def send(self, order: Order) -> Order:
        """Send a READY order and record the exchange's answer."""
        assert orders.mark_sending(order.pk, epoch=1, now=NOW)
        report = self.exchange.accept(order)
        with transaction.atomic():
            return orders.mark_open(self.account(), order.pk, report, now=NOW)

    def fill(self, order: Order, quantity: str, price: str, *, fee: str = "0", fee_asset: str = "USDT") -> Fill | None:
        """Have the exchange trade and post it."""
        trade = self.exchange.fill(order.client_order_id, quantity=D(quantity), price=D(price), fee=D(fee), fee_asset=fee_asset)
        return self.post(trade)

    def post(self, trade: TradeReport) -> Fill | None:
        """Post a trade."""
        with transaction.atomic():
            return fills.post_fill(self.account(), trade, now=NOW)

    def end(self, order: Order, status: ExchangeStatus = ExchangeStatus.CANCELED) -> Order:
        """Have the exchange end the order and report it."""
        report = self.exchange.end(order.client_order_id, status)
        with transaction.atomic():
            return orders.apply_report(self.account(), order.pk, report, now=NOW)

    def compare(self, cause: str = "test") -> Reconciliation:
        """Compare ledger and exchange."""
        return reconcile.compare(
            account_id=self.account_id,
            totals=self.exchange.totals(),
            cause=cause,
            market_at=self.market_at,
            duration_ms=1,
            now=NOW,
        )

    def position(self, book: int = 0, symbol: str = "BTC/USDT") -> Position:
        """Return a position."""
        return Position.objects.get(book=self.books[book], instrument=self.instruments[symbol])

    def verify(self) -> list[str]:
        """Return what the audit of the books finds."""
        return [f"{finding.invariant}: {finding.message}" for finding in verify.verify(self.account_id)]


def build(*, balances: dict[str, Decimal] | None = None, books: int = 5, percent: str = "20") -> World:
    """Open an account whose books have their shares."""
    balances = balances or BALANCES
    market = Market.objects.create(exchange="binance", epoch="test", label="Test market", created_at=NOW)
    instruments = {
        symbol: _instrument(market, symbol, tick, lot)
        for symbol, tick, lot in (("BTC/USDT", "0.01", "0.00001"), ("ETH/USDT", "0.01", "0.0001"), ("BNB/USDT", "0.1", "0.001"))
    }
    for symbol, price in (("BTC/USDT", "50000"), ("ETH/USDT", "2500"), ("BNB/USDT", "400")):
        Mark.objects.create(instrument=instruments[symbol], price=D(price), market_at=MARKET_AT, received_at=NOW)
    account = services.open_account(
        name="demo",
        market=market,
        mode="paper",
        deploy="t1",
        quote_asset="USDT",
        balances=balances,
        books=[(number, f"Book {number}") for number in range(1, books + 1)],
        now=NOW,
        market_at=MARKET_AT,
    )
    Account.objects.filter(id=account.pk).update(state=Account.State.ACTIVE)
    Lease.objects.create(name=f"trader:{account.pk}", epoch=1, expires_at=NOW)
    rows = list(Book.objects.filter(account=account).order_by("number"))
    services.set_allocations(
        account_id=account.pk, percents={book.pk: D(percent) for book in rows}, by=None, now=NOW, market_at=MARKET_AT
    )
    rows = list(Book.objects.filter(account=account).order_by("number"))
    return World(account.pk, Exchange(balances, clock=MARKET_AT), rows, instruments)


def _instrument(market: Market, symbol: str, tick: str, lot: str) -> Instrument:
    base, quote = symbol.split("/")
    return Instrument.objects.create(
        market=market,
        symbol=symbol,
        venue_symbol=base + quote,
        base=base,
        quote=quote,
        tick_size=D(tick),
        lot_size=D(lot),
        quantity_min=D(lot),
        quantity_max=D("9000"),
        notional_min=D("5"),
        filters_read_at=NOW,
    )


def close_candle(instrument: Instrument, interval: str, *, ends_at: datetime, close: float) -> None:
    """Have the feed keep an instrument's candles of this length, and one that ends then."""
    Subscription.objects.get_or_create(instrument=instrument, interval=interval, defaults={"history_bars": 1})
    open_at = ends_at - timedelta(milliseconds=interval_milliseconds(interval))
    prices = dict.fromkeys(("open", "high", "low", "close"), close)
    Candle.objects.create(instrument=instrument, interval=interval, open_at=open_at, volume=1, **prices)
