"""A real trader sells a book that has lost too much, and nobody else's coins."""

from __future__ import annotations

import time
from decimal import Decimal

import pytest

from marketdata.models import Mark
from portfolio.models import Order, Position, RiskLatch, RiskLimits
from tests.portfolio.trader.desk import Desk
from trading.risk import HARD_STOP

pytestmark = [pytest.mark.timeout(240), pytest.mark.slow]


def test_a_book_beyond_its_hard_cap_is_sold_by_the_trader_alone(desk: Desk) -> None:
    RiskLimits.objects.update(fall_percent=1)
    desk.start_trader()
    desk.enter(book=0, quote="1800", stop="")
    desk.enter(book=1, quote="100")
    desk.wait(lambda: Order.objects.filter(status="open", type="STOP_LOSS").count() == 1, "both hold coins, one with a stop")
    desk.wait_until_quiet()

    fallen = Mark.objects.get(instrument__venue_symbol="BTCUSDT").price * Decimal("0.92")
    Mark.objects.filter(instrument__venue_symbol="BTCUSDT").update(price=fallen)
    began = time.monotonic()
    desk.wait(RiskLatch.objects.exists, "the book is shut", 30)
    print(f"\nhard stop: latched after {time.monotonic() - began:.2f} s")
    desk.wait(lambda: not held(desk, 0), "everything of the book is sold", 60)

    latch = RiskLatch.objects.get()
    assert (latch.code, latch.book_id) == (HARD_STOP, desk.books[0].pk)
    assert held(desk, 1)
    assert Order.objects.filter(book=desk.books[1], status="open", type="STOP_LOSS").count() == 1
    assert desk.decide("enter", expect=False, lots=100, limit_price=fallen.quantize(Decimal(1))).code == HARD_STOP
    desk.check_books()


def held(desk: Desk, book: int) -> bool:
    """Say whether a book holds more than the dust that a fee in coins leaves."""
    return Position.objects.filter(book=desk.books[book], quantity__gte=Decimal("0.00001")).exists()
