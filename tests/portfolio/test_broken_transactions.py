"""A crash at any statement of a money transaction leaves nothing behind, and doing it again ends where it should have."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from decimal import Decimal
from functools import partial
from typing import Any

import pytest
from django.db import connection, transaction

from portfolio import services
from portfolio.jobs import coordinate
from portfolio.models import Account, Allocation, DecisionRecord, LedgerTransaction
from portfolio.writers import fills, orders
from tests.portfolio.twins import on_postgres
from tests.portfolio.world import NOW, World
from trading.orders import ExchangeStatus, TradeReport

D = Decimal


class Crash(BaseException):
    """The process ends here; nothing in between may catch it."""


class CrashAt:
    """Lets so many statements through and dies at the next."""

    def __init__(self, left: int) -> None:
        self.left = left

    def __call__(self, execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        if sql.startswith(("SAVEPOINT", "RELEASE", "ROLLBACK")):
            # A test's own transaction stands round the one that dies; the database undoes that by itself.
            return execute(sql, params, many, context)
        if self.left == 0:
            raise Crash
        self.left -= 1
        return execute(sql, params, many, context)


def rows(world: World) -> dict[str, Any]:
    """Return everything that a money transaction may write."""
    return {
        **on_postgres(world),
        "version": Account.objects.get(id=world.account_id).version,
        "decisions": DecisionRecord.objects.count(),
        "journal": list(LedgerTransaction.objects.order_by("seq").values_list("seq", "hash")),
        "shares": list(Allocation.objects.order_by("id").values_list("book", "percent", "plan")),
    }


def dies_everywhere(world: World, command: Callable[[], object]) -> int:
    """Run a command that dies at its first statement, its second, and so on, until it lives; answer how often it died."""
    before = rows(world)
    for deaths in range(200):
        with suppress(Crash), connection.execute_wrapper(CrashAt(deaths)):
            with transaction.atomic():
                command()
            return deaths
        assert rows(world) == before
    raise AssertionError("The command never came to its end")


def post(world: World, trade: TradeReport) -> None:
    """Post a trade under the account's lock."""
    fills.post_fill(world.account(), trade, now=NOW)


@pytest.mark.fault("C01")
def test_deciding_is_all_or_nothing(world: World) -> None:
    """Neither an intent nor a reservation without its order; the same candle may be decided again."""
    proposals = [world.propose("enter", book, lots=100, limit_price=D("50505")) for book in range(2)]
    deaths = dies_everywhere(world, lambda: coordinate.coordinate(world.account(), proposals, market_at=world.market_at, now=NOW))
    assert deaths > 15
    assert len(on_postgres(world)["orders"]) == 2
    assert world.verify() == []


@pytest.mark.fault("C08", "C09")
def test_a_fill_is_all_or_nothing(world: World) -> None:
    """Trade, legs, reservation, position and the stop that follows: one transaction, told again after the crash."""
    world.decide(world.propose("enter", lots=380, limit_price=D("50505"), stop_price=D("49000")))
    entry = world.send(world.order(kind="enter"))
    for quantity in ("0.0018", "0.0020"):
        trade = world.exchange.fill(entry.client_order_id, quantity=D(quantity), price=D(50000), fee=D(0), fee_asset="BTC")
        assert dies_everywhere(world, partial(post, world, trade)) >= 7
    assert world.order(kind="stop").status == "ready"
    assert world.compare().outcome == "exact"
    assert world.verify() == []


@pytest.mark.fault("C11")
def test_the_end_of_an_order_is_all_or_nothing(world: World) -> None:
    """Between the proof of a cancel and its release there is no moment that could be lost."""
    world.decide(world.propose("enter", lots=380, limit_price=D("50505")))
    entry = world.send(world.order(kind="enter"))
    report = world.exchange.end(entry.client_order_id, ExchangeStatus.CANCELED)
    assert dies_everywhere(world, lambda: orders.apply_report(world.account(), entry.pk, report, now=NOW)) >= 5
    assert world.compare().outcome == "exact"
    assert world.verify() == []


@pytest.mark.fault("C14")
def test_an_allocation_is_all_or_nothing(world: World) -> None:
    """Either all shares are new or none is."""
    percents = {book.pk: D(10 + n) for n, book in enumerate(world.books)}
    deaths = dies_everywhere(
        world, lambda: services.set_allocations(account_id=world.account_id, percents=percents, by=None, now=NOW)
    )
    assert deaths > 5
    assert world.verify() == []
