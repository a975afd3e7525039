"""What a decision to sell or to protect becomes at the exchange: which order, how much, at what price, and in whose stead."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from tests.trading.desk.test_selling_out import doubt, flatten
from tests.trading.desk.world import World, build
from trading.desk.plain import Intent
from trading.desk.prevention import EXPIRE_TAKER, SELF_TRADE_PREVENTION
from trading.proposals import Outcome

D = Decimal


@pytest.fixture
def world() -> World:
    """Three funded books; the first holds 0.0038 BTC bought at 50,000, without a stop."""
    world = build()
    buy(world, lots=380)
    return world


def buy(world: World, *, lots: int, book: int = 1, price: str = "50000", limit: str = "50505", stop: str | None = None) -> None:
    """Have a book buy BTC."""
    asked: dict[str, Any] = {"stop_price": D(stop)} if stop else {}
    world.decide(world.propose("enter", book, lots=lots, limit_price=D(limit), **asked))
    world.fill(world.send(world.order("enter", book=book)), str(lots * D("0.00001")), price)


def ask(world: World, kind: str, book: int = 1, **values: Any) -> Outcome:
    """Have a book ask for something on the next candle."""
    (outcome,) = world.decide(world.propose(kind, book, **values))
    return outcome


def bid(world: World, book: int, price: str, *, instrument: int = 1, lots: int = 100) -> None:
    """Have a book rest a bid at the exchange."""
    assert ask(world, "place", book, instrument=instrument, side="buy", lots=lots, limit_price=D(price)).is_accepted
    world.send(world.order("place", book=book))


def intents(world: World, kind: str) -> list[Intent]:
    """Return the intents of a kind, oldest first."""
    return [row for _, row in sorted(world.memory.tables.intents.items()) if row.kind == kind]


def sold(world: World, kind: str = "exit") -> tuple[str, str, Decimal, Decimal | None]:
    """Return type, time in force, quantity and price of the newest sale."""
    order = world.order(kind)
    return order.type, order.time_in_force, order.quantity, order.price


def test_all_whole_lots_are_sold_at_the_market(world: World) -> None:
    assert ask(world, "exit").is_accepted
    assert sold(world) == ("MARKET", "", D("0.0038"), None)


@pytest.mark.parametrize(("lots", "quantity"), [(100, "0.001"), (380, "0.0038"), (10_000, "0.0038")])
def test_so_many_lots_are_sold_as_asked_for_and_none_that_are_not_there(world: World, lots: int, quantity: str) -> None:
    assert ask(world, "exit", lots=lots).is_accepted
    assert sold(world)[2] == D(quantity)


def test_no_more_is_sold_at_once_than_the_exchange_takes(world: World) -> None:
    world.memory.tables.instruments[1].quantity_max = D("0.002")
    ask(world, "exit")
    assert sold(world)[2] == D("0.002")


def test_a_single_lot_is_sold_and_protected() -> None:
    world = build()
    world.memory.marks[1] = D(600_000)
    buy(world, lots=1, price="600000", limit="606000", stop="550000")
    assert world.order("stop").quantity == D("0.00001")
    world.end(world.send(world.order("stop")))
    assert ask(world, "exit").is_accepted
    assert sold(world) == ("MARKET", "", D("0.00001"), None)


def test_nothing_is_sold_where_nothing_is_held(world: World) -> None:
    outcome = ask(world, "exit", 2)
    assert (outcome.code, outcome.facts) == ("POSITION_EMPTY", {"held": "0"})


def test_a_sale_stays_a_tick_above_the_highest_bid_of_another_book(world: World) -> None:
    """I-39: at the market it could meet them; an exit is never refused for it."""
    bid(world, 2, "49800")
    bid(world, 3, "49900")
    assert ask(world, "exit").is_accepted
    assert sold(world) == ("LIMIT", "IOC", D("0.0038"), D("49900.01"))


def test_what_cannot_be_met_does_not_stand_in_the_way(world: World) -> None:
    """The book's own bid, which an exit leaves to the exchange; a bid for another coin; one that takes and is gone."""
    bid(world, 1, "49000")
    bid(world, 2, "2400", instrument=2, lots=1000)
    ask(world, "enter", 3, lots=100, limit_price=D("50505"))
    assert ask(world, "exit").is_accepted
    assert sold(world) == ("MARKET", "", D("0.0038"), None)


def test_what_must_sell_goes_through_bids_where_the_exchange_ends_them(world: World) -> None:
    bid(world, 2, "49900")
    assert flatten(world) == 1
    assert sold(world, "flatten") == ("MARKET", "", D("0.0038"), None)


def test_what_must_sell_stays_above_bids_where_the_exchange_would_end_it(world: World) -> None:
    world.memory.tables.instruments[1].filters = {SELF_TRADE_PREVENTION: {"modes": [EXPIRE_TAKER]}}
    bid(world, 2, "49900")
    assert flatten(world) == 1
    assert sold(world, "flatten") == ("LIMIT", "IOC", D("0.0038"), D("49900.01"))


def test_a_second_exit_is_told_which_one_is_under_way(world: World) -> None:
    ask(world, "exit")
    live = world.order("exit")
    outcome = ask(world, "exit")
    assert (outcome.code, outcome.facts) == ("EXIT_PENDING", {"order": live.client_order_id})


def test_a_second_exit_is_told_which_one_waits() -> None:
    world = build()
    buy(world, lots=380, stop="49000")
    world.send(world.order("stop"))
    assert ask(world, "exit").is_accepted
    (first,) = intents(world, "exit")
    outcome = ask(world, "exit")
    assert (outcome.code, outcome.facts) == ("EXIT_PENDING", {"waiting_intent": first.seq})


def test_an_exit_waits_for_the_end_of_the_stop_and_then_sells_what_it_frees() -> None:
    world = build()
    buy(world, lots=380, stop="49000")
    stop = world.send(world.order("stop"))
    ask(world, "exit")
    assert intents(world, "exit")[0].state == "waiting"
    assert world.now(stop).cancel_requested_at is not None
    world.end(stop)
    assert sold(world) == ("MARKET", "", D("0.0038"), None)


def test_a_partial_exit_moves_the_stop_of_what_is_left() -> None:
    world = build()
    buy(world, lots=380, stop="49000")
    stop = world.send(world.order("stop"))
    ask(world, "exit", lots=100, stop_price=D("49500"))
    assert world.position().stop_price == D("49500")
    world.end(stop)
    assert len(intents(world, "stop")) == 1, "the new one comes when the exit has sold"
    world.fill(world.send(world.order("exit")), "0.001", "50000")
    left = world.order("stop")
    assert (left.pk != stop.pk, left.quantity, left.stop_price) == (True, D("0.0028"), D("49500"))
    assert not world.position().is_unprotected


def test_an_exit_that_turns_out_too_small_leaves_what_is_held_with_its_new_stop() -> None:
    """The old stop is gone by then, and sold a part on its way: what is left gets the new one all the same."""
    world = build()
    buy(world, lots=380, stop="49000")
    stop = world.send(world.order("stop"))
    ask(world, "exit", lots=10, stop_price=D("49500"))
    world.memory.marks[1] = D(49_000)
    world.end(stop)
    (exit_,) = intents(world, "exit")
    assert (exit_.state, exit_.drop_reason) == ("dropped", "FILTER_MIN_NOTIONAL")
    left = world.order("stop")
    assert (left.pk != stop.pk, left.quantity, left.stop_price) == (True, D("0.0038"), D("49500"))
    assert not world.position().is_unprotected


def test_a_stop_belongs_to_the_decision_that_asked_for_it() -> None:
    world = build()
    buy(world, lots=380, stop="49000")
    (entry,), (stop,) = intents(world, "enter"), intents(world, "stop")
    assert (stop.reason, stop.lots, stop.stop_price) == ("STOP_PROTECTIVE", 380, D("49000"))
    assert stop.market_at >= entry.market_at


def test_a_stop_that_a_bot_asks_for_says_why(world: World) -> None:
    ask(world, "move_stop", stop_price=D("49000"), reason="TRAILS")
    ask(world, "move_stop", stop_price=D("49100"), reason="")
    assert [row.reason for row in intents(world, "stop")] == ["TRAILS", "STOP_PROTECTIVE"]


def test_a_stop_needs_a_lot_to_protect() -> None:
    world = build()
    nothing = ask(world, "move_stop", stop_price=D("49000"))
    assert (nothing.code, nothing.facts) == ("POSITION_EMPTY", {})
    world.memory.marks[1] = D(600_000)
    buy(world, lots=1, price="600000", limit="606000")
    assert ask(world, "move_stop", stop_price=D("550000")).is_accepted
    assert world.order("stop").quantity == D("0.00001")


def test_of_stops_that_wait_the_newest_stands() -> None:
    world = build()
    buy(world, lots=380, stop="49000")
    old = world.send(world.order("stop"))
    ask(world, "move_stop", stop_price=D("49100"))
    ask(world, "move_stop", stop_price=D("49200"))
    _, second, third = intents(world, "stop")
    assert (second.state, second.drop_reason, third.state) == ("dropped", "STOP_REPLACED", "waiting")
    world.end(old)
    assert (world.order("stop").stop_price, world.order("stop").type) == (D("49200"), "STOP_LOSS")
    assert len(intents(world, "stop")) == 3


def test_an_exit_takes_the_place_of_a_stop_that_waits() -> None:
    world = build()
    buy(world, lots=380, stop="49000")
    world.send(world.order("stop"))
    ask(world, "move_stop", stop_price=D("49100"))
    assert ask(world, "exit").is_accepted
    _, second = intents(world, "stop")
    assert (second.state, second.drop_reason) == ("dropped", "EXIT_REPLACED")


def test_a_stop_for_which_no_coin_is_free_says_so_and_the_position_too(world: World) -> None:
    assert ask(world, "place", side="sell", lots=380, limit_price=D("52000")).is_accepted
    outcome = ask(world, "move_stop", stop_price=D("49000"))
    assert (outcome.code, outcome.facts) == ("POSITION_EMPTY", {"available": "0"})
    (stop,) = intents(world, "stop")
    assert (stop.state, stop.drop_reason, stop.lots) == ("dropped", "POSITION_EMPTY", 0)
    assert (world.position().is_unprotected, world.position().stop_price) == (True, D("49000"))


def test_a_resting_sale_leaves_the_rest_to_the_stop(world: World) -> None:
    assert ask(world, "place", side="sell", lots=100, limit_price=D("52000")).is_accepted
    world.send(world.order("place"))
    assert ask(world, "move_stop", stop_price=D("49000")).is_accepted
    assert world.order("stop").quantity == D("0.0028")
    assert world.now(world.order("place")).cancel_requested_at is None


def test_a_stop_is_measured_at_its_own_price() -> None:
    """What is worth enough at the mark would not be at the stop: refused here, not at the exchange."""
    world = build()
    buy(world, lots=10)
    outcome = ask(world, "move_stop", stop_price=D("48000"))
    assert outcome.code == "FILTER_MIN_NOTIONAL"
    assert world.position().is_unprotected
    assert ask(world, "exit").is_accepted


def test_of_a_lot_that_does_not_divide_it_whole_ones_are_sold_and_protected(world: World) -> None:
    world.memory.tables.instruments[1].lot_size = D("0.003")
    world.memory.tables.instruments[1].quantity_max = D("0.004")
    assert ask(world, "move_stop", stop_price=D("49000")).is_accepted
    assert world.order("stop").quantity == D("0.003")
    assert ask(world, "exit").is_accepted
    assert sold(world)[2] == D("0.003")


def test_a_stop_that_was_waited_for_takes_the_mark_away(world: World) -> None:
    """All that is held was behind a resting sale: until that sale's end the position is bare, and says so."""
    ask(world, "place", side="sell", lots=380, limit_price=D("52000"))
    sale = world.send(world.order("place"))
    ask(world, "cancel")
    assert ask(world, "move_stop", stop_price=D("49000")).is_accepted
    assert (world.position().is_unprotected, world.position().stop_price) == (True, D("49000"))
    world.end(sale)
    assert world.order("stop").quantity == D("0.0038")
    assert (world.position().is_unprotected, world.position().stop_price) == (False, D("49000"))


def test_a_bid_on_its_way_out_holds_no_stop_up(world: World) -> None:
    bid(world, 1, "49000")
    ask(world, "cancel")
    assert ask(world, "move_stop", stop_price=D("48000")).is_accepted
    assert intents(world, "stop")[-1].state == "ordered"


def test_a_new_stop_waits_for_the_old_one_whatever_else_rests() -> None:
    """The resting sale is newer than the stop, and stays."""
    world = build()
    buy(world, lots=380, stop="49000")
    old = world.send(world.order("stop"))
    buy(world, lots=100)
    assert ask(world, "place", side="sell", lots=100, limit_price=D("52000")).is_accepted
    world.send(world.order("place"))
    assert ask(world, "move_stop", stop_price=D("49500")).is_accepted
    assert intents(world, "stop")[-1].state == "waiting"
    world.end(old)
    assert (world.order("stop").quantity, world.order("stop").stop_price) == (D("0.0038"), D("49500"))


def crumbs() -> World:
    """A book whose fee in coins left less than a lot beside 0.00379 BTC, behind a stop that is sent."""
    world = build()
    world.decide(world.propose("enter", lots=380, limit_price=D("50505"), stop_price=D("49000")))
    world.fill(world.send(world.order("enter")), "0.0038", "50000", fee="0.0000038", fee_asset="BTC")
    world.send(world.order("stop"))
    return world


def test_less_than_a_lot_is_not_enough_for_a_stop_and_the_refusal_names_it() -> None:
    world = crumbs()
    world.end(world.order("stop"))
    assert ask(world, "place", side="sell", lots=379, limit_price=D("52000")).is_accepted
    outcome = ask(world, "move_stop", stop_price=D("48000"))
    assert (outcome.code, outcome.facts) == ("POSITION_EMPTY", {"available": "0.0000062"})


def test_a_stop_that_sold_all_before_an_exit_could_leaves_nothing_to_protect() -> None:
    """The exit that waited for its cancel finds crumbs: no stop, no stop price, and no mark."""
    world = crumbs()
    stop = world.order("stop")
    ask(world, "exit", lots=100, stop_price=D("49500"))
    world.fill(stop, "0.00379", "48900")
    (exit_,) = intents(world, "exit")
    assert (exit_.state, exit_.drop_reason) == ("dropped", "POSITION_EMPTY")
    position = world.position()
    assert (position.quantity, position.stop_price, position.is_unprotected) == (D("0.0000062"), None, False)


def test_what_waits_behind_a_refused_exit_comes_next_and_the_newest_stop_stands() -> None:
    """The exit has become too small: its stop takes the place of the one that waited, and waits for nobody; a bid is made."""
    world = build()
    buy(world, lots=380, stop="49000")
    stop = world.send(world.order("stop"))
    ask(world, "exit", lots=10, stop_price=D("49500"))
    ask(world, "move_stop", stop_price=D("49600"))
    assert ask(world, "place", side="buy", lots=100, limit_price=D("48000")).is_accepted
    world.memory.marks[1] = D(49_000)
    world.end(stop)
    assert intents(world, "exit")[0].drop_reason == "FILTER_MIN_NOTIONAL"
    assert intents(world, "place")[0].state == "ordered"
    _, replaced, own = intents(world, "stop")
    assert (replaced.state, replaced.drop_reason) == ("dropped", "EXIT_REPLACED")
    assert (own.state, own.stop_price, world.position().is_unprotected) == ("ordered", D("49500"), False)


def test_an_entry_that_is_refused_after_waiting_asks_for_no_stop() -> None:
    """It waited for the cancel of a bid; meanwhile its book was stopped."""
    world = build()
    bid(world, 1, "49000")
    ask(world, "cancel")
    assert ask(world, "enter", lots=100, limit_price=D("50505"), stop_price=D("47000")).is_accepted
    world.memory.tables.books[1].is_halted = True
    world.end(world.order("place"))
    (entry,) = intents(world, "enter")
    assert (entry.state, entry.drop_reason) == ("dropped", "BOOK_HALTED")
    assert intents(world, "stop") == []


def test_an_exit_waits_for_the_stop_although_a_sale_could_be_taken_back_at_once() -> None:
    """The sale was never sent; what it frees alone is not all that is to be sold."""
    world = build()
    buy(world, lots=380, stop="49000")
    world.send(world.order("stop"))
    buy(world, lots=100)
    assert ask(world, "place", side="sell", lots=100, limit_price=D("52000")).is_accepted
    assert ask(world, "exit").is_accepted
    assert intents(world, "exit")[0].state == "waiting"
    world.end(world.order("stop"))
    assert sold(world)[2] == D("0.0048")


def test_a_stop_that_has_sold_nearly_all_is_not_taken_away_for_an_exit_of_the_rest() -> None:
    """0.00005 BTC are left, worth 2.50: no order."""
    world = build()
    buy(world, lots=380, stop="49000")
    stop = world.send(world.order("stop"))
    world.fill(stop, "0.00375", "48900")
    assert ask(world, "exit").code == "FILTER_MIN_NOTIONAL"
    assert world.now(stop).cancel_requested_at is None


def test_an_exit_of_less_than_a_lot_is_told_how_much_there_is() -> None:
    world = crumbs()
    world.fill(world.order("stop"), "0.00379", "48900")
    outcome = ask(world, "exit")
    assert (outcome.code, outcome.facts) == ("POSITION_EMPTY", {"held": "0.0000062"})


def test_a_sale_of_less_than_the_exchange_takes_is_refused(world: World) -> None:
    world.memory.tables.instruments[1].quantity_min = D("0.004")
    assert ask(world, "exit").code == "FILTER_LOT_SIZE"


@pytest.mark.parametrize(
    ("side", "price", "sale"), [("buy", "49000", ("LIMIT", "IOC", D("49000.01"))), ("sell", "52000", ("MARKET", "", None))]
)
def test_what_must_sell_stays_above_its_own_bid_of_unknown_fate(world: World, side: str, price: str, sale: object) -> None:
    """Where the exchange would end the sale and not the bid; an own sale is in nobody's way."""
    world.memory.tables.instruments[1].filters = {SELF_TRADE_PREVENTION: {"modes": [EXPIRE_TAKER]}}
    for book, instrument, bid_price in ((1, 2, "2400"), (2, 2, "2410")):
        bid(world, book, bid_price, instrument=instrument)
    assert ask(world, "place", side=side, lots=100, limit_price=D(price)).is_accepted
    doubt(world, world.order("place"))
    assert flatten(world) == 1
    kind, time_in_force, _, limit = sold(world, "flatten")
    assert (kind, time_in_force, limit) == sale
