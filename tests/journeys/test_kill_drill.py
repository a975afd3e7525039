"""The kill switch under load: two hundred resting orders, a real trader, the real venue, and neither Celery nor Valkey.

The figures are printed for the note; what is asserted is the promise, and an order of magnitude of its times.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from django.db.models import Max, Min

from marketdata.models import Instrument
from portfolio.models import Account, AuditEntry, Book, Order, RiskLimits
from tests.journeys.stack import Stack
from tests.portfolio.trader.desk import Desk, floor
from trading.desk.rows import ENTRIES

pytestmark = [pytest.mark.timeout(300), pytest.mark.slow]
ORDERS = 200
NOBODY = "redis://127.0.0.1:1/0"
PRICES: dict[str, Decimal] = {}


@pytest.fixture
def alone(transactional_db: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    """Start a desk where no Valkey answers and no worker runs; the venue takes two hundred orders in ten seconds."""
    monkeypatch.setitem(os.environ, "REDIS_URL", NOBODY)
    stack = Stack(tmp_path / "desk", ["--market", "synthetic", "--speed", "6000", "--order-limit", "1000"])
    with Desk(stack) as desk:
        yield desk


@pytest.mark.fault("O02")
def test_two_hundred_orders_are_cancelled_within_seconds_without_celery_and_valkey(alone: Desk) -> None:
    desk = alone
    Book.objects.update(orders_per_minute=10_000, position_cap_percent=100)
    RiskLimits.objects.update(orders_per_minute=10_000, fall_percent=1)
    PRICES.update({symbol: desk.price(symbol) for symbol in ("BTCUSDT", "ETHUSDT")})
    desk.start_trader()
    fill_up(desk)
    for number in range(20):
        rest(desk, number, symbol="BTCUSDT")

    said = desk.run("kill", "--reason", "drill")
    assert said.returncode == 0, said.stderr
    again = desk.run("kill", "--reason", "clicked twice")
    assert again.returncode == 0, again.stderr
    desk.wait(lambda: not Order.objects.filter(status__in=Order.LIVE).exists(), "nothing is live", 60)

    account = Account.objects.get(id=desk.account_id)
    assert account.killed_at is not None
    told = figures(account.killed_at)
    print(f"\nkill: {told}")
    assert not Order.objects.filter(intent__kind__in=ENTRIES, sent_at__gt=account.killed_at + timedelta(seconds=1)).exists()
    assert told["cancels"] >= ORDERS
    assert AuditEntry.objects.filter(action="account.kill").count() == 1
    desk.check_books()


def fill_up(desk: Desk) -> None:
    """Have two hundred orders rest; what a busy machine sent too late and the venue refused is asked for again."""
    while (missing := ORDERS - resting()) > 0:
        for number in range(missing):
            rest(desk, number, symbol="BTCUSDT" if number % 2 else "ETHUSDT")
        desk.wait(lambda: not moving(), f"{ORDERS} orders rest", 150)


def rest(desk: Desk, number: int, *, symbol: str) -> None:
    """Rest a small bid far below the market."""
    instrument = Instrument.objects.get(venue_symbol=symbol)
    price = floor(PRICES[symbol] * Decimal("0.9"), instrument.tick_size)
    lots = int(Decimal(8) / price / instrument.lot_size) + 1
    desk.decide("place", book=number % 2, symbol=symbol, side="buy", slot=number, lots=lots, limit_price=price)


def resting() -> int:
    return Order.objects.filter(status="open").count()


def moving() -> bool:
    return Order.objects.filter(status__in=Order.LIVE).exclude(status="open").exists()


def figures(killed_at: datetime) -> dict[str, float]:
    """Measure in seconds from the moment at which the kill was durable."""
    rows = Order.objects.filter(cancel_sent_at__isnull=False)
    told = rows.aggregate(first=Min("cancel_sent_at"), last=Max("cancel_sent_at"), closed=Max("closed_at"))
    late = Order.objects.filter(sent_at__gt=killed_at).aggregate(last=Max("sent_at"))["last"]
    return {
        "cancels": rows.count(),
        "first_cancel_sent_seconds": (told["first"] - killed_at).total_seconds(),
        "last_cancel_sent_seconds": (told["last"] - killed_at).total_seconds(),
        "last_proven_seconds": (told["closed"] - killed_at).total_seconds(),
        "last_entry_sent_after_seconds": (late - killed_at).total_seconds() if late else 0.0,
    }
