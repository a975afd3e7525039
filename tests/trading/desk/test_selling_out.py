"""A book that is sold out ends flat, whatever becomes of the orders that nobody can answer for."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.trading.desk.world import NOW, World, build
from trading.desk import claims, coordination, reports, standing_down
from trading.desk.answers import Answer, apply_answers
from trading.desk.plain import Intent, Order
from trading.desk.prevention import EXPIRE_MAKER, EXPIRE_TAKER, SELF_TRADE_PREVENTION, prevention_of
from trading.orders import ExchangeStatus

D = Decimal


@pytest.fixture
def world() -> World:
    """A book that holds 0.0038 BTC and has a bid of unknown fate below the market."""
    world = build()
    world.decide(world.propose("enter", lots=380, limit_price=D("50505")))
    world.fill(world.send(world.order("enter")), "0.0038", "50000")
    world.decide(world.propose("place", side="buy", lots=100, limit_price=D("49000")))
    doubt(world, world.order("place"))
    return world


def doubt(world: World, order: Order) -> None:
    """Send an order and hear nothing of it."""
    assert world.claim(order, claims.sending(epoch=1, now=NOW))
    nobody_knows(world, order)


def nobody_knows(world: World, order: Order) -> None:
    """Give up waiting for the answer."""
    assert world.claim(order, claims.unknown("TIMEOUT", "no answer"))
    with world.memory.transaction(epoch=1) as store:
        desk = world.desk(store)
        apply_answers(desk, [Answer(order.pk, None, code="TIMEOUT")])
        desk.write()


def flatten(world: World) -> int:
    """Have the first book sold out."""
    with world.memory.transaction() as store:
        desk = world.desk(store)
        count = coordination.flatten(desk, 1, reason="TEST")
        desk.write()
    return count


def sells(world: World) -> list[Order]:
    """Return the sales of the whole, oldest first."""
    return [row for row in world.memory.tables.orders.values() if row.intent.kind == "flatten"]


def waiting(world: World) -> list[Intent]:
    """Return what waits."""
    return [world.memory.tables.intents[seq] for seq in sorted(world.memory.tables.waiting)]


def sell(world: World, order: Order) -> None:
    """Have the exchange take a sale."""
    world.send(order)
    world.fill(order, str(order.quantity), "50000")


def test_what_is_held_is_sold_although_a_bid_is_of_unknown_fate(world: World) -> None:
    assert flatten(world) == 1
    sell(world, sells(world)[-1])
    assert world.position().quantity == 0


def test_what_the_bid_turns_out_to_have_bought_is_sold_as_well(world: World) -> None:
    flatten(world)
    sell(world, sells(world)[-1])
    bid = world.order("place")
    world.report(bid, world.exchange.accept(bid))
    world.fill(bid, "0.001", "49000")
    assert len(sells(world)) == 2
    sell(world, sells(world)[-1])
    assert not world.position().quantity
    assert not waiting(world)


def test_a_bid_that_was_called_absent_and_is_adopted_is_sold_as_well(world: World) -> None:
    """The hard cap may be let go by then, and the person who flattened gone home."""
    flatten(world)
    sell(world, sells(world)[-1])
    bid = world.order("place")
    with world.memory.transaction(epoch=1) as store:
        desk = world.desk(store)
        reports.mark_absent(desk, bid.pk)
        desk.write()
    world.report(bid, world.exchange.accept(bid))
    world.fill(bid, "0.0004", "49000")
    assert len(sells(world)) == 1
    world.end(bid)
    late = sells(world)[-1]
    assert (late.intent.reason, late.quantity) == ("LATE_AFTER_FLATTEN", D("0.0004"))
    sell(world, late)
    assert world.position().quantity == 0


def test_what_comes_while_the_sale_is_on_its_way_is_sold_behind_it(world: World) -> None:
    flatten(world)
    first = world.send(sells(world)[-1])
    bid = world.order("place")
    world.report(bid, world.exchange.accept(bid))
    world.fill(bid, "0.001", "49000")
    assert [row.kind for row in waiting(world)] == ["flatten"]
    world.fill(first, str(first.quantity), "50000")
    sell(world, sells(world)[-1])
    assert len(sells(world)) == 2
    assert not world.position().quantity
    assert not waiting(world)


def test_a_bid_whose_cancel_will_be_proven_is_waited_for_until_nobody_knows(world: World) -> None:
    """The second bid is on the wire: its answer is a matter of milliseconds, or it never comes."""
    world.decide(world.propose("place", side="buy", slot=1, lots=100, limit_price=D("48000")))
    bid = world.order("place")
    assert world.claim(bid, claims.sending(epoch=1, now=NOW))
    flatten(world)
    assert (sells(world), [row.kind for row in waiting(world)]) == ([], ["flatten"])
    nobody_knows(world, bid)
    sell(world, sells(world)[-1])
    assert world.position().quantity == 0


def test_what_a_stop_of_unknown_fate_holds_is_sold_when_it_is_free() -> None:
    world = build()
    world.decide(world.propose("enter", lots=380, limit_price=D("50505"), stop_price=D("49000")))
    world.fill(world.send(world.order("enter")), "0.0038", "50000")
    stop = world.order("stop")
    doubt(world, stop)
    assert flatten(world) == 1
    assert sells(world) == []
    with world.memory.transaction(epoch=1) as store:
        desk = world.desk(store)
        reports.mark_absent(desk, stop.pk)
        desk.write()
    sell(world, sells(world)[-1])
    assert world.position().quantity == 0


def test_a_hard_stop_does_not_wait_either(world: World) -> None:
    with world.memory.transaction() as store:
        desk = world.desk(store)
        assert standing_down.stand_down(desk, 1, reason="RISK_HARD_STOP") == 1
        desk.write()
    assert len(sells(world)) == 1


def test_a_bid_made_after_the_flatten_is_left_alone(world: World) -> None:
    """The bot was started again; what it buys now it means to keep."""
    flatten(world)
    sell(world, sells(world)[-1])
    with world.memory.transaction(epoch=1) as store:
        desk = world.desk(store)
        reports.mark_absent(desk, world.order("place").pk)
        desk.write()
    world.decide(world.propose("place", side="buy", slot=2, lots=100, limit_price=D("48500")))
    bid = world.send(world.order("place"))
    world.fill(bid, "0.0005", "48500")
    world.decide(world.propose("cancel", slot=2))
    assert world.claim(bid, claims.cancelling(now=NOW, epoch=1))
    world.end(bid, ExchangeStatus.CANCELED)
    assert (len(sells(world)), world.position().quantity) == (1, D("0.0005"))


@pytest.mark.parametrize(
    ("kind", "allowed", "mode"),
    [
        ("stop", [EXPIRE_TAKER, EXPIRE_MAKER], EXPIRE_MAKER),
        ("flatten", [EXPIRE_TAKER, EXPIRE_MAKER], EXPIRE_MAKER),
        ("exit", [EXPIRE_TAKER, EXPIRE_MAKER], EXPIRE_TAKER),
        ("enter", [EXPIRE_TAKER, EXPIRE_MAKER], EXPIRE_TAKER),
        ("stop", [EXPIRE_TAKER], EXPIRE_TAKER),
        ("stop", ["DECREMENT"], ""),
    ],
)
def test_what_protects_goes_first_where_the_exchange_allows_it(kind: str, allowed: list[str], mode: str) -> None:
    """I-40: the mode is said, and it is one that the symbol allows."""
    assert prevention_of(kind, {SELF_TRADE_PREVENTION: {"modes": allowed}}) == mode
    assert prevention_of(kind, {}) == ""
