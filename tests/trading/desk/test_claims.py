"""Whoever claims an order first has it, and only while its row still says what the claim needs."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.trading.desk.world import NOW, World, build
from trading.desk import claims, reports
from trading.desk.plain import Order

D = Decimal


@pytest.fixture
def world() -> World:
    """A book with a bid that is written and not sent."""
    world = build()
    world.decide(world.propose("place", side="buy", lots=100, limit_price=D("49000")))
    return world


def ask_for_the_cancel(world: World) -> None:
    with world.memory.transaction() as store:
        desk = world.desk(store)
        reports.request_cancels(desk, book_ids=[1])
        desk.write()


def sent(world: World) -> Order:
    return world.send(world.order("place"))


def test_an_order_is_sent_once_and_says_by_whom_and_when(world: World) -> None:
    order = world.order("place")
    assert not world.claim(order, claims.sending(epoch=2, now=NOW)), "another trader has the lease"
    assert world.claim(order, claims.sending(epoch=1, now=NOW))
    assert not world.claim(order, claims.sending(epoch=1, now=NOW))
    row = world.now(order)
    assert (row.status, row.attempt, row.epoch, row.sent_at) == ("sending", 1, 1, NOW)


def test_what_was_tried_once_is_not_sent_again_whatever_its_status_says(world: World) -> None:
    """I-18."""
    order = world.order("place")
    world.memory.tables.orders[order.pk].attempt = 1
    assert order.status == "ready"
    assert not world.claim(order, claims.sending(epoch=1, now=NOW))


def test_what_nobody_knows_keeps_why_as_far_as_there_is_room(world: World) -> None:
    order = world.order("place")
    world.claim(order, claims.sending(epoch=1, now=NOW))
    assert world.claim(order, claims.unknown("C" * 60, "m" * 400))
    row = world.now(order)
    assert (row.status, row.reason, row.message) == ("unknown", "C" * 48, "m" * 300)


def test_a_cancel_is_sent_where_one_was_asked_for_by_whoever_has_the_lease(world: World) -> None:
    order = sent(world)
    assert not world.claim(order, claims.cancelling(now=NOW, epoch=1)), "nobody asked for it"
    ask_for_the_cancel(world)
    assert not world.claim(order, claims.cancelling(now=NOW, epoch=2)), "another trader has the lease"
    assert world.claim(order, claims.cancelling(now=NOW, epoch=1))
    # It may be sent again: to cancel twice does no harm.
    assert world.claim(order, claims.cancelling(now=NOW))
    row = world.now(order)
    assert (row.status, row.cancel_sent_at) == ("cancelling", NOW)


def test_only_what_was_never_sent_is_taken_back(world: World) -> None:
    order = world.order("place")
    ask_for_the_cancel(world)
    row = world.now(order)
    assert (row.status, row.closed_at) == ("withdrawn", NOW)


def test_what_was_sent_is_not_taken_back(world: World) -> None:
    assert not world.claim(sent(world), claims.withdrawal(now=NOW))
