"""Trades that come late, fees that are paid back, and the cap of a book's position."""

from __future__ import annotations

from decimal import Decimal
from itertools import permutations

import pytest

from tests.trading.desk.world import World, build
from trading.desk.desk import Desk
from trading.desk.memory import MemoryStore
from trading.desk.plain import Order
from trading.orders import TradeReport
from trading.settlement import AVAILABLE, FEE_POOL

D = Decimal


@pytest.fixture
def world() -> World:
    """Three funded books."""
    return build()


def entered(world: World, *, lots: int = 1000, limit: str = "50505", book: int = 1) -> Order:
    """Have a book enter and send the order."""
    (outcome,) = world.decide(world.propose("enter", book, lots=lots, limit_price=D(limit)))
    assert outcome.is_accepted, outcome
    return world.send(world.order("enter", book=book))


def trade(world: World, order: Order, quantity: str, price: str, *, fee: str = "0", asset: str = "USDT") -> TradeReport:
    """Have the exchange trade and tell nobody yet."""
    return world.exchange.fill(order.client_order_id, quantity=D(quantity), price=D(price), fee=D(fee), fee_asset=asset)


def figures(world: World) -> tuple[Decimal, ...]:
    """Return what a position and its fills say."""
    row = world.position()
    realised = [fill.realised for _, fill in sorted(world.memory.tables.fills.items())]
    return (row.quantity, row.cost, row.realised, row.fees, *realised)


@pytest.mark.fault("U03")
def test_the_order_of_arrival_does_not_matter() -> None:
    """I-21: whatever comes late, position and gains are those of the trades' own order."""
    results = set()
    for arrival in permutations(range(4)):
        world = build()
        entry = entered(world)
        world.post(trade(world, entry, "0.004", "50000"))
        world.decide(world.propose("exit", lots=300))
        sell = world.send(world.order("exit"))
        trades = [
            trade(world, entry, "0.002", "50200", fee="0.000002", asset="BTC"),
            trade(world, sell, "0.001", "50300", fee="0.05"),
            trade(world, entry, "0.004", "50400", fee="0.0004", asset="BNB"),
            trade(world, sell, "0.002", "50100"),
        ]
        for n in arrival:
            assert world.post(trades[n])
        assert world.agrees()
        results.add(figures(world))
    assert len(results) == 1


def test_a_page_of_trades_ends_where_single_ones_do() -> None:
    """Posted together or one by one, with repeats and late ones among them: the same books, the same fills."""
    worlds = []
    for is_page in (True, False):
        world = build()
        entry = entered(world)
        second = entered(world, book=2, lots=500)
        trades = [
            trade(world, order, "0.001", str(50000 + n), fee="0.0000001", asset="BNB")
            for n in range(5)
            for order in (entry, second)
        ]
        for early in (trades[6], trades[9]):
            world.post(early)
        if is_page:
            assert world.post_page([*trades, trades[3]]) == 8
            assert world.post_page(trades) == 0
        else:
            assert sum(world.post(row) for row in trades) == 8
        assert world.agrees()
        assert world.now(second).status == "filled"
        worlds.append((figures(world), world.memory.tables.pockets, world.memory.tables.account.trades_posted))
    assert worlds[0] == worlds[1]


def test_a_late_fill_reads_only_what_came_after_it(world: World) -> None:
    """A history of years is not folded again for one late trade."""
    entry = entered(world)
    late = trade(world, entry, "0.001", "50100")
    for n in range(3):
        world.post(trade(world, entry, "0.001", str(50200 + n)))
    asked: list[int] = []
    honest = MemoryStore.fills_after

    def counted(store: MemoryStore, book_id: int, instrument_id: int, report: TradeReport) -> object:
        rows = honest(store, book_id, instrument_id, report)
        asked.append(len(rows))
        return rows

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MemoryStore, "fills_after", counted)
        world.post(trade(world, entry, "0.001", "50300"))
        assert asked == []
        world.post(late)
        assert asked == [4]


@pytest.mark.parametrize(
    ("fee", "asset", "kind", "pool"),
    [("-0.05", "USDT", "available", "USDT"), ("-0.000001", "BTC", "available", "BTC"), ("-0.0001", "BNB", "fee_pool", "BNB")],
)
@pytest.mark.fault("E39")
def test_a_rebate_is_received(world: World, fee: str, asset: str, kind: str, pool: str) -> None:
    """A fee below zero comes in: to the book in its own assets, to the pool in a third; nobody is halted for it."""
    entry = entered(world)
    book = 1 if kind == AVAILABLE else None
    world.post(trade(world, entry, "0.005", "50000"))
    before = world.pocket(kind, pool, book=book)
    world.post(trade(world, entry, "0.005", "50505", fee=fee, asset=asset))

    moved = world.pocket(kind, pool, book=book) - before
    expected = {"USDT": D("0.05"), "BTC": D("0.005") - D(fee), "BNB": D("0.0001")}[asset]
    assert moved == expected
    assert world.agrees()
    assert not world.memory.tables.books[1].is_halted
    assert world.memory.tables.account.state == "active"


def test_a_rebate_in_a_third_asset_is_worth_its_mark_to_the_book(world: World) -> None:
    """The pool keeps the coins and pays their worth, rounded down, as far as it has quote."""
    entry = entered(world)
    world.post(trade(world, entry, "0.002", "50000", fee="0.001", asset="BNB"))
    assert world.pocket(FEE_POOL, "USDT", book=None) == D("0.4")
    world.post(trade(world, entry, "0.002", "50505", fee="-0.0004000001", asset="BNB"))
    assert world.pocket(FEE_POOL, "USDT", book=None) == D("0.4") - D("0.16000004")
    assert world.position().fees == D("0.4") - D("0.16000004")
    world.post(trade(world, entry, "0.002", "50505", fee="-1", asset="BNB"))
    assert world.pocket(FEE_POOL, "USDT", book=None) == 0
    assert world.agrees()


def test_an_entry_inside_a_rival_counts_what_it_was_sized_for(world: World) -> None:
    """The limit goes down a tick inside another bot's ask; the position that it may become does not."""
    world.memory.tables.books[1].position_cap_percent = D(10)
    world.fill(entered(world, book=2), "0.01", "50000")
    world.decide(world.propose("place", 2, side="sell", lots=1000, limit_price=D("50100"), slot=1))
    world.send(world.order("place", book=2))

    # Sized for 50000, so 200 of equity buy 400 lots and no more, whatever the limit has become.
    refused, accepted = (world.decide(world.propose("enter", lots=lots, limit_price=D("50500")))[0] for lots in (401, 400))
    assert (refused.code, accepted.is_accepted) == ("RISK_POSITION_CAP", True)
    order = world.order("enter")
    assert (order.price, order.intent.expected_price) == (D("50099.99"), D(50000))
    # In flight it counts in full: one lot more does not fit.
    again = world.decide(world.propose("enter", lots=10, limit_price=D("50500")))[0]
    assert (again.code, again.facts["exposure"]) == ("RISK_POSITION_CAP", "205")


def test_uncommitted_changes_vanish(world: World) -> None:
    """A crash inside a transaction leaves nothing: not a row, not a doorbell, not a link of the chain."""
    before = world.memory.tables

    def crash() -> None:
        with world.memory.transaction() as store:
            desk = Desk(store, store.account, market_at=world.market_at, now=world.market_at)
            desk.wake("orders")
            desk.halt_book(1, "TEST")
            desk.write()
            raise RuntimeError("crash")

    with pytest.raises(RuntimeError, match="crash"):
        crash()
    assert world.memory.tables is before
    assert not world.memory.tables.books[1].is_halted
    assert world.memory.wakes == []
