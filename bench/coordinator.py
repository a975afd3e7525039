"""Load the coordinator of a throw-away paper installation: so many intents a second, then bursts of a hundred.

    python manage.py up --market synthetic --speed 1          # with TRADEAPP_DATA_DIR=DIR, in another terminal
    TRADEAPP_DATA_DIR=DIR python bench/coordinator.py [--seconds 600] [--rate 20] [--books 50]

Opens fifty books with money from the venue's faucet, has them buy, sell, place and cancel through the production
coordinator, trader and venue, and reads arrival from the venue's own timestamps. It raises the venue's limits, and prints
them with the figures. At the end it asks whether any book was given more than it had, and reconciles.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import random
import statistics
import sys
import time
import urllib.request
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tradeapp.settings")

from bench.venue_control import begin_anew, control, fund

CAPITAL = Decimal(500_000)
BURST = 100
BUYS = ("enter", "place")
# Far above Binance's 6,000 and 100: what is measured is ours.
LIMITS = {"weight": 600_000, "orders": 10_000}
ENTRIES_PER_MINUTE = 10_000


@dataclass(slots=True)
class Load:
    """What was asked for and what came of it."""

    transactions: list[float] = field(default_factory=list)
    refusals: Counter[str] = field(default_factory=Counter)
    accepted: int = 0
    asked: int = 0
    late: int = 0
    last_on_wire: list[float] = field(default_factory=list)


def main() -> None:
    """Load, then print what it took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--rate", type=float, default=20.0, help="intents a second")
    parser.add_argument("--books", type=int, default=50)
    parser.add_argument("--bursts", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    if not Path(os.environ.get("TRADEAPP_DATA_DIR", "?"), "addresses.json").exists():
        print("Left out: it measures a running installation. Start one, and name its TRADEAPP_DATA_DIR.")
        return
    import django

    django.setup()
    desk = Bench(books=arguments.books, seed=arguments.seed)
    began = time.time_ns() // 1_000_000
    load = desk.run(seconds=arguments.seconds, rate=arguments.rate)
    _print_steady(desk, load, began, arguments)
    for _ in range(arguments.bursts):
        desk.burst(load)
        time.sleep(5)
    print(f"bursts of {BURST}: intents to the last order on the wire, seconds: " + _list(load.last_on_wire))
    sys.exit(desk.check())


class Bench:
    """An account with many books, and the means to make them trade."""

    def __init__(self, *, books: int, seed: int) -> None:
        from django.conf import settings

        from portfolio.models import Account

        self.random = random.Random(seed)
        self.account = Account.objects.select_related("market").get(is_enabled=True)
        addresses = json.loads((Path(settings.TRADEAPP_DATA_DIR) / "addresses.json").read_text(encoding="utf-8"))
        self.control = addresses["VENUE_CONTROL_URL"]
        self.calls = 0
        self.limits = control(self.control, "/control/limits", LIMITS)
        begin_anew(self.account)
        self._raise_rate()
        fund(self.account, self.control, CAPITAL)
        self.account.refresh_from_db()
        self.books = self._open_books(books)
        self.instruments = self._instruments()

    def run(self, *, seconds: float, rate: float) -> Load:
        """Ask for so many intents a second, one transaction each."""
        load = Load()
        # As the workers do before they take their first candle.
        gc.collect()
        gc.freeze()
        started = time.monotonic()
        for number in range(int(seconds * rate)):
            due = started + number / rate
            if (ahead := due - time.monotonic()) > 0:
                time.sleep(ahead)
            elif ahead < -1:
                load.late += 1
            self._decide(load, [self._proposal(self.random.choice(self.books))])
        return load

    def burst(self, load: Load) -> None:
        """Ask for a hundred intents in one transaction and wait for the last of them at the venue."""
        rest = [book for book in self.books for _ in range(BURST // len(self.books) + 1)][:BURST]
        began = time.time_ns() / 1_000_000
        names = self._decide(load, [self._proposal(book, leg=leg) for leg, book in enumerate(rest)])
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            arrived = {row["clientOrderId"]: row["received_at_wall_ms"] for row in self._venue_orders(began)}
            if names <= arrived.keys():
                load.last_on_wire.append((max(arrived[name] for name in names) - began) / 1000 if names else 0.0)
                return
            time.sleep(0.5)
        load.last_on_wire.append(float("inf"))

    def check(self) -> int:
        """Say whether a book was given more than it had, and whether ledger and venue agree; 0 when all is well."""
        from django.core.management import call_command

        from portfolio.jobs.verify import verify

        time.sleep(5)
        findings = verify(self.account.pk)
        print(f"invariants: {findings or 'all hold'}")
        try:
            call_command("reconcile", account=str(self.account.pk))
        except SystemExit as end:
            return int(end.code or bool(findings))
        return int(bool(findings))

    def delays(self, began_ms: float) -> list[float]:
        """Return how long each order took from its transaction's beginning to the venue, in milliseconds."""
        from portfolio.models import Order

        arrived = {row["clientOrderId"]: row["received_at_wall_ms"] for row in self._venue_orders(began_ms)}
        rows = Order.objects.filter(client_order_id__in=list(arrived)).values_list("client_order_id", "created_at")
        return [arrived[name] - created.timestamp() * 1000 for name, created in rows]

    def _decide(self, load: Load, proposals: list[Any]) -> set[str]:
        from django.db import transaction

        from portfolio.jobs.coordinate import coordinate
        from portfolio.models import Order
        from portfolio.writers import accounts

        began = time.perf_counter()
        with transaction.atomic():
            account = accounts.lock(self.account.pk)
            self.calls += 1
            before = account.intent_seq
            # A decision is one of its book's candle: each call is a moment of its own.
            at = (account.synced_through_at or datetime.now(UTC)) + timedelta(microseconds=self.calls)
            outcomes = coordinate(account, proposals, market_at=at, now=datetime.now(UTC))
        load.transactions.append((time.perf_counter() - began) * 1000)
        load.asked += len(outcomes)
        load.accepted += sum(outcome.is_accepted for outcome in outcomes)
        load.refusals.update(outcome.code for outcome in outcomes if outcome.code)
        if len(proposals) == 1:
            return set()
        return set(
            Order.objects.filter(account=account, intent__seq__gt=before, attempt__lte=1)
            .exclude(status="withdrawn")
            .values_list("client_order_id", flat=True)
        )

    def _proposal(self, book: Any, *, leg: int = 0) -> Any:
        from trading.proposals import Proposal, ProposalKind

        instrument, mark = self.random.choice(self.instruments)
        kinds = (ProposalKind.ENTER, ProposalKind.EXIT, ProposalKind.PLACE, ProposalKind.CANCEL)
        kind = self.random.choices(kinds, (10, 8, 2, 3))[0]
        tick = instrument.tick_size
        factor = Decimal("1.005") if kind == ProposalKind.ENTER else Decimal("0.95")
        worth = Decimal(self.random.randrange(20, 200))
        return Proposal(
            book_id=book.pk,
            rank=book.number,
            leg=leg,
            instrument_id=instrument.pk,
            kind=kind,
            reason="BENCH",
            side="sell" if kind == ProposalKind.EXIT else "buy",
            slot=leg,
            lots=int(worth / mark / instrument.lot_size) if kind in BUYS else 0,
            limit_price=mark * factor // tick * tick if kind in BUYS else None,
            strategy_hash="bench",
            config_hash="bench",
        )

    def _raise_rate(self) -> None:
        """Let the account have as many entries a minute as are asked for here; it is no proof of that limit."""
        from django.utils import timezone

        from portfolio.services.risk import set_limits

        changes = {"orders_per_minute": ENTRIES_PER_MINUTE}
        set_limits(account_id=self.account.pk, changes=changes, reason="bench", may_raise=True, by=None, now=timezone.now())

    def _open_books(self, count: int) -> list[Any]:
        from django.db import transaction

        from portfolio.models import Account, Book
        from portfolio.services import set_allocations
        from portfolio.writers import accounts
        from portfolio.writers.books import open_book

        now = datetime.now(UTC)
        with transaction.atomic():
            account: Account = accounts.lock(self.account.pk)
            books = [
                open_book(account, name=f"Bench{number:02}", position_cap_percent=Decimal(50), now=now) for number in range(count)
            ]
        others = Book.objects.filter(account=account).exclude(pk__in=[book.pk for book in books])
        share = Decimal(90) / count
        percents = {book.pk: Decimal(1) for book in others} | {book.pk: share.quantize(Decimal("0.0001")) for book in books}
        set_allocations(account_id=account.pk, percents=percents, by=None, now=now, rebase=True)
        return books

    def _instruments(self) -> list[tuple[Any, Decimal]]:
        from marketdata.models import Mark

        marks = Mark.objects.filter(instrument__market=self.account.market_id).select_related("instrument")
        return [(mark.instrument, mark.price) for mark in marks]

    def _venue_orders(self, since_ms: float) -> list[dict[str, Any]]:
        with urllib.request.urlopen(f"{self.control}/control/books/{self.account.venue_uid}", timeout=60) as answer:
            books: dict[str, Any] = json.load(answer)
        return [row for row in books["orders"] if row["received_at_wall_ms"] >= since_ms]


def _print_steady(desk: Bench, load: Load, began: float, arguments: argparse.Namespace) -> None:
    delays = desk.delays(began)
    with urllib.request.urlopen(f"{desk.control}/control/clock", timeout=10) as answer:
        clock = json.load(answer)
    weight, orders = desk.limits["weight"], desk.limits["orders"]
    print(f"venue: {clock['label']}, speed {clock['speed']}; raised limits: weight {weight} a minute, {orders} orders in 10 s")
    print(f"raised limit of the account: {ENTRIES_PER_MINUTE} entries a minute")
    print(
        f"{load.asked} intents in {arguments.seconds} s ({arguments.rate:g}/s) by {arguments.books} books, "
        f"{load.accepted} accepted, {load.late} begun over a second late, refused: {dict(load.refusals)}"
    )
    print(f"coordinator transaction, ms: {_quantiles(load.transactions)}")
    print(f"intent to order on the wire, ms ({len(delays)} orders): {_quantiles(delays)}")


def _quantiles(values: list[float]) -> str:
    if len(values) < 2:
        return "too few"
    cuts = statistics.quantiles(values, n=100, method="inclusive")
    return f"p50 {cuts[49]:.1f}, p99 {cuts[98]:.1f}, max {max(values):.1f}"


def _list(values: list[float]) -> str:
    return ", ".join(f"{value:.2f}" for value in values)


if __name__ == "__main__":
    main()
