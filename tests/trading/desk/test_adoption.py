"""Orders that were called dead and live after all: reserved again, cancelled, their book halted, the ledger exact."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.trading.desk.world import World, build
from trading.desk.fills import Overfilled
from trading.desk.plain import Order

D = Decimal

pytestmark = pytest.mark.fault("E30")


@pytest.fixture
def world() -> World:
    """Three funded books."""
    return build()


def lost(world: World, *, lots: int = 380, stop: Decimal | None = None) -> Order:
    """Have the first book's entry sent, lost, and called absent; the exchange has it all the same."""
    world.decide(world.propose("enter", lots=lots, limit_price=D("50505"), stop_price=stop))
    order = world.lose(world.order("enter"))
    assert order.status == "absent"
    assert world.pocket("reserved", "USDT") == 0
    world.exchange.accept(order)
    return order


def found(world: World, order: Order) -> Order:
    """Have the exchange tell that an order lives."""
    return world.report(order, world.exchange.report(order.client_order_id))


def sold_twice(world: World) -> Order:
    """Have the first book sell 0.0038 BTC by an exit, while one that was called absent lives; answer the one that lives."""
    world.decide(world.propose("enter", lots=380, limit_price=D("50505")))
    world.fill(world.send(world.order("enter")), "0.0038", "50000")
    world.decide(world.propose("exit"))
    first = world.lose(world.order("exit"))
    world.decide(world.propose("exit"))
    world.fill(world.send(world.order("exit")), "0.0038", "50100")
    # The exchange has coins to lend here: a person's.
    world.exchange.free["BTC"] += 1
    world.exchange.accept(first)
    return found(world, first)


def test_an_adopted_order_reserves_again_and_halts_its_book(world: World) -> None:
    """I-08 and I-10 hold for it like for any live order; its cancel is asked for, entries stop."""
    order = found(world, lost(world))

    assert (order.status, order.reason) == ("open", "ORDER_ADOPTED")
    assert order.cancel_requested_at is not None
    assert order.closed_at is None
    assert world.pocket("reserved", "USDT") == order.reservation.remaining == D("191.919")
    assert world.memory.tables.books[1].halt_reason == "ORDER_ADOPTED"
    assert not world.memory.tables.books[2].is_halted
    assert (world.memory.tables.account.state, world.memory.tables.account.state_reason) == ("entries_halted", "ORDER_ADOPTED")
    assert [note.action for note in world.memory.tables.audits] == ["book.halt", "account.state", "order.adopt"]
    assert world.memory.wakes[-1] == "cancel"
    assert world.agrees()


def test_an_adopted_order_ends_like_any_other(world: World) -> None:
    """Its part that filled is its book's and gets its stop; the rest comes back."""
    order = found(world, lost(world, stop=D("49000")))
    world.fill(order, "0.0018", "50000", fee="0.0000018", fee_asset="BTC")
    assert world.now(order).reservation.remaining == D("0.002") * D("50505")
    order = world.end(order)

    assert order.status == "canceled"
    assert world.pocket("reserved", "USDT") == 0
    assert world.pocket("available", "USDT") == D(2000) - D(90)
    assert world.position().quantity == D("0.0017982")
    assert world.order("stop").quantity == D("0.00179")
    assert world.agrees()


def test_a_fill_alone_adopts_its_order(world: World) -> None:
    """The trade is seen before the order is: promise 2 comes first, the report follows."""
    order = lost(world)
    world.fill(order, "0.0018", "50000", fee="0.0000018", fee_asset="BTC")

    order = world.now(order)
    assert (order.status, order.reason, order.filled_quantity) == ("partial", "ORDER_ADOPTED", D("0.0018"))
    assert world.memory.tables.books[1].is_halted
    assert world.end(order).status == "canceled"
    assert world.agrees()


def test_what_its_book_no_longer_has_is_a_deficit(world: World) -> None:
    """I-07's one exception: the money went elsewhere meanwhile, the order is reserved in full all the same (I-08)."""
    order = lost(world, lots=2000)
    world.decide(world.propose("enter", lots=3000, limit_price=D("50505")))
    other = world.send(world.order("enter"))
    assert world.pocket("available", "USDT") == D("484.85")
    order = found(world, order)

    assert order.reservation.remaining == D("1010.1")
    assert world.pocket("available", "USDT") == 0
    assert world.pocket("deficit", "USDT") == D("484.85") - D("1010.1")
    assert world.agrees()

    # What comes back pays the deficit first.
    world.end(other)
    assert world.pocket("deficit", "USDT") == 0
    assert world.pocket("available", "USDT") == D(2000) - D("1010.1")
    world.end(order)
    assert world.pocket("available", "USDT") == D(2000)
    assert world.agrees()


def test_a_fill_of_an_uncovered_order_leaves_its_book_in_debt(world: World) -> None:
    """The trade is the book's, whoever's money the exchange took; its next sale pays."""
    order = lost(world, lots=2000)
    world.decide(world.propose("enter", lots=3000, limit_price=D("50505")))
    other = world.send(world.order("enter"))
    world.fill(other, "0.03", "50500")
    world.fill(order, "0.02", "50000")

    debt = D("0.03") * 50500 + D("0.02") * 50000 - 2000
    assert world.pocket("deficit", "USDT") == -debt
    assert world.pocket("available", "USDT") == 0
    assert world.position().quantity == D("0.05")
    assert world.agrees()

    world.decide(world.propose("exit"))
    sell = world.send(world.order("exit"))
    world.fill(sell, str(sell.quantity), "51000")
    assert world.pocket("deficit", "USDT") == 0
    assert world.pocket("available", "USDT") == sell.quantity * 51000 - debt
    assert world.agrees()


def test_a_sell_of_what_is_gone_owes_the_coins(world: World) -> None:
    """A lost exit lives while its coins were sold by another: the position owes, and says so below zero."""
    first = sold_twice(world)
    assert world.pocket("deficit", "BTC") == D("-0.0038")
    world.fill(first, "0.0038", "50200")

    position = world.position()
    assert (position.quantity, position.cost) == (D("-0.0038"), D("-190.76"))
    assert world.pocket("available", "BTC") + world.pocket("reserved", "BTC") + world.pocket("deficit", "BTC") == D("-0.0038")
    world.exchange.free["BTC"] -= 1
    assert world.agrees()


def test_news_that_agrees_with_the_end_is_no_incident(world: World) -> None:
    """The stream tells the beginning of an order after the answer told its end."""
    world.decide(world.propose("enter", lots=380, limit_price=D("50505")))
    order = world.send(world.order("enter"))
    beginning = world.exchange.report(order.client_order_id)
    world.end(order)
    world.report(order, beginning)

    assert world.now(order).status == "canceled"
    assert world.memory.tables.account.state == "active"


def test_an_order_adopted_twice_is_exact_twice(world: World) -> None:
    """Ended by one report, alive by the next: each time it reserves and gives back under a name of its own."""
    order = lost(world)
    alive = world.exchange.report(order.client_order_id)
    world.report(order, alive)
    world.end(order)
    world.fill_after_end(order)

    order = world.now(order)
    assert order.status == "canceled"
    assert world.pocket("reserved", "USDT") == 0
    adoptions = [movement for movement in world.memory.tables.movements if movement.kind == "adopt"]
    assert [movement.reference for movement in adoptions] == [f"{order.client_order_id}:{row.seq}" for row in adoptions]
    assert len(adoptions) == 2
    assert world.agrees()


def test_a_trade_beyond_the_order_is_refused(world: World) -> None:
    """I-15: no order is filled beyond its quantity; the transaction leaves nothing behind."""
    world.decide(world.propose("enter", lots=380, limit_price=D("50505")))
    order = world.send(world.order("enter"))
    world.fill(order, "0.0038", "50000")
    before = world.memory.journal_hash
    world.exchange.orders[order.client_order_id].quantity += 1
    with pytest.raises(Overfilled):
        world.fill(order, "0.0001", "50000")
    assert world.memory.journal_hash == before
