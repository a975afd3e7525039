"""A real trader over real ccxt on the real venue, with a person at the coordinator instead of bots."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import ROUND_FLOOR, Decimal
from pathlib import Path
from typing import Any, Self

from django.db import transaction
from django.utils import timezone

from bots import venue_control
from bots.services import demo
from marketdata.models import Instrument, Mark, Market
from portfolio import services
from portfolio.jobs import coordinate as coordinator
from portfolio.jobs import verify
from portfolio.models import Account, Book, Intent, Order, Reconciliation
from portfolio.services.credentials import store_credential
from portfolio.trader import records
from portfolio.writers import accounts
from tests.journeys.stack import PROJECT, Stack
from trading import order_status
from trading.proposals import Outcome, Proposal, ProposalKind

D = Decimal
KILLED = 137
BALANCE = {"USDT": D("9882.31")}
MANAGE = [sys.executable, str(PROJECT / "manage.py")]


@dataclass
class Desk:
    """What a test speaks to."""

    stack: Stack
    uid: str = ""
    account_id: int = 0
    rest_port: int = 0
    # Whether the market waits for the trader, as only the local venue's does.
    is_paced: bool = True
    books: list[Book] = field(default_factory=list)
    legs: int = 0
    # Where the coming traders die, one after the other, and where they have died.
    crash_points: list[str] = field(default_factory=list)
    crash_point: str = ""
    deaths: list[str] = field(default_factory=list)
    seen_at: datetime = datetime(2024, 1, 1, tzinfo=UTC)

    def __enter__(self) -> Self:
        self.stack.__enter__()
        self.stack.start_venue()
        self.stack.control("/control/pause", {})
        self._open()
        return self

    def __exit__(self, *error: object) -> None:
        self.stack.stop()

    @property
    def trader(self) -> str:
        return f"trader {self.account_id}"

    def start_trader(self, *, crash_point: str = "", wait: bool = True) -> None:
        """Start the trader, perhaps one that will die at a point."""
        self.crash_point = crash_point
        os.environ.pop("CRASH_POINT", None)
        if crash_point:
            os.environ["CRASH_POINT"] = crash_point
        self.stack.start(self.trader, [*MANAGE, "run_trader", "--account", str(self.account_id)])
        os.environ.pop("CRASH_POINT", None)
        if wait:
            self.wait(lambda: self.account().state == Account.State.ACTIVE and not self.is_starting(), "the trader has recovered")

    def is_starting(self) -> bool:
        """Say whether the newest log does not yet tell of a recovery."""
        return self.stack.log(self.trader).read_text().count("trader.recovered") < 1

    def wait(self, done: Callable[[], bool], what: str, seconds: float = 60) -> None:
        """Wait for something; a trader that dies at its crash point is followed by the next one."""
        deadline = time.monotonic() + seconds
        while not done():
            process = self.stack.processes.get(self.trader)
            if process is not None and process.poll() == KILLED:
                self.deaths.append(self.crash_point)
                self.start_trader(crash_point=self.crash_points.pop(0) if self.crash_points else "", wait=False)
                # Starting takes many seconds on a busy machine: each trader has its own time to get there.
                deadline = time.monotonic() + seconds
            elif process is not None and process.poll() is not None:
                raise AssertionError(f"The trader ended while waiting for: {what}.\n{self.stack.tails()}")
            if time.monotonic() > deadline:
                raise AssertionError(f"Waited in vain for: {what}.\n{self.stack.tails(40)}")
            time.sleep(0.02)

    def forget_pacing(self) -> None:
        """Have the market wait for nobody."""
        for client in self.stack.clock()["clients"]:
            request = urllib.request.Request(f"{self.stack.control_url}/control/clients/{client}", method="DELETE")
            with urllib.request.urlopen(request, timeout=60):
                pass

    def stop_trader(self, number: int = signal.SIGTERM) -> None:
        self.stack.kill(self.trader, number)
        del self.stack.processes[self.trader]

    def account(self) -> Account:
        return Account.objects.get(id=self.account_id)

    def step(self, bars: int = 1) -> datetime:
        """Let the market go on and answer its time."""
        before = self.stack.clock()["market_time"]
        self.stack.control("/control/step", {"bars": bars})
        until = before - before % 60_000 + 60_000 * bars
        self.wait(lambda: self.stack.clock()["market_time"] >= until, f"{bars} bars have passed")
        return self.market_at()

    def market_at(self) -> datetime:
        if self.stack.processes["venue"].poll() is None:
            self.seen_at = datetime.fromtimestamp(self.stack.clock()["market_time"] / 1000, UTC)
        return self.seen_at

    def price(self, symbol: str = "BTCUSDT") -> Decimal:
        """Read the last price and keep it as the mark, as the feed would; a venue that is away leaves the last one."""
        if self.stack.processes["venue"].poll() is not None:
            return Mark.objects.get(instrument__venue_symbol=symbol).price
        raw = venue_json(self.stack, f"/api/v3/ticker/price?symbol={symbol}")
        price = D(raw["price"])
        instrument = Instrument.objects.get(venue_symbol=symbol)
        now = timezone.now()
        Mark.objects.update_or_create(
            instrument=instrument, defaults={"price": price, "market_at": self.market_at(), "received_at": now}
        )
        return price

    def decide(self, kind: str, *, book: int = 0, symbol: str = "BTCUSDT", expect: bool = True, **fields: Any) -> Outcome:
        """Have the coordinator take one proposal at the market's present moment."""
        self.legs += 1
        instrument = Instrument.objects.get(venue_symbol=symbol)
        side = {"enter": "buy", "exit": "sell"}.get(kind, "")
        fields = {"side": side, "reason": f"TEST_{kind.upper()}"} | fields
        proposal = Proposal(
            book_id=self.books[book].pk, rank=book, leg=self.legs, instrument_id=instrument.pk, kind=ProposalKind(kind), **fields
        )
        with transaction.atomic():
            account = accounts.lock(self.account_id)
            (outcome,) = coordinator.coordinate(account, [proposal], market_at=self.market_at(), now=timezone.now())
        assert outcome.is_accepted == expect, outcome
        return outcome

    def enter(self, *, book: int = 0, quote: str = "200", stop: str = "0.97") -> None:
        """Buy for some quote with a protective stop below."""
        price = self.price()
        tick = Instrument.objects.get(venue_symbol="BTCUSDT").tick_size
        lots = int(D(quote) / price / D("0.00001"))
        self.decide(
            "enter",
            book=book,
            lots=lots,
            limit_price=floor(price * D("1.01"), tick),
            stop_price=floor(price * D(stop), tick) if stop else None,
        )

    def exit(self, *, book: int = 0) -> None:
        """Sell everything the book holds."""
        self.price()
        self.decide("exit", book=book, lots=0)

    def place(self, *, book: int = 0, slot: int = 0, share: str = "0.98", quote: str = "100") -> None:
        """Rest a bid below the market."""
        tick = Instrument.objects.get(venue_symbol="BTCUSDT").tick_size
        price = floor(self.price() * D(share), tick)
        self.decide("place", book=book, side="buy", slot=slot, lots=int(D(quote) / price / D("0.00001")), limit_price=price)

    def wait_until_quiet(self, seconds: float = 20) -> None:
        """Wait until nothing is on its way."""
        self.wait(lambda: is_settled(self.account_id), "nothing is on its way", seconds)

    def venue_books(self) -> dict[str, Any]:
        return self.stack.control(f"/control/books/{self.uid}")

    def check_books_with_strangers(self) -> None:
        """Compare everything where a person has ordered by hand too."""
        self.check_books(deploy=self.account().deploy)

    def check_books(self, *, deploy: str = "") -> None:
        """Compare everything we have with everything the venue has, or what bears our name."""
        venue = self.venue_books()
        names = Counter(row["clientOrderId"] for row in venue["orders"] if row["clientOrderId"].startswith(deploy))
        assert all(count == 1 for count in names.values()), f"An order was sent twice: {names}"
        ours = Order.objects.filter(account=self.account_id)
        sent = {row.client_order_id for row in ours if row.status not in ("ready", "withdrawn", "rejected", "absent")}
        assert sent == set(names)
        account = self.account()
        assert account.trades_posted == len(venue["trades"])
        held = {asset: D(row["free"]) + D(row["locked"]) for asset, row in venue["balances"].items()}
        assert records.ledger_totals(self.account_id) == {asset: total for asset, total in held.items() if total}
        assert verify.verify(self.account_id) == []

    def reconcile(self) -> subprocess.CompletedProcess[str]:
        """Run the command."""
        return self.run("reconcile", "--account", str(self.account_id))

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a management command as a person would."""
        environment = self.stack.environment("command")
        return subprocess.run([*MANAGE, *words], env=environment, capture_output=True, text=True, timeout=60, check=False)

    def reconciliations(self, outcome: str = "") -> int:
        rows = Reconciliation.objects.filter(account=self.account_id)
        return rows.filter(outcome=outcome).count() if outcome else rows.count()

    def _open(self) -> None:
        stack, now = self.stack, timezone.now()
        rest = f"http://127.0.0.1:{self.rest_port or stack.venue_port}"
        stream = f"ws://127.0.0.1:{stack.venue_port}"
        clock = venue_control.read_clock(stack.control_url)
        market = Market.objects.create(
            exchange="binance", epoch=clock["epoch"], label=clock["label"], created_at=now,
            rest_url=rest, stream_url=stream, control_url=stack.control_url if self.is_paced else "",
        )  # fmt: skip
        direct = f"http://127.0.0.1:{stack.venue_port}"
        listings = venue_control.read_listings(exchange="binance", rest_url=direct, stream_url=stream)
        demo.list_instruments(market, listings, now=now)
        key = venue_control.open_paper_account(stack.control_url, name="desk", balances=BALANCE)
        self.uid = key.uid
        account = services.open_account(
            name="desk", market=market, mode="paper", deploy=f"d{os.getpid() % 10_000}{time.time_ns() % 100}", quote_asset="USDT",
            balances=BALANCE, books=[(1, "First"), (2, "Second")], now=now, market_at=self.market_at(), venue_uid=self.uid,
        )  # fmt: skip
        self.account_id = account.pk
        store_credential(account=account, key=key.api_key, secret=key.api_secret, now=now)
        self.books = list(Book.objects.filter(account=account).order_by("number"))
        percents = {book.pk: D(20) for book in self.books}
        services.set_allocations(account_id=account.pk, percents=percents, by=None, now=now, market_at=self.market_at())
        Book.objects.filter(account=account).update(position_cap_percent=100)


def is_settled(account_id: int) -> bool:
    """Say whether no order is on its way and nothing waits for one."""
    moving = ("ready", "sending", "unknown", "cancelling")
    live = Order.objects.filter(account=account_id, status__in=order_status.LIVE)
    if live.filter(status__in=moving).exists() or live.filter(cancel_requested_at__isnull=False).exists():
        return False
    return not Intent.objects.filter(book__account=account_id, state="waiting").exists()


def floor(price: Decimal, tick: Decimal) -> Decimal:
    """Round a price down to its grid."""
    return (price / tick).to_integral_value(ROUND_FLOOR) * tick


def venue_json(stack: Stack, path: str) -> Any:
    """Ask the venue's public interface."""
    with urllib.request.urlopen(f"http://127.0.0.1:{stack.venue_port}{path}", timeout=60) as answer:
        return json.load(answer)


def new_desk(directory: Path, *, speed: int = 6000, **fields: Any) -> Desk:
    """Make a desk over a synthetic market, a fast one unless told otherwise."""
    return Desk(Stack(directory, ["--market", "synthetic", "--speed", str(speed)]), **fields)
