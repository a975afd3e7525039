"""What is too little for an order can be neither sold nor saved, and shuts no book."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import pytest

from tests.trading.desk.world import World, build
from trading.desk import dust

D = Decimal


@pytest.fixture
def world() -> World:
    """A book that holds 0.0038 BTC and has nothing open; five USDT is the smallest order."""
    world = build()
    world.decide(world.propose("enter", lots=380, limit_price=D("50505")))
    world.fill(world.send(world.order("enter")), "0.0038", "50000")
    return world


def floor(world: World, *books: int) -> Decimal:
    """Return the loss below which these books have nothing to do."""
    with world.memory.transaction() as store:
        return dust.loss_floor(world.desk(store), books)


def sellable(world: World) -> bool:
    """Say whether the first book's holding can be sold."""
    with world.memory.transaction() as store:
        desk = world.desk(store)
        (position,) = desk.positions_of(1)
        return dust.can_be_sold(desk, position)


@pytest.mark.parametrize(
    ("change", "is_sellable"),
    [
        (lambda world: world.memory.marks.update({1: D(5) / D("0.0038")}), True),
        (lambda world: world.memory.marks.update({1: D(1315)}), False),
        (lambda world: setattr(world.memory.tables.instruments[1], "notional_min", D(190)), True),
        (lambda world: setattr(world.memory.tables.instruments[1], "notional_min", D("190.01")), False),
        (lambda world: world.memory.marks.pop(1), False),
        (lambda world: setattr(world.memory.tables.instruments[1], "quantity_min", D("0.0038")), True),
        (lambda world: setattr(world.memory.tables.instruments[1], "quantity_min", D("0.00381")), False),
    ],
    ids=[
        "worth-the-least",
        "worth-less",
        "all-of-it-is-the-least",
        "all-of-it-is-less",
        "no-price",
        "the-least-quantity",
        "less-quantity",
    ],
)
def test_a_sale_is_what_the_exchange_would_take(world: World, change: Callable[[World], object], is_sellable: bool) -> None:
    change(world)
    assert sellable(world) is is_sellable


def test_only_whole_lots_count(world: World) -> None:
    """Lots of 0.003 leave one of them: 0.003 at 1,700 is enough, at 1,600 it is not, though all of it would be."""
    world.memory.tables.instruments[1].lot_size = D("0.003")
    world.memory.marks[1] = D(1700)
    assert sellable(world)
    world.memory.marks[1] = D(1600)
    assert not sellable(world)


def test_who_can_sell_has_no_floor(world: World) -> None:
    assert floor(world, 1) == 0


def test_dust_is_worth_less_than_the_smallest_order(world: World) -> None:
    world.memory.marks[1] = D(1000)
    assert floor(world, 1) == D(5)
    assert floor(world, 1, 2, 3) == D(5)
    assert floor(world, 2) == 0


def test_where_the_smallest_quantity_is_worth_more_it_counts(world: World) -> None:
    world.memory.marks[1] = D(1000)
    world.memory.tables.instruments[1].quantity_min = D("0.01")
    assert floor(world, 1) == D(10)
    world.memory.tables.instruments[1].lot_size = D("0.02")
    assert floor(world, 1) == D(20)
    del world.memory.marks[1]
    assert floor(world, 1) == D(5)


def test_the_dust_of_all_adds_up(world: World) -> None:
    world.decide(world.propose("enter", 2, instrument=2, lots=100, limit_price=D("2525.25")))
    world.fill(world.send(world.order("enter", book=2)), "0.01", "2500")
    world.memory.marks.update({1: D(1000), 2: D(100)})
    assert floor(world, 1, 2) == D(10)
    world.memory.marks[2] = D(2500)
    assert floor(world, 1, 2) == 0


def test_an_entry_on_its_way_can_still_be_cancelled(world: World) -> None:
    world.memory.marks[1] = D(1000)
    (entry,) = world.decide(world.propose("place", 2, instrument=2, side="buy", lots=100, limit_price=D(2400)))
    assert entry.is_accepted
    assert floor(world, 1, 2) == 0
    assert floor(world, 1) == D(5), "another book's entry is not its own"


def test_a_sale_on_its_way_is_no_entry(world: World) -> None:
    (sale,) = world.decide(world.propose("place", side="sell", lots=100, limit_price=D(60000)))
    assert sale.is_accepted
    world.memory.marks[1] = D(1000)
    assert floor(world, 1) == D(5)


def test_an_entry_that_waits_can_still_be_given_up_and_a_stop_that_waits_is_none(world: World) -> None:
    """The stop waits for the cancel of the one before it, and the entry behind the stop."""
    world.decide(world.propose("move_stop", stop_price=D(49000)))
    world.send(world.order("stop"))
    world.decide(world.propose("move_stop", stop_price=D(48000)))
    world.memory.marks[1] = D(1000)
    assert [row.kind for row in world.memory.tables.intents.values() if row.state == "waiting"] == ["stop"]
    assert floor(world, 1) == D(5)
    (entry,) = world.decide(world.propose("place", side="buy", lots=1000, limit_price=D(990)))
    assert entry.is_accepted
    assert floor(world, 1) == 0


def test_what_was_sold_out_adds_nothing_to_the_floor(world: World) -> None:
    """The first position is empty by now, the second is dust."""
    world.decide(world.propose("exit"))
    world.fill(world.send(world.order("exit")), "0.0038", "50000")
    world.decide(world.propose("enter", instrument=2, lots=100, limit_price=D("2525.25")))
    world.fill(world.send(world.order("enter")), "0.01", "2500")
    world.memory.marks[2] = D(100)
    assert floor(world, 1) == D(5)
