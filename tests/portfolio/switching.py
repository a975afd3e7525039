"""How a test switches modes: by the service, by the trader's rota, at a moment of market time."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import transaction

from marketdata.models import Mark
from portfolio import selectors
from portfolio.jobs import modes as jobs
from portfolio.models import Account, HandOver, ModeVersion, Order
from portfolio.selectors import modes as reading
from portfolio.services.modes import set_mode
from portfolio.writers.modes import Choice
from tests.portfolio.test_coordinate import LIMIT, codes
from tests.portfolio.world import NOW, World
from trading.handover import Mode
from trading.rotation import BotNeeds, Policy

D = Decimal


def at(world: World, moment: datetime) -> None:
    """Move market time on, as the trader does when all fills are posted."""
    world.market_at = moment
    world.exchange.clock = max(world.exchange.clock, moment)
    Account.objects.filter(pk=world.account_id).update(synced_through_at=moment)


def needs(world: World) -> dict[str, BotNeeds]:
    return {str(book.pk): BotNeeds(bar_minutes=5) for book in world.books}


def traded(world: World, *, symbol: str = "BTC/USDT") -> dict[int, list[int]]:
    return {book.pk: [world.instruments[symbol].pk] for book in world.books}


def switch(world: World, choice: Choice) -> ModeVersion:
    at(world, world.market_at)
    return set_mode(account_id=world.account_id, choice=choice, needs=needs(world), by=None, now=NOW, reason="test")


def single(world: World, book: int, *, policy: Policy = Policy.FLATTEN, wait_minutes: int = 0, **more: Any) -> Choice:
    return Choice(
        mode=Mode.SINGLE,
        book_id=world.books[book].pk,
        policy=policy,
        wait_minutes=wait_minutes,
        traded=traded(world),
        **more,
    )


def act(world: World) -> HandOver | None:
    """Have the trader's rota act once."""
    with transaction.atomic():
        return jobs.act(world.account(), now=NOW)


def newest(world: World) -> HandOver:
    row = reading.newest_hand_over(world.account_id)
    assert row is not None
    return row


def hold(world: World, book: int = 0, *, lots: int = 380) -> Order:
    """Have a book hold coins bought at 50,000 with a stop at 48,000; answer its stop."""
    proposal = world.propose("enter", book, lots=lots, limit_price=LIMIT, stop_price=D(48_000))
    assert codes(world.decide(proposal)) == ["accepted"]
    order = world.send(world.order(kind="enter", book=book))
    world.fill(order, str(lots * D("0.00001")), "50000")
    return world.send(world.order(kind="stop", book=book))


def mark(world: World, price: str) -> None:
    Mark.objects.filter(instrument=world.instruments["BTC/USDT"]).update(price=D(price))


def books(world: World) -> list[Any]:
    return sorted(selectors.account_overview(world.account_id).books, key=lambda row: row.book_id)


def assert_whole(world: World) -> None:
    """Nothing is lost and every invariant holds, whatever passed from whom to whom."""
    assert world.verify() == []
    assert world.compare().outcome == "exact"
