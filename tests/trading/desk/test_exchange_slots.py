"""What the exchange lets one account have at once is counted for all its books before anything is sent (E24)."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from tests.trading.desk.test_risk_rules import ROOM, enter, hold, told
from tests.trading.desk.world import World, build

D = Decimal


@pytest.fixture
def world() -> World:
    """Three books without anything open, within wide limits."""
    world = build()
    world.memory.risk = ROOM
    return world


def test_places_for_orders_are_shared_by_all_books(world: World) -> None:
    world.memory.tables.instruments[1].filters = filters(EXCHANGE_MAX_NUM_ORDERS={"maxNumOrders": 2})
    (other,) = world.decide(world.propose("enter", 3, instrument=2, lots=100, limit_price=D("2525.25")))
    assert other.is_accepted
    assert enter(world, 1).is_accepted
    assert told(enter(world, 2)) == ("FILTER_EXCHANGE_MAX_NUM_ORDERS", {"orders": 2, "limit": 2})


def test_a_stop_needs_a_place_before_its_entry_is_sent(world: World) -> None:
    """One book has it; that book may enter again, and others without a stop."""
    world.memory.tables.instruments[1].filters = filters(MAX_NUM_ALGO_ORDERS={"maxNumAlgoOrders": 1})
    (other,) = world.decide(world.propose("enter", 3, instrument=2, lots=100, limit_price=D("2525.25"), stop_price=D(2400)))
    assert other.is_accepted
    assert enter(world, 1, stop_price=D(49000)).is_accepted
    refused = ("FILTER_MAX_NUM_ALGO_ORDERS", {"stops": 1, "limit": 1})
    assert told(enter(world, 2, stop_price=D(49000))) == refused
    assert enter(world, 1, stop_price=D(49000)).is_accepted
    assert enter(world, 2).is_accepted


def test_a_stop_that_stands_or_waits_keeps_its_place(world: World) -> None:
    hold(world, stop="49000")
    world.memory.tables.instruments[1].filters = filters(MAX_NUM_ALGO_ORDERS={"maxNumAlgoOrders": 1})
    refused = ("FILTER_MAX_NUM_ALGO_ORDERS", {"stops": 1, "limit": 1})
    assert told(enter(world, 2, stop_price=D(49000))) == refused
    world.send(world.order("stop"))
    world.decide(world.propose("move_stop", stop_price=D(48000)))
    assert world.memory.tables.waiting
    assert told(enter(world, 2, stop_price=D(49000))) == refused


def test_what_the_account_holds_and_buys_has_a_cap(world: World) -> None:
    """One book holds 0.001, another has 0.0006 of its 0.001 still to come."""
    hold(world)
    assert enter(world, 2).is_accepted
    world.fill(world.send(world.order("enter", book=2)), "0.0004", "50000")
    (other,) = world.decide(world.propose("place", 3, instrument=2, side="buy", lots=100, limit_price=D(2400)))
    assert other.is_accepted
    world.memory.tables.instruments[1].filters = filters(MAX_POSITION={"maxPosition": "0.00299"})
    assert told(enter(world, 3)) == ("FILTER_MAX_POSITION", {"position": "0.003", "limit": "0.00299"})
    world.memory.tables.instruments[1].filters = filters(MAX_POSITION={"maxPosition": "0.003"})
    assert enter(world, 3).is_accepted


def test_a_sale_that_is_on_its_way_is_no_room_for_a_purchase(world: World) -> None:
    """I-32: what is still held counts, whoever sells it."""
    hold(world)
    (sale,) = world.decide(world.propose("place", side="sell", lots=100, limit_price=D(60000)))
    assert sale.is_accepted
    world.memory.tables.instruments[1].filters = filters(MAX_POSITION={"maxPosition": "0.00199"})
    assert told(enter(world, 2)) == ("FILTER_MAX_POSITION", {"position": "0.002", "limit": "0.00199"})


def one_stop(world: World) -> None:
    """Have the exchange allow one stop in BTC."""
    world.memory.tables.instruments[1].filters = filters(MAX_NUM_ALGO_ORDERS={"maxNumAlgoOrders": 1})


def test_a_bid_without_a_stop_takes_no_place(world: World) -> None:
    """Nor does a resting sale."""
    hold(world, 3)
    for book, side, price in ((2, "buy", 49000), (3, "sell", 52000)):
        (outcome,) = world.decide(world.propose("place", book, side=side, lots=100, limit_price=D(price)))
        assert outcome.is_accepted
    one_stop(world)
    assert enter(world, 1, stop_price=D(49000)).is_accepted


def test_a_stop_that_waits_for_a_sale_keeps_its_place(world: World) -> None:
    """No stop stands meanwhile: all that is held is behind the sale whose cancel is on its way."""
    hold(world, 2)
    world.decide(world.propose("place", 2, side="sell", lots=100, limit_price=D(60000)))
    world.send(world.order("place", book=2))
    world.decide(world.propose("cancel", 2))
    world.decide(world.propose("move_stop", 2, stop_price=D(48000)))
    assert [row.stop_price for row in world.memory.tables.intents.values() if row.state == "waiting"] == [D(48000)]
    one_stop(world)
    assert told(enter(world, 1, stop_price=D(49000)))[0] == "FILTER_MAX_NUM_ALGO_ORDERS"


def test_what_waits_elsewhere_or_without_a_stop_takes_no_place(world: World) -> None:
    """An entry in BTC that needs no stop, and one in ETH that needs one, wait for cancels."""
    for book, instrument, price, stop in ((2, 1, 49000, None), (3, 2, 2400, D(2300))):
        bid = world.propose("place", book, instrument=instrument, side="buy", lots=100, limit_price=D(price))
        assert world.decide(bid)[0].is_accepted
        world.send(world.order("place", book=book))
        world.decide(world.propose("cancel", book, instrument=instrument))
        limit = D("50505") if instrument == 1 else D("2525.25")
        entry = world.propose("enter", book, instrument=instrument, lots=100, limit_price=limit, stop_price=stop)
        assert world.decide(entry)[0].is_accepted
    assert len([row for row in world.memory.tables.intents.values() if row.state == "waiting"]) == 2
    one_stop(world)
    assert enter(world, 1, stop_price=D(49000)).is_accepted


def filters(**more: Any) -> dict[str, Any]:
    """Return an instrument's filters with these beside them."""
    return {"SELF_TRADE_PREVENTION": {"modes": []}, **more}
