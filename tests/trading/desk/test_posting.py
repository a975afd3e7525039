"""What the ledger says of a trade, and what is loaded to post it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from tests.trading.desk.test_adoption import lost
from tests.trading.desk.test_placing import ask
from tests.trading.desk.world import NOW, World, build
from trading.desk import claims, reservations
from trading.desk.fills import Overfilled
from trading.desk.memory import MemoryStore
from trading.desk.plain import Order
from trading.desk.reservations import ReservationInexact
from trading.desk.store import Movement, OwnerUnknown
from trading.orders import TradeReport, client_order_id

D = Decimal
OURS = client_order_id("t1", 1, 99)


@pytest.fixture
def world() -> World:
    """Three funded books with nothing open."""
    return build()


def entered(world: World) -> Order:
    """Have the first book's entry of 0.001 BTC sent."""
    assert ask(world, "enter", lots=100, limit_price=D("50505")).is_accepted
    return world.send(world.order("enter"))


def by_hand(world: World, name: str | None = "web_1") -> TradeReport:
    """Have a person buy on the website."""
    order = entered(world)
    trade = world.exchange.fill(order.client_order_id, quantity=D("0.0001"), price=D(50000), fee=D(0), fee_asset="USDT")
    return replace(trade, trade_id=77, exchange_order_id="5", client_order_id=name)


def posted(world: World) -> Movement:
    """Return the newest movement of a trade."""
    return [row for row in world.memory.tables.movements if row.kind == "fill"][-1]


def test_the_ledger_names_the_trade_and_its_order(world: World) -> None:
    order = entered(world)
    world.fill(order, "0.001", "50000")
    movement = posted(world)
    assert (movement.reference, movement.facts) == ("BTCUSDT:1", {"order": order.client_order_id})
    assert movement.market_at == world.exchange.trades[-1].traded_at


def test_a_trade_without_a_name_belongs_to_the_order_whose_number_it_tells(world: World) -> None:
    order = entered(world)
    trade = world.exchange.fill(order.client_order_id, quantity=D("0.0004"), price=D(50000), fee=D(0), fee_asset="USDT")
    assert world.post(replace(trade, client_order_id=None))
    assert posted(world).facts == {"order": order.client_order_id}


def test_a_persons_trade_is_named_as_the_exchange_names_it(world: World) -> None:
    assert world.post(by_hand(world))
    assert posted(world).facts == {"order": "web_1"}
    (fill,) = world.memory.tables.fills.values()
    assert (fill.book_id, fill.order) == (None, None)


@pytest.mark.parametrize(
    ("name", "symbol", "words"),
    [
        (None, "BTCUSDT", "Nobody here knows BTC/USDT order 5"),
        (OURS, "BTCUSDT", f"No order {OURS} is on record, yet the name is ours"),
        ("t1-1-1-ek", "ETHUSDT", "t1-1-1-ek is an order in BTC/USDT, not in ETHUSDT"),
    ],
    ids=["no-name", "a-name-of-ours", "another-pair"],
)
def test_a_trade_of_ours_whose_order_is_not_found_waits(world: World, name: str | None, symbol: str, words: str) -> None:
    """The order must be read from the exchange first; posted as a person's it would leave its book."""
    trade = replace(by_hand(world, name), symbol=symbol)
    assert world.order("enter").client_order_id == "t1-1-1-ek"
    with pytest.raises(OwnerUnknown, match=f"^{words}$"):
        world.post(trade)


def test_a_name_of_another_deployment_is_a_persons(world: World) -> None:
    name = client_order_id("t2", 1, 99)
    assert world.post(by_hand(world, name))
    assert posted(world).facts == {"order": name}


def test_a_fee_that_could_not_be_taken_is_owed_in_the_ledger(world: World) -> None:
    """As long as nobody knows its price, how much is not said."""
    del world.memory.marks[3]
    order = entered(world)
    world.fill(order, "0.0005", "50000", fee="0.0001", fee_asset="BNB")
    assert posted(world).facts == {"order": order.client_order_id, "fee_owed": ""}


def test_a_fee_that_a_book_is_too_poor_for_is_owed_in_part(world: World) -> None:
    """0.002 USDT are left of 2,000, and 0.0001 BNB cost 0.04."""
    assert ask(world, "enter", lots=3960, limit_price=D("50505")).is_accepted
    order = world.send(world.order("enter"))
    world.fill(order, "0.0396", "50505", fee="0.0001", fee_asset="BNB")
    assert posted(world).facts == {"order": order.client_order_id, "fee_owed": "0.038"}
    assert world.pocket("available", "USDT") == 0


def test_a_trade_loads_the_money_of_its_own_book_alone(world: World) -> None:
    """An account may have hundreds; the same goes for the state of an order, and for positions."""
    asked: list[object] = []
    honest, all_positions = MemoryStore.pockets, MemoryStore.positions

    def counted(store: MemoryStore, book_ids: Collection[int] | None) -> object:
        asked.append(None if book_ids is None else tuple(book_ids))
        return honest(store, book_ids)

    def noted(store: MemoryStore) -> object:
        asked.append("positions")
        return all_positions(store)

    assert ask(world, "enter", lots=380, limit_price=D("50505"), stop_price=D(49000)).is_accepted
    world.fill(world.send(world.order("enter")), "0.0038", "50000")
    stop = world.send(world.order("stop"))
    order, persons = entered(world), by_hand(world)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MemoryStore, "pockets", counted)
        patch.setattr(MemoryStore, "positions", noted)
        world.fill(stop, "0.0038", "48000")
        world.end(order)
        world.post(persons)
    assert asked == [(1,), (1,), ()]


def test_a_fill_keeps_all_that_the_exchange_said(world: World) -> None:
    order = entered(world)
    trade = world.exchange.fill(order.client_order_id, quantity=D("0.0004"), price=D(50100), fee=D("0.02"), fee_asset="USDT")
    assert world.post(replace(trade, is_maker=True))
    (fill,) = world.memory.tables.fills.values()
    assert (fill.book_id, fill.side, fill.quantity, fill.price, fill.quote_quantity) == (
        1,
        "buy",
        D("0.0004"),
        D(50100),
        D("20.04"),
    )
    assert (fill.fee, fill.fee_asset, fill.fee_quote, fill.is_maker) == (D("0.02"), "USDT", D("0.02"), True)
    assert (fill.traded_at, fill.posted_at) == (trade.traded_at, NOW)


def test_a_trade_that_comes_before_any_answer_tells_of_its_order(world: World) -> None:
    """The exchange has it: since now, under this number; an answer that comes later changes neither."""
    assert ask(world, "enter", lots=100, limit_price=D("50505")).is_accepted
    order = world.order("enter")
    assert world.claim(order, claims.sending(epoch=1, now=NOW))
    world.exchange.accept(order)
    world.fill(order, "0.0004", "50000")
    row = world.now(order)
    assert (row.status, row.exchange_order_id, row.acknowledged_at) == ("partial", "1000", NOW)
    report = replace(world.exchange.report(order.client_order_id), exchange_order_id="")
    world.memory.tables.orders[order.pk].acknowledged_at = NOW - timedelta(seconds=3)
    world.report(order, report)
    world.fill(order, "0.0001", "50000")
    row = world.now(order)
    assert (row.exchange_order_id, row.acknowledged_at) == ("1000", NOW - timedelta(seconds=3))


def test_an_answer_tells_the_number_of_its_order_and_when_it_came(world: World) -> None:
    row = world.now(entered(world))
    assert (row.exchange_order_id, row.acknowledged_at) == ("1000", NOW)


def test_a_position_is_open_from_its_first_whole_lot_on(world: World) -> None:
    world.memory.marks[1] = D(600_000)
    assert ask(world, "enter", lots=3, limit_price=D(606_000)).is_accepted
    order = world.send(world.order("enter"))
    world.fill(order, "0.00001", "600000")
    first = world.exchange.trades[-1].traded_at
    assert (world.position().opened_at, world.position().version) == (first, 1)
    world.fill(order, "0.00001", "600000")
    world.fill(order, "0.00001", "600000")
    assert (world.position().opened_at, world.position().version) == (first, 3)


def test_a_trade_that_costs_more_than_there_is_stops_its_book_and_all_entries(world: World) -> None:
    """It was dearer than its limit by 100 USDT, and the pool is short of a BNB: reality wins, and a person looks."""
    assert ask(world, "enter", lots=3000, limit_price=D("50505")).is_accepted
    order = world.send(world.order("enter"))
    world.fill(order, "0.03", "70000", fee="4", fee_asset="BNB")
    book, account = world.memory.tables.books[1], world.memory.tables.account
    assert (book.is_halted, book.halt_reason) == (True, "LEDGER_SHORTFALL 1 BNB 100 USDT")
    assert (account.state, account.state_reason) == ("entries_halted", "RECONCILE_RESIDUAL")


def test_a_persons_trade_that_costs_more_than_there_is_stops_all_entries_and_no_book(world: World) -> None:
    """The operator has no free money at all: it was the books' that the exchange took."""
    assert world.post(by_hand(world))
    assert not any(book.is_halted for book in world.memory.tables.books.values())
    assert world.memory.tables.account.state_reason == "RECONCILE_RESIDUAL"


def test_a_trade_that_is_too_large_says_for_which_order(world: World) -> None:
    order = entered(world)
    world.exchange.orders[order.client_order_id].quantity += 1
    with pytest.raises(Overfilled, match=f"^Trade 1 would fill {order.client_order_id} beyond 0.001$"):
        world.fill(order, "0.002", "50000")


def test_an_order_that_a_trade_proves_alive_is_adopted_because_it_traded(world: World) -> None:
    world.fill(lost(world), "0.0018", "50000")
    note = world.memory.tables.audits[-1]
    assert (note.action, note.after["exchange_status"]) == ("order.adopt", "traded")


@pytest.mark.parametrize(("ppm", "counted"), [(0, "0"), (1, "0.03")])
def test_a_fee_counts_on_its_order_where_the_order_held_it(world: World, ppm: int, counted: str) -> None:
    world.memory.tables.account.buy_fee_ppm = ppm
    order = entered(world)
    world.fill(order, "0.0005", "50000", fee="0.03", fee_asset="USDT")
    assert world.now(order).filled_fee == D(counted)


def test_a_reservation_that_is_not_the_worst_case_is_refused_while_its_order_lives(world: World) -> None:
    """I-08."""
    order = entered(world).clone()
    order.reservation = order.reservation.clone()
    reservations.check(order)
    order.reservation.remaining += 1
    words = f"^{order.client_order_id} reserves 51.50500 where 50.50500 is its worst case$"
    with pytest.raises(ReservationInexact, match=words):
        reservations.check(order)
    order.status = "canceled"
    order.reservation.remaining = D(0)
    reservations.check(order)
