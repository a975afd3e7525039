"""A hard stop, and what comes late after a book was sold out: so much is sold, and what stays keeps its stop."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.trading.desk.test_mode_rules import perform
from tests.trading.desk.test_placing import ask, buy, intents
from tests.trading.desk.test_selling_out import doubt, flatten, sell, sells
from tests.trading.desk.world import World, build
from trading.desk import reports, standing_down
from trading.desk.plain import Order
from trading.handover import Act
from trading.orders import ExchangeStatus

D = Decimal
HARD_STOP = "RISK_HARD_STOP"


@pytest.fixture
def world() -> World:
    """Three funded books; the first holds 0.0038 BTC bought at 50,000, without a stop."""
    world = build()
    buy(world, lots=380)
    return world


def stand_down(world: World, book: int = 1) -> int:
    """Take a book out of the market."""
    with world.at_desk() as desk:
        return standing_down.stand_down(desk, book, reason=HARD_STOP)


def rest(world: World, book: int, *, side: str = "buy", price: str = "2400", instrument: int = 2) -> Order:
    """Have a book rest an order that is not sent."""
    lots = 100 if instrument == 2 else 50
    assert ask(world, "place", book, instrument=instrument, side=side, lots=lots, limit_price=D(price)).is_accepted
    return world.order("place", book=book)


def come_late(world: World, order: Order, quantity: str, price: str = "49000") -> None:
    """Have the exchange tell of an order of unknown fate: it filled so much and was cancelled then."""
    world.report(order, world.exchange.accept(order))
    world.fill(order, quantity, price)
    if D(quantity) < order.quantity:
        world.end(order)


def begin_anew(world: World, lost: Order, *, lots: int = 200, stop: str | None = None) -> None:
    """Sell the book out, call its order in doubt absent, and have it buy again."""
    assert flatten(world) == 1
    sell(world, sells(world)[-1])
    with world.at_desk() as desk:
        reports.mark_absent(desk, lost.pk)
    buy(world, lots=lots, stop=stop)


def test_a_hard_stop_takes_back_the_entries_of_its_own_book() -> None:
    """What cannot be sold keeps its stop; what other books ask for is theirs."""
    world = build()
    buy(world, lots=380, stop="49000")
    world.memory.marks[1] = D(1000)
    own, others = rest(world, 1), rest(world, 2)
    assert stand_down(world) == 0
    assert [world.now(row).status for row in (own, others, world.order("stop"))] == ["withdrawn", "ready", "ready"]
    assert world.memory.tables.books[1].flattened_seq == world.memory.tables.account.intent_seq


def test_a_hard_stop_gives_up_entries_that_wait() -> None:
    """They wait behind a cancel; so does a stop, and the entry of another book: both stay."""
    world = build()
    buy(world, lots=380, stop="49000")
    world.send(world.order("stop"))
    world.memory.marks[1] = D(1000)
    ask(world, "move_stop", stop_price=D(49100))
    for book in (1, 2):
        world.send(rest(world, book))
        assert ask(world, "cancel", book, instrument=2).is_accepted
        assert ask(world, "place", book, instrument=2, side="buy", lots=100, limit_price=D(2300)).is_accepted
    assert stand_down(world) == 0
    states = [(row.book_id, row.kind, row.state, row.drop_reason) for row in world.memory.tables.intents.values()]
    assert states[-3:] == [(1, "place", "dropped", HARD_STOP), (2, "place", "ordered", ""), (2, "place", "waiting", "")]
    assert intents(world, "stop")[-1].state == "waiting"


def test_a_flatten_gives_up_all_that_waits_for_its_book_and_nothing_of_others(world: World) -> None:
    for book in (1, 2):
        world.send(rest(world, book))
        assert ask(world, "cancel", book, instrument=2).is_accepted
        assert ask(world, "place", book, instrument=2, side="buy", lots=100, limit_price=D(2300)).is_accepted
    version = world.memory.tables.books[1].version
    assert flatten(world) == 1
    waited = [row for row in intents(world, "place") if row.limit_price == D(2300)]
    assert [(row.book_id, row.state, row.drop_reason) for row in waited] == [(1, "dropped", "TEST"), (2, "waiting", "")]
    assert world.memory.tables.books[1].version == version + 1, "its pages are told"


def test_a_flatten_sells_what_an_exit_on_its_way_leaves(world: World) -> None:
    """A bot sells a part at the very moment at which a person sells all."""
    assert ask(world, "exit", lots=100).is_accepted
    exit_ = world.send(world.order("exit"))
    assert flatten(world) == 1
    assert sells(world) == []
    world.fill(exit_, "0.001", "50000")
    assert sells(world)[-1].quantity == D("0.0028")
    sell(world, sells(world)[-1])
    assert world.position().quantity == 0


def test_a_flatten_behind_an_exit_that_sells_all_has_nothing_left_to_do(world: World) -> None:
    assert ask(world, "exit").is_accepted
    exit_ = world.send(world.order("exit"))
    assert flatten(world) == 1
    world.fill(exit_, "0.0038", "50000")
    (asked,) = intents(world, "flatten")
    assert (sells(world), asked.state, asked.drop_reason) == ([], "dropped", "POSITION_EMPTY")


def test_a_hard_stop_may_be_repeated(world: World) -> None:
    assert (stand_down(world), stand_down(world)) == (1, 0)
    assert [row.intent.reason for row in sells(world)] == [HARD_STOP]


def test_of_what_a_book_has_bought_anew_only_what_came_late_is_sold(world: World) -> None:
    """It began again with 0.002 BTC behind a stop; a bid of before brings 0.001 more."""
    bid = rest(world, 1, instrument=1, price="49000")
    doubt(world, bid)
    begin_anew(world, bid, stop="48000")
    stop = world.send(world.order("stop"))
    come_late(world, bid, "0.0004")
    (late,) = [row for row in intents(world, "flatten") if row.reason == "LATE_AFTER_FLATTEN"]
    assert (late.state, late.market_at) == ("waiting", world.exchange.clock)
    world.end(stop)
    sale = sells(world)[-1]
    assert sale.quantity == D("0.0004")
    sell(world, sale)
    assert (world.order("stop").quantity, world.order("stop").stop_price) == (D("0.002"), D(48000))
    assert (world.position().stop_price, world.position().is_unprotected) == (D(48000), False)


def test_of_a_resting_sale_that_ends_late_only_its_rest_is_sold(world: World) -> None:
    """0.0005 were offered, 0.0002 of them sold: 0.0003 come back, beside what another book has handed on since."""
    buy(world, book=2, lots=380)
    sale = rest(world, 1, instrument=1, side="sell", price="52000")
    doubt(world, sale)
    assert flatten(world) == 1
    sell(world, sells(world)[-1])
    (handed,) = perform(world, Act.HAND_ON, book=2, incoming=frozenset({1}))
    assert handed.quantity == D("0.0038")
    come_late(world, sale, "0.0002", "52000")
    assert sells(world)[-1].quantity == D("0.0003")
    assert sells(world)[-1].intent.reason == "LATE_AFTER_FLATTEN"


def test_a_bid_of_before_that_brought_nothing_sells_nothing(world: World) -> None:
    """Another book has handed coins on since: they are no business of the bid's."""
    buy(world, book=2, lots=380)
    bid = rest(world, 1, instrument=1, price="49000")
    doubt(world, bid)
    assert flatten(world) == 1
    sell(world, sells(world)[-1])
    perform(world, Act.HAND_ON, book=2, incoming=frozenset({1}))
    with world.at_desk(epoch=1) as desk:
        reports.mark_absent(desk, bid.pk)
    assert (len(sells(world)), world.position().quantity) == (1, D("0.0038"))


def test_a_resting_sale_that_a_hard_stop_left_is_no_business_of_its_own(world: World) -> None:
    """It was dust then; when the exchange ends the sale, its price is back, and nobody has asked for more."""
    sale = world.send(rest(world, 1, instrument=1, side="sell", price="52000"))
    world.memory.marks[1] = D(1000)
    assert stand_down(world) == 0
    world.memory.marks[1] = D(50000)
    world.end(sale, ExchangeStatus.EXPIRED)
    assert sells(world) == []


def late_entry(world: World, *, lots: int = 100) -> Order:
    """Have the book's entry with a stop end up in doubt, and the book sold out."""
    assert ask(world, "enter", lots=lots, limit_price=D("50505"), stop_price=D(47000)).is_accepted
    entry = world.order("enter")
    doubt(world, entry)
    return entry


def test_what_comes_behind_a_sale_needs_no_stop(world: World) -> None:
    entry = late_entry(world)
    flatten(world)
    world.send(sells(world)[-1])
    come_late(world, entry, "0.001", "50000")
    assert [row.state for row in intents(world, "flatten")] == ["ordered", "waiting"]
    assert intents(world, "stop") == []


def test_what_comes_before_a_sale_that_waits_needs_no_stop(world: World) -> None:
    """The sale waits for the cancel of the very entry, and sells what it brought as well."""
    assert ask(world, "enter", lots=100, limit_price=D("50505"), stop_price=D(47000)).is_accepted
    entry = world.send(world.order("enter"))
    assert flatten(world) == 1
    world.fill(entry, "0.0004", "50000")
    assert sells(world) == []
    world.end(entry)
    assert sells(world)[-1].quantity == D("0.0042")
    assert intents(world, "stop") == []


def test_what_comes_late_and_is_too_little_to_sell_stays_behind_its_stop(world: World) -> None:
    """0.00005 BTC are worth 2.50: no order. The book holds more by now, so all of it gets the stop of the late entry."""
    entry = late_entry(world)
    begin_anew(world, entry)
    before = world.memory.tables.account.intent_seq
    come_late(world, entry, "0.00005", "50000")
    assert [row.reason for row in intents(world, "flatten")] == ["TEST"]
    assert (world.order("stop").quantity, world.order("stop").stop_price) == (D("0.00205"), D(47000))
    assert world.memory.tables.account.intent_seq == before + 1


def test_what_comes_late_and_has_no_price_stays_behind_its_stop(world: World) -> None:
    entry = late_entry(world)
    assert flatten(world) == 1
    sell(world, sells(world)[-1])
    del world.memory.marks[1]
    come_late(world, entry, "0.001", "50000")
    assert len(sells(world)) == 1
    assert (world.order("stop").quantity, world.order("stop").stop_price) == (D("0.001"), D(47000))


def test_a_stop_of_dust_that_is_replaced_after_a_hard_stop_is_no_reason_to_sell() -> None:
    """Whoever moved it looks after the position."""
    world = build()
    buy(world, lots=380, stop="49000")
    old = world.send(world.order("stop"))
    world.memory.marks[1] = D(1000)
    assert stand_down(world) == 0
    world.memory.marks[1] = D(50000)
    assert ask(world, "move_stop", stop_price=D(49500)).is_accepted
    world.end(old)
    assert sells(world) == []
    assert (world.order("stop").stop_price, world.now(world.order("stop")).status) == (D(49500), "ready")


def test_an_entry_that_bought_nothing_asks_for_no_stop() -> None:
    world = build()
    assert ask(world, "enter", lots=100, limit_price=D("50505"), stop_price=D(47000)).is_accepted
    world.end(world.send(world.order("enter")))
    assert intents(world, "stop") == []


def request_cancels(world: World) -> int:
    """Ask for the cancel of all that the first book has."""
    with world.at_desk() as desk:
        return reports.request_cancels(desk, book_ids=[1])


def test_a_bid_that_is_taken_back_costs_no_stop(world: World) -> None:
    """The book never had one: nothing was lost, whether the bid was written or waited."""
    rest(world, 1, instrument=1, price="49000")
    assert request_cancels(world) == 1
    assert not world.position().is_unprotected
    world.send(rest(world, 1, instrument=1, price="49000"))
    ask(world, "cancel")
    assert ask(world, "place", side="buy", lots=50, limit_price=D(48900)).is_accepted
    assert request_cancels(world) == 2
    dropped = intents(world, "place")[-1]
    assert (dropped.state, dropped.drop_reason) == ("dropped", "CANCEL_REQUESTED")
    assert not world.position().is_unprotected


def test_a_crumb_that_a_stop_leaves_needs_no_other() -> None:
    """A fee in coins left less than a lot: there is nothing that a stop could sell."""
    world = build()
    assert ask(world, "enter", lots=380, limit_price=D("50505"), stop_price=D(49000)).is_accepted
    world.fill(world.send(world.order("enter")), "0.0038", "50000", fee="0.0000038", fee_asset="BTC")
    stop = world.send(world.order("stop"))
    world.fill(stop, str(stop.quantity), "48900")
    assert (world.position().quantity, world.position().is_unprotected) == (D("0.0000062"), False)
