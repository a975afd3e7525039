"""What stands before an order: each rule refuses at its edge, with its code and its figures, and nothing short of it."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from tests.trading.desk.test_placing import ask, buy
from tests.trading.desk.test_risk_rules import hold, told
from tests.trading.desk.world import BAR, World, build
from trading.proposals import Outcome

D = Decimal


@pytest.fixture
def world() -> World:
    """Three books with 2,000 USDT each and nothing open."""
    world = build()
    for book in world.memory.tables.books.values():
        book.position_cap_percent = D(500)
    return world


def enter(world: World, book: int = 1, *, lots: int = 100, limit: str = "50500", **values: Any) -> Outcome:
    """Have a book ask for BTC at 50,000 and a collar of one percent."""
    return ask(world, "enter", book, lots=lots, limit_price=D(limit), **values)


def place(world: World, side: str = "buy", *, book: int = 1, lots: int = 100, price: str = "49000", **values: Any) -> Outcome:
    """Have a book ask for a resting order."""
    return ask(world, "place", book, side=side, lots=lots, limit_price=D(price), **values)


def test_a_killed_account_orders_nothing_but_exits(world: World) -> None:
    buy(world, lots=380)
    account = world.memory.tables.account
    account.is_killed, account.killed_reason = True, "BY_HAND"
    for outcome in (enter(world), place(world), place(world, "sell", price="52000")):
        assert told(outcome) == ("KILL_ACTIVE", {"reason": "BY_HAND"})
    assert ask(world, "exit").is_accepted


@pytest.mark.parametrize(
    ("state", "reason", "code"),
    [("entries_halted", "RECONCILE_RESIDUAL", "RECONCILE_RESIDUAL"), ("halted", "", "ACCOUNT_HALTED")],
)
def test_a_halted_account_buys_nothing_and_sells_what_it_has(world: World, state: str, reason: str, code: str) -> None:
    buy(world, lots=380)
    account = world.memory.tables.account
    account.state, account.state_reason = state, reason
    assert told(enter(world)) == (code, {"account_state": state})
    assert place(world, "sell", price="52000").is_accepted


@pytest.mark.parametrize(("reason", "code"), [("FEE_PENDING", "FEE_PENDING"), ("", "BOOK_HALTED")])
def test_a_halted_book_buys_nothing_and_the_others_do(world: World, reason: str, code: str) -> None:
    world.memory.tables.books[1].is_halted, world.memory.tables.books[1].halt_reason = True, reason
    assert told(enter(world)) == (code, {"book": "Book 1"})
    assert enter(world, 2).is_accepted


def test_a_book_that_is_switched_off_buys_nothing(world: World) -> None:
    world.memory.tables.books[1].is_active = False
    assert told(enter(world)) == ("MODE_BOT_NOT_ACTIVE", {"book": "Book 1"})


def test_nothing_is_bought_by_prices_in_doubt_and_everything_may_be_sold(world: World) -> None:
    buy(world, lots=380)
    world.memory.price_troubles[1] = "frozen"
    assert told(enter(world)) == ("DATA_STALE", {"prices": "frozen"})
    assert ask(world, "enter", instrument=2, lots=100, limit_price=D("2525")).is_accepted
    assert place(world, "sell", price="52000").is_accepted


def test_a_book_may_enter_so_often_in_a_minute(world: World) -> None:
    """Of market time: what was ordered a minute ago or earlier no longer counts, what this very candle orders does."""
    world.memory.tables.books[1].orders_per_minute = 2
    proposals = [world.propose("enter", book, lots=100, limit_price=D(50500)) for book in (1, 2, 1, 1, 2)]
    first, _, second, third, others = world.decide(*proposals)
    assert (first.is_accepted, second.is_accepted, others.is_accepted) == (True, True, True)
    assert told(third) == ("RISK_ORDER_RATE", {"orders_last_minute": 2, "limit": 2})
    assert enter(world).is_accepted
    world.market_at -= BAR
    assert enter(world).is_accepted
    world.market_at -= BAR
    assert told(enter(world))[0] == "RISK_ORDER_RATE"


@pytest.mark.parametrize(("lots", "is_taken"), [(9, False), (10, True), (50, True), (51, False)])
def test_a_quantity_is_within_what_the_exchange_takes(world: World, lots: int, is_taken: bool) -> None:
    instrument = world.memory.tables.instruments[1]
    instrument.quantity_min, instrument.quantity_max = D("0.0001"), D("0.0005")
    outcome = place(world, lots=lots, price="50000")
    assert outcome.is_accepted is is_taken
    if not is_taken:
        facts = {"quantity": f"{lots * D('0.00001'):f}".rstrip("0"), "quantity_min": "0.0001", "quantity_max": "0.0005"}
        assert told(outcome) == ("FILTER_LOT_SIZE", facts)


@pytest.mark.parametrize("price", ["49000.005", "0"])
def test_a_price_is_a_whole_number_of_ticks_and_above_nothing(world: World, price: str) -> None:
    assert told(place(world, price=price)) == ("FILTER_PRICE", {"price": price, "tick_size": "0.01"})


def test_an_order_is_worth_the_least_or_more(world: World) -> None:
    assert place(world, lots=10, price="50000").is_accepted
    facts = {"notional": "4.999999", "notional_min": "5"}
    assert told(place(world, lots=10, price="49999.99")) == ("FILTER_MIN_NOTIONAL", facts)


def test_no_lots_are_no_order(world: World) -> None:
    world.memory.tables.instruments[1].quantity_min = D(0)
    world.memory.tables.instruments[1].notional_min = D(0)
    assert place(world, lots=0).code == "FILTER_LOT_SIZE"
    assert place(world, lots=1).is_accepted


def test_orders_of_a_pair_have_places_that_all_books_share(world: World) -> None:
    world.memory.tables.instruments[1].order_count_max = 2
    assert place(world, book=2).is_accepted
    assert place(world, book=3, price="48000").is_accepted
    assert told(place(world)) == ("FILTER_MAX_NUM_ORDERS", {"orders": 2, "limit": 2})
    assert place(world, instrument=2, price="2400").is_accepted


@pytest.mark.fault("E24")
def test_resting_orders_leave_places_for_the_exits_of_other_bots(world: World) -> None:
    """E24: at its limit the exchange refuses a sale as well; a tenth of the places is nobody's to rest in."""
    world.memory.tables.instruments[1].order_count_max = 10
    hold(world)
    assert all(place(world, book=2, price=str(48000 - n)).is_accepted for n in range(9))
    assert told(place(world, book=3, price="47000")) == ("FILTER_MAX_NUM_ORDERS", {"orders": 9, "limit": 9})
    (sold,) = world.decide(world.propose("exit"))
    assert sold.is_accepted


def test_a_position_has_a_cap_that_counts_what_is_held_and_what_is_coming(world: World) -> None:
    """A tenth of 2,000: 0.002 BTC held and 0.0008 of 0.001 still coming leave room for 0.0012 at 50,000."""
    world.memory.tables.books[1].position_cap_percent = D(10)
    buy(world, lots=200, limit="50500")
    world.decide(world.propose("enter", lots=100, limit_price=D(50500)))
    world.fill(world.send(world.order("enter")), "0.0002", "50000")
    world.decide(world.propose("place", 2, side="buy", lots=100, limit_price=D(49000)))
    assert place(world, instrument=2, price="2400", lots=30).is_accepted
    assert told(enter(world, lots=101)) == ("RISK_POSITION_CAP", {"exposure": "200.5", "cap": "200"})
    assert enter(world, lots=100).is_accepted


def test_a_resting_sale_has_no_cap(world: World) -> None:
    buy(world, lots=380)
    world.memory.tables.books[1].position_cap_percent = D(1)
    assert place(world, "sell", lots=380, price="52000").is_accepted


def test_a_buy_must_be_paid_from_free_money(world: World) -> None:
    """To the last cent: 500 of 2,000 are reserved already."""
    assert place(world, lots=1000, price="50000").is_accepted
    facts = {"asset": "USDT", "needed": "1500.0003", "free": "1500"}
    assert told(place(world, lots=3000, price="50000.01")) == ("CAPITAL_INSUFFICIENT", facts)
    assert place(world, lots=3000, price="50000").is_accepted
    assert world.pocket("available", "USDT") == 0


def test_a_sale_must_be_covered_by_free_coins(world: World) -> None:
    buy(world, lots=380)
    facts = {"asset": "BTC", "needed": "0.00381", "free": "0.0038"}
    assert told(place(world, "sell", lots=381, price="52000")) == ("CAPITAL_INSUFFICIENT", facts)


def test_what_is_leaving_a_book_is_not_spent_again(world: World) -> None:
    """A smaller share takes 500 of its 2,000 as they come free; its coins it may sell all the same."""
    for book, pending in ((1, -500), (2, 500), (3, 0)):
        world.memory.tables.books[book].pending = D(pending)
    facts = {"asset": "USDT", "needed": "1500.5", "free": "2000", "leaving_the_book": "500"}
    assert told(place(world, lots=3001, price="50000")) == ("CAPITAL_INSUFFICIENT", facts)
    assert place(world, book=2, lots=4000, price="50000").is_accepted
    assert place(world, lots=3000, price="50000").is_accepted
    order = world.send(world.order("place"))
    world.fill(order, "0.03", "50000")
    world.memory.tables.books[1].pending = D(-1)
    assert place(world, "sell", lots=3000, price="52000").is_accepted
    facts = {"asset": "USDT", "needed": "2000.5", "free": "2000"}
    assert told(place(world, book=3, lots=4001, price="50000")) == ("CAPITAL_INSUFFICIENT", facts)


def test_an_entry_stays_a_tick_inside_the_nearest_sale_of_another_book(world: World) -> None:
    for book, price in ((2, "50200"), (3, "50300")):
        buy(world, book=book, lots=380)
        assert place(world, "sell", book=book, price=price).is_accepted
    assert enter(world).is_accepted
    assert world.order("enter").price == D("50199.99")


def test_an_entry_whose_price_a_rival_does_not_leave_is_refused(world: World) -> None:
    """It was sized for 50,000; a tick inside 50,000 is less than that, a tick inside the next price is exactly that."""
    buy(world, book=2, lots=380)
    assert place(world, "sell", book=2, price="50000").is_accepted
    assert enter(world).code == "CONFLICT_WOULD_CROSS"
    world.decide(world.propose("cancel", 2))
    assert place(world, "sell", book=2, price="50000.01").is_accepted
    assert enter(world).is_accepted
    assert world.order("enter").price == D(50000)


def test_what_takes_at_once_is_nobodys_rival(world: World) -> None:
    """An exit at the market and an entry never meet, for neither rests; a resting bid could meet the exit."""
    buy(world, book=2, lots=380)
    assert ask(world, "exit", 2).is_accepted
    assert enter(world).is_accepted
    assert world.order("enter").price == D(50500)
    assert place(world, price="40000").code == "CONFLICT_WOULD_CROSS"


def test_an_exit_just_above_a_bid_is_nobodys_rival_either(world: World) -> None:
    """It is a limit order that takes at once."""
    buy(world, book=2, lots=380)
    assert place(world, book=3, price="49000").is_accepted
    world.send(world.order("place", book=3))
    assert ask(world, "exit", 2).is_accepted
    assert (world.order("exit", book=2).type, world.order("exit", book=2).price) == ("LIMIT", D("49000.01"))
    assert enter(world).is_accepted
    assert world.order("enter").price == D(50500)


def test_a_book_is_no_rival_of_itself(world: World) -> None:
    """Its own sale above is its own business; the exchange keeps the two apart."""
    buy(world, lots=380)
    assert place(world, "sell", price="50200").is_accepted
    assert enter(world).is_accepted
    assert world.order("enter").price == D(50500)


@pytest.mark.parametrize(("seconds", "is_taken"), [(59, False), (60, True)])
def test_an_entry_counts_for_a_minute(world: World, seconds: int, is_taken: bool) -> None:
    world.memory.tables.books[1].orders_per_minute = 1
    assert enter(world).is_accepted
    world.market_at += timedelta(seconds=seconds) - BAR
    assert enter(world).is_accepted is is_taken


def test_what_can_be_refused_for_good_does_not_wait_first(world: World) -> None:
    """A bid is on its way out, so an entry would wait for its cancel; what is wrong with it by then is wrong now."""
    assert place(world).is_accepted
    world.send(world.order("place"))
    assert ask(world, "cancel").is_accepted
    assert enter(world, limit="50500.005").code == "FILTER_PRICE"
    world.memory.tables.books[1].is_halted = True
    assert enter(world).code == "BOOK_HALTED"
    world.memory.tables.books[1].is_halted = False
    assert enter(world).is_accepted
    assert [row.state for row in world.memory.tables.intents.values()] == ["ordered", "waiting"]


def test_an_entry_takes_at_once_and_a_resting_order_never_does(world: World) -> None:
    assert enter(world).is_accepted
    assert place(world).is_accepted
    found = [(order.type, order.time_in_force) for order in (world.order("enter"), world.order("place"))]
    assert found == [("LIMIT", "IOC"), ("LIMIT_MAKER", "")]


def test_a_bots_decisions_keep_their_order(world: World) -> None:
    """A bid on its way out holds no stop up, yet the entry that waits for it was asked for first; other books wait for nobody."""
    for book in (1, 2):
        buy(world, book=book, lots=380)
    assert place(world).is_accepted
    world.send(world.order("place"))
    assert ask(world, "cancel").is_accepted
    assert enter(world).is_accepted
    for book in (1, 2):
        assert ask(world, "move_stop", book, stop_price=D(48000)).is_accepted
    states = [(row.book_id, row.kind, row.state) for row in world.memory.tables.intents.values()]
    assert states[-3:] == [(1, "enter", "waiting"), (1, "stop", "waiting"), (2, "stop", "ordered")]
