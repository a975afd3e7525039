"""What a strategy is told it has gained over the real ledger: capital that moves is no gain, whatever moves it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import transaction

from marketdata.models import Mark
from portfolio import selectors, services
from portfolio.jobs.fee_settlement import settle_pending
from portfolio.models import Book
from portfolio.writers.modes import Choice
from tests.portfolio.deficit import deposit
from tests.portfolio.switching import act, at, hold, mark, newest, single, switch, traded
from tests.portfolio.test_allocation_versions import passed, share
from tests.portfolio.test_hand_over_views import CLOSE, told
from tests.portfolio.test_rotation_turns import rotation
from tests.portfolio.world import MARKET_AT, NOW, World
from trading.handover import Mode
from trading.ledger import UNIT
from trading.rotation import Policy

D = Decimal
HOUR = timedelta(hours=1)


def gains(world: World) -> list[float]:
    """Return what every strategy is told, having checked it against the figures that an operator sees."""
    mark(world, str(CLOSE))
    seen = [float(told(world, number)[0].gain) for number in range(len(world.books))]
    pnl = [float(row.pnl) for row in selectors.book_numbers(world.account_id)]
    assert seen == pytest.approx(pnl, abs=float(UNIT))
    return seen


def trade(world: World) -> None:
    """Have two books gain: one by a sale and what it holds, the other by what it holds."""
    for book in (0, 1):
        hold(world, book)
        world.decide(world.propose("exit", book, lots=100))
        world.end(world.order(kind="stop", book=book))
    world.fill(world.send(world.order(kind="exit", book=0)), "0.001", "50700", fee="0.0507")


def shrink(world: World) -> None:
    share(world, "1", "39")


def shrink_below_what_is_used(world: World) -> None:
    share(world, "0", "40")
    assert Book.objects.get(pk=world.books[0].pk).pending < 0


def complete(world: World) -> None:
    shrink_below_what_is_used(world)
    passed(world)


def rebase(world: World) -> None:
    deposit(world, "USDT", "1000")
    services.rebase_allocations(account_id=world.account_id, by=None, now=NOW, market_at=MARKET_AT)


def carry(world: World) -> None:
    switch(world, single(world, 2, policy=Policy.CARRY))
    pass_on(world)


def pass_on(world: World) -> None:
    """Have the account pass on, and look at the candle after."""
    for _ in range(6):
        act(world)
    assert newest(world).settled_at is not None
    at(world, world.market_at + HOUR)


@pytest.mark.parametrize("move", [shrink, shrink_below_what_is_used, complete, rebase, carry])
def test_no_flow_of_capital_changes_what_was_gained(world: World, move: Callable[[World], None]) -> None:
    trade(world)
    before = gains(world)
    flows = list(Book.objects.order_by("id").values_list("net_flows", flat=True))
    assert before[0] > 0.6

    move(world)

    assert gains(world) == before, "to the last bit"
    assert list(Book.objects.order_by("id").values_list("net_flows", flat=True)) != flows
    assert world.verify() == []


def test_what_is_handed_on_is_a_flow_at_its_mark(world: World) -> None:
    hold(world, 0)
    mark(world, "49321.07")
    before = [told(world, book)[0].gain for book in range(5)]
    world.end(world.order(kind="stop", book=0))
    switch(world, single(world, 1, policy=Policy.TRANSFER))
    pass_on(world)

    at_its_mark = D("0.0038") * (D("49321.07") - 50_000)
    giver, taker = (row for row in selectors.book_numbers(world.account_id)[:2])
    assert (giver.pnl, taker.pnl, giver.holdings) == (at_its_mark, D(0), D(0))
    assert told(world, 0)[0].gain == pytest.approx(float(at_its_mark), abs=float(UNIT))
    assert told(world, 1)[0].gain == pytest.approx(0.0038 * (CLOSE - 49_321.07), abs=float(UNIT))
    assert before[0] == pytest.approx(0.0)


def test_a_fee_that_is_told_later_is_lost_when_it_is_charged(world: World) -> None:
    Mark.objects.filter(instrument__base="BNB").delete()
    deposit(world, "BNB", "1")
    services.fund_fee_pool(account_id=world.account_id, asset="BNB", amount=D(1), by=None, now=NOW)
    world.decide(world.propose("enter", 0, lots=380, limit_price=D("50505")))
    world.fill(world.send(world.order(kind="enter")), "0.0038", "50000", fee="0.0005", fee_asset="BNB")
    assert gains(world)[0] == pytest.approx(0.0)

    Mark.objects.create(instrument=world.instruments["BNB/USDT"], price=D(400), market_at=MARKET_AT, received_at=NOW)
    with transaction.atomic():
        assert settle_pending(world.account(), now=NOW) == 1

    assert gains(world)[0] == pytest.approx(-0.2)


def test_a_turn_in_a_rotation_begins_with_what_was_gained_before(world: World) -> None:
    trade(world)
    before = gains(world)
    week = rotation(world, "daily 00:00-06:00 0 carry", "daily 06:00-24:00 1 carry")
    switch(world, Choice(mode=Mode.ROTATION, policy=Policy.CARRY, rotation=week, traded=traded(world)))
    for hours in (7, 25, 31):
        at(world, MARKET_AT + hours * HOUR)
        pass_on(world)
        assert gains(world) == before
    assert world.verify() == []
