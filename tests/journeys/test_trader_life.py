"""The trader as a process: it buys, protects, sells and agrees with the exchange to the last unit."""

from __future__ import annotations

import pytest

from portfolio.models import Order
from tests.portfolio.trader.desk import Desk

pytestmark = pytest.mark.timeout(120)


def statuses(desk: Desk) -> list[tuple[str, str]]:
    rows = Order.objects.filter(account=desk.account_id).order_by("id")
    return [(row.intent.kind, row.status) for row in rows.select_related("intent")]


def test_a_position_is_bought_protected_and_sold(desk: Desk) -> None:
    desk.start_trader()
    desk.enter()
    desk.wait(lambda: statuses(desk) == [("enter", "filled"), ("stop", "open")], "entry and stop")
    desk.check_books()

    desk.exit()
    desk.wait(lambda: statuses(desk) == [("enter", "filled"), ("stop", "canceled"), ("exit", "filled")], "the exit")
    desk.wait_until_quiet()
    desk.check_books()
    desk.step(3)
