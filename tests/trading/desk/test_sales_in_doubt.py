"""A book is sold out although a sale of it is of unknown fate: what is free goes at once, the rest when it is given back."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.trading.desk.test_mode_rules import perform
from tests.trading.desk.test_placing import ask, buy, intents
from tests.trading.desk.test_selling_out import doubt, flatten, nobody_knows, sell, sells, waiting
from tests.trading.desk.test_standing_down import rest, stand_down
from tests.trading.desk.world import NOW, World, build
from trading.desk import claims, reports, standing_down
from trading.desk.plain import Order
from trading.desk.releases import LATE_AFTER_FLATTEN
from trading.handover import Act

D = Decimal


@pytest.fixture
def world() -> World:
    """Three funded books; the first holds 0.0038 BTC bought at 50,000, without a stop."""
    world = build()
    buy(world, lots=380)
    return world


def lost_exit(world: World, *, lots: int = 100, stop: str | None = None) -> Order:
    """Have the book sell, and hear nothing of it."""
    assert ask(world, "exit", lots=lots, stop_price=D(stop) if stop else None).is_accepted
    exit_ = world.order("exit")
    doubt(world, exit_)
    return exit_


def call_absent(world: World, order: Order) -> None:
    """Prove that an order never lived."""
    with world.at_desk(epoch=1) as desk:
        reports.mark_absent(desk, order.pk)


def test_a_flatten_sells_at_once_what_an_exit_of_unknown_fate_does_not_hold(world: World) -> None:
    """Its 0.001 may be sold already; it sells them, and nothing is sold twice."""
    exit_ = lost_exit(world)
    assert flatten(world) == 1
    assert sells(world)[-1].quantity == D("0.0028")
    assert world.now(exit_).cancel_requested_at == NOW
    sell(world, sells(world)[-1])
    world.report(exit_, world.exchange.accept(exit_))
    world.fill(exit_, "0.001", "50000")
    assert (len(sells(world)), world.position().quantity, waiting(world)) == (1, D(0), [])
    assert world.agrees()


def test_what_an_exit_of_unknown_fate_gives_back_is_sold_behind_the_flatten(world: World) -> None:
    exit_ = lost_exit(world)
    assert (flatten(world), stand_down(world)) == (1, 0)
    first = world.send(sells(world)[-1])
    call_absent(world, exit_)
    assert [(row.kind, row.reason, row.lots) for row in waiting(world)] == [("flatten", LATE_AFTER_FLATTEN, 100)]
    world.fill(first, "0.0028", "50000")
    assert sells(world)[-1].quantity == D("0.001")
    sell(world, sells(world)[-1])
    assert (world.position().quantity, waiting(world)) == (D(0), [])


def test_the_rest_of_an_exit_that_sold_a_part_is_sold(world: World) -> None:
    exit_ = lost_exit(world, stop="48000")
    assert flatten(world) == 1
    sell(world, sells(world)[-1])
    world.report(exit_, world.exchange.accept(exit_))
    world.fill(exit_, "0.0004", "50000")
    world.end(exit_)
    assert (sells(world)[-1].quantity, sells(world)[-1].intent.reason) == (D("0.0006"), LATE_AFTER_FLATTEN)
    assert intents(world, "stop") == []


def test_a_hard_stop_passes_by_an_exit_of_unknown_fate_as_well(world: World) -> None:
    """It cancels no sales by itself, but this one must not outlive it."""
    exit_ = lost_exit(world)
    assert stand_down(world) == 1
    assert sells(world)[-1].quantity == D("0.0028")
    assert world.now(exit_).cancel_requested_at == NOW
    sell(world, sells(world)[-1])
    call_absent(world, exit_)
    assert sells(world)[-1].quantity == D("0.001")


def test_where_an_exit_of_unknown_fate_holds_all_the_flatten_waits_for_it(world: World) -> None:
    exit_ = lost_exit(world, lots=0)
    assert flatten(world) == 1
    assert (sells(world), [row.kind for row in waiting(world)]) == ([], ["flatten"])
    call_absent(world, exit_)
    assert sells(world)[-1].quantity == D("0.0038")
    assert [row.reason for row in intents(world, "flatten")] == ["TEST"]


def test_dust_beside_an_exit_of_unknown_fate_is_sold_with_what_it_gives_back(world: World) -> None:
    """0.00005 BTC are worth 2.50: no order by themselves."""
    exit_ = lost_exit(world, lots=375)
    assert flatten(world) == 1
    assert sells(world) == []
    call_absent(world, exit_)
    assert sells(world)[-1].quantity == D("0.0038")


def test_an_exit_whose_answer_is_awaited_holds_a_flatten_up_until_nobody_knows(world: World) -> None:
    assert ask(world, "exit", lots=100).is_accepted
    exit_ = world.order("exit")
    assert world.claim(exit_, claims.sending(epoch=1, now=NOW))
    assert flatten(world) == 1
    assert (sells(world), [row.kind for row in waiting(world)]) == ([], ["flatten"])
    nobody_knows(world, exit_)
    assert sells(world)[-1].quantity == D("0.0028")


def test_a_flatten_waits_for_the_cancel_of_a_stop_and_then_passes_by_the_exit() -> None:
    world = build()
    buy(world, lots=380, stop="49000")
    world.send(world.order("stop"))
    assert ask(world, "exit", lots=100, stop_price=D(49000)).is_accepted
    world.end(world.order("stop"))
    exit_ = world.order("exit")
    doubt(world, exit_)
    assert ask(world, "move_stop", stop_price=D(49000)).is_accepted
    stop = world.send(world.order("stop"))
    assert flatten(world) == 1
    assert sells(world) == []
    world.end(stop)
    assert sells(world)[-1].quantity == D("0.0028")


def test_a_flatten_passes_by_an_older_flatten_of_unknown_fate(world: World) -> None:
    """The first one holds all that there was then; the exit of before it has given back since."""
    exit_ = lost_exit(world)
    assert flatten(world) == 1
    doubt(world, sells(world)[-1])
    call_absent(world, exit_)
    assert [row.quantity for row in sells(world)] == [D("0.0028"), D("0.001")]
    assert waiting(world) == []


def test_what_is_free_beside_a_flatten_of_unknown_fate_is_not_being_sold(world: World) -> None:
    """No more than this may be sold at once; a hard stop asks for the rest, and does so once."""
    world.memory.tables.instruments[1].quantity_max = D("0.002")
    assert flatten(world) == 1
    doubt(world, sells(world)[-1])
    assert stand_down(world) == 1
    assert [row.quantity for row in sells(world)] == [D("0.002"), D("0.0018")]
    assert stand_down(world) == 0
    doubt(world, sells(world)[-1])
    with world.at_desk() as desk:
        assert standing_down.is_being_sold(desk, world.position())


def test_a_sale_of_what_came_late_that_waits_takes_what_comes_after_it_as_well(world: World) -> None:
    """Both were given back while the sale of the whole was on its way: neither is forgotten."""
    exit_ = lost_exit(world)
    resting = rest(world, 1, instrument=1, side="sell", price="52000")
    doubt(world, resting)
    assert flatten(world) == 1
    first = world.send(sells(world)[-1])
    assert first.quantity == D("0.0023")
    call_absent(world, exit_)
    call_absent(world, resting)
    assert [(row.kind, row.lots) for row in waiting(world)] == [("flatten", 150)]
    world.fill(first, "0.0023", "50000")
    sell(world, sells(world)[-1])
    assert (world.position().quantity, waiting(world)) == (D(0), [])


def test_what_an_exit_gives_back_is_sold_although_the_book_guards_other_coins_by_now(world: World) -> None:
    """Another book has handed coins on, with their stop: 0.001 go, and the stop guards the rest."""
    exit_ = lost_exit(world)
    assert flatten(world) == 1
    sell(world, sells(world)[-1])
    buy(world, book=2, lots=300, stop="48000")
    with world.at_desk() as desk:
        reports.request_cancels(desk, book_ids=[2])
    (handed,) = perform(world, Act.HAND_ON, book=2, incoming=frozenset({1}))
    assert handed.quantity == D("0.003")
    assert [row.kind for row in waiting(world)] == ["stop"]
    call_absent(world, exit_)
    sell(world, sells(world)[-1])
    assert sells(world)[-1].quantity == D("0.001")
    assert (world.order("stop").quantity, world.order("stop").stop_price) == (D("0.003"), D(48000))


def test_a_sale_that_is_adopted_gives_back_nothing_a_second_time(world: World) -> None:
    """It was called absent, and what it held was sold; its book has begun anew by the time it shows up and is cancelled."""
    exit_ = lost_exit(world)
    assert flatten(world) == 1
    sell(world, sells(world)[-1])
    call_absent(world, exit_)
    sell(world, sells(world)[-1])
    buy(world, lots=200)
    world.report(exit_, world.exchange.accept(exit_))
    assert world.now(exit_).reason == "ORDER_ADOPTED"
    world.end(exit_)
    assert (len(sells(world)), world.position().quantity) == (2, D("0.002"))
