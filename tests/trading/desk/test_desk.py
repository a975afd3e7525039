"""What one transaction does at a desk is known to whatever asks there next, and is numbered and told as it is written."""

from __future__ import annotations

from collections.abc import Collection
from decimal import Decimal

import pytest

from tests.trading.desk.test_placing import ask, buy
from tests.trading.desk.world import World, build
from trading.desk import coordination, fills, reports
from trading.desk.memory import ConstraintBroken, MemoryStore
from trading.orders import TradeReport

D = Decimal


@pytest.fixture
def world() -> World:
    """Three funded books with nothing open."""
    return build()


def bid(world: World, book: int = 1, *, slot: int = 1, price: str = "49000") -> None:
    """Have a book ask for a bid of 0.001 BTC."""
    assert ask(world, "place", book, slot=slot, side="buy", lots=100, limit_price=D(price)).is_accepted


def trade(world: World, *, book: int = 1, instrument: int = 1) -> TradeReport:
    """Have the exchange fill a new bid and tell nobody yet."""
    price = D(49000) if instrument == 1 else D(2400)
    outcome = ask(world, "place", book, instrument=instrument, slot=9, side="buy", lots=100, limit_price=price)
    assert outcome.is_accepted
    order = world.send(world.order("place", book=book))
    return world.exchange.fill(order.client_order_id, quantity=order.quantity, price=price, fee=D(0), fee_asset="USDT")


def test_a_refused_intent_leaves_no_hole_in_the_numbers(world: World) -> None:
    """The number is part of the order's name."""
    assert not ask(world, "exit").is_accepted
    bid(world)
    assert not ask(world, "exit").is_accepted
    bid(world, slot=2)
    assert sorted(world.memory.tables.intents) == [1, 2]
    assert world.memory.tables.account.intent_seq == 2


def test_only_the_newest_intent_can_be_taken_back(world: World) -> None:
    with world.memory.transaction() as store:
        desk = world.desk(store)
        first, second = (
            desk.admit(
                store.make_intent(
                    book_id=1,
                    kind="exit",
                    instrument=desk.instrument(1),
                    side="sell",
                    lots=0,
                    reason="TEST",
                    market_at=world.market_at,
                )
            )
            for _ in range(2)
        )
        with pytest.raises(ValueError, match=r"^Only the newest intent can be taken back$"):
            desk.forget(first)
        desk.forget(second)
        desk.forget(first)
        assert desk.account.intent_seq == 0


def test_a_cancel_rings_for_the_trader_once_it_is_needed(world: World) -> None:
    """What was never sent is taken back without the exchange; what was sent is asked for, and only once."""
    bid(world)
    assert ask(world, "cancel", slot=1).is_accepted
    row = world.now(world.order("place"))
    assert (row.status, row.cancel_requested_at) == ("withdrawn", None)
    assert world.memory.wakes == ["orders"]
    bid(world)
    order = world.send(world.order("place"))
    assert ask(world, "cancel", slot=1).is_accepted
    assert world.now(order).cancel_requested_at is not None
    assert world.memory.wakes == ["orders", "orders", "cancel"]
    assert ask(world, "cancel", slot=1).is_accepted
    assert world.memory.wakes == ["orders", "orders", "cancel"]


def test_an_order_may_be_taken_back_by_the_transaction_that_makes_it(world: World) -> None:
    """Nobody can have claimed it: it is not written yet."""
    with world.at_desk() as desk:
        proposal = world.propose("place", slot=1, side="buy", lots=100, limit_price=D(49000))
        (outcome,) = coordination.coordinate(desk, [proposal])
        assert outcome.is_accepted
        assert reports.request_cancels(desk, book_ids=[1]) == 1
    assert world.now(world.order("place")).status == "withdrawn"
    assert world.pocket("available", "USDT") == D(2000)


def test_an_order_of_before_is_claimed_although_another_is_new(world: World) -> None:
    """The trader may claim it at this very moment: the row says who was first."""
    bid(world)
    old = world.order("place")
    with world.at_desk() as desk:
        coordination.coordinate(desk, [world.propose("place", slot=2, side="buy", lots=100, limit_price=D(48000))])
        coordination.coordinate(desk, [world.propose("cancel", slot=1)])
    assert world.now(old).status == "withdrawn"
    assert world.now(world.order("place")).status == "ready"


def test_what_is_posted_counts_beside_what_is_loaded_later(world: World) -> None:
    """A fill loads its own book's money; whoever asks for another's then must not lose what the fill moved."""
    news = trade(world)
    with world.at_desk(epoch=1) as desk:
        assert fills.post_fill(desk, news) is not None
        assert desk.available(2, "USDT") == D(2000)
        assert desk.available(1, "BTC") == D("0.001")
        assert desk.available(1, "USDT") == D(1951)


def test_positions_of_before_are_known_beside_one_that_a_fill_has_made(world: World) -> None:
    buy(world, lots=100)
    news = trade(world, instrument=2)
    with world.at_desk(epoch=1) as desk:
        assert fills.post_fill(desk, news) is not None
        found = {row.instrument_id: row.quantity for row in desk.positions_of(1)}
        assert found == {1: D("0.001"), 2: D("0.01")}
        assert desk.positions_of(2) == []


def test_who_never_had_a_position_has_an_empty_one_when_it_is_needed(world: World) -> None:
    buy(world, lots=100)
    with world.at_desk() as desk:
        assert desk.position(2, 1) is None
        new = desk.position_or_new(2, 1)
        assert (new.book_id, new.instrument_id, new.quantity) == (2, 1, D(0))
        assert desk.position(2, 1) is new
        assert desk.position_or_new(1, 1).quantity == D("0.001")


def test_a_book_that_never_had_a_stop_loses_none_by_a_partial_exit(world: World) -> None:
    """One that had one is marked when its exit ends without a new one."""
    for book, stop in ((1, None), (2, "49000")):
        buy(world, book=book, lots=380, stop=stop)
        assert ask(world, "exit", book, lots=100).is_accepted
        world.fill(world.send(world.order("exit", book=book)), "0.001", "50000")
    assert [world.position(book).is_unprotected for book in (1, 2)] == [False, True]


def test_a_fee_that_nobody_can_price_stops_its_book(world: World) -> None:
    """It is paid in BNB, and no price of BNB has come yet."""
    del world.memory.marks[3]
    assert ask(world, "enter", lots=100, limit_price=D("50505")).is_accepted
    world.fill(world.send(world.order("enter")), "0.001", "50000", fee="0.0001", fee_asset="BNB")
    assert (world.memory.tables.books[1].is_halted, world.memory.tables.books[1].halt_reason) == (True, "FEE_PENDING")


def test_what_a_desk_makes_is_written_as_it_is_and_known_by_name(world: World) -> None:
    """The filters that an order was checked against are on record; its trader is called once."""
    world.memory.tables.instruments[1].filters_version = 7
    bid(world)
    order = world.order("place")
    assert (order.filters_version, order.fee_ppm, order.slot) == (7, 0, 1)
    (reserve,) = [row for row in world.memory.tables.movements if row.kind == "reserve"]
    assert (reserve.reference, reserve.market_at) == (order.client_order_id, order.market_at)
    with world.at_desk() as desk:
        coordination.coordinate(desk, [world.propose("place", slot=2, side="buy", lots=100, limit_price=D(48000))])
        new = desk.live[-1]
        assert desk.order_named(new.client_order_id) is new


def test_a_price_in_doubt_has_a_reason_and_another_none(world: World) -> None:
    world.memory.price_troubles[1] = "frozen"
    with world.memory.transaction() as store:
        desk = world.desk(store)
        assert [desk.price_trouble(pair) for pair in (1, 2)] == ["frozen", ""]


@pytest.mark.parametrize(
    ("values", "held"),
    [
        ({}, {"remaining": D(48)}),
        ({}, {"initial": D(50)}),
        ({}, {"initial": D(48), "posted": D(-1)}),
        ({}, {"initial": D(48), "voided": D(-1)}),
        ({"quantity": D("-0.001"), "price": D(-49000)}, {}),
        ({"filled_quantity": D("0.0011")}, {"remaining": D("-4.9"), "posted": D("53.9")}),
        ({"filled_quantity": D("-0.0001")}, {"remaining": D("53.9"), "initial": D("53.9")}),
        ({"attempt": 2}, {}),
    ],
)
def test_memory_refuses_what_the_database_would_refuse(world: World, values: dict[str, object], held: dict[str, Decimal]) -> None:
    """I-08, I-10, I-11, I-18: an order whose row and reservation do not go together is written by nobody."""
    bid(world)
    order = world.order("place")
    wrong = order.clone()
    wrong.reservation = order.reservation.clone()
    wrong.__dict__.update(values)
    wrong.reservation.__dict__.update(held)
    words = f"^{order.client_order_id} is ready and its reservation says Reservation"
    with pytest.raises(ConstraintBroken, match=words), world.memory.transaction() as store:
        store._put_order(wrong)
    assert world.now(order) is order


def test_memory_forgets_that_an_order_lives_when_it_has_ended(world: World) -> None:
    bid(world)
    order = world.send(world.order("place"))
    assert world.memory.tables.live == {order.pk}
    world.end(order)
    assert world.memory.tables.live == set()


def test_a_decision_is_recorded_once(world: World) -> None:
    """The same candle decided twice is a fault of whoever asks; the second leaves nothing behind."""
    proposal = world.propose("hold")
    with world.at_desk() as desk:
        coordination.coordinate(desk, [proposal])
    before = world.memory.tables
    with pytest.raises(ConstraintBroken, match=r"^There is a Decision \(1, .*, 1\) already$"), world.at_desk() as desk:
        coordination.coordinate(desk, [proposal])
    assert world.memory.tables is before


def test_the_pairs_of_all_that_is_to_be_done_are_loaded_in_one_go(world: World) -> None:
    """And those of what is only noted are not."""
    asked: list[set[int]] = []
    honest = MemoryStore.instruments

    def noted(store: MemoryStore, pairs: Collection[int]) -> object:
        asked.append(set(pairs))
        return honest(store, pairs)

    bids = [
        world.propose("place", 1, pair, side="buy", lots=100, limit_price=D(price)) for pair, price in ((1, 49000), (2, 2400))
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MemoryStore, "instruments", noted)
        world.decide(*bids, world.propose("hold", 2, 3))
    assert asked == [{1, 2}]
