"""A position says the truth about its protection, whoever took its stop away (I-47)."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import pytest

from tests.trading.desk.world import NOW, World, build
from trading.desk import claims, coordination, releases, reports
from trading.desk.desk import Desk

D = Decimal


@pytest.fixture
def world() -> World:
    """A book that holds 0.0038 BTC, with a protective stop that is written and not sent."""
    world = build()
    world.decide(world.propose("enter", lots=380, limit_price=D("50505"), stop_price=D("49000")))
    world.fill(world.send(world.order("enter")), "0.0038", "50000")
    return world


def cancel_everything(world: World) -> None:
    """Ask for the cancel of all that the first book has."""
    with world.memory.transaction() as store:
        desk = Desk(store, store.account, market_at=world.market_at, now=NOW)
        assert reports.request_cancels(desk, book_ids=[1]) == 1
        desk.write()


def flatten(world: World) -> int:
    """Have the first book sold out."""
    with world.memory.transaction() as store:
        desk = Desk(store, store.account, market_at=world.market_at, now=NOW)
        count = coordination.flatten(desk, 1, reason="TEST")
        desk.write()
    return count


def test_a_cancelled_stop_that_nothing_follows_is_lost(world: World) -> None:
    """A kill cancels stops too: from the proof on, the position says that it is unprotected, not before."""
    stop = world.send(world.order("stop"))
    cancel_everything(world)
    assert not world.position().is_unprotected
    world.end(stop)
    assert world.position().is_unprotected


def test_a_stop_withdrawn_before_it_was_sent_is_lost_at_once(world: World) -> None:
    """No answer will come for it."""
    cancel_everything(world)
    assert world.now(world.order("stop")).status == "withdrawn"
    assert world.position().is_unprotected


def test_a_waiting_stop_that_is_dropped_is_lost(world: World) -> None:
    """It waited for the cancel of the old one; now neither stands."""
    old = world.send(world.order("stop"))
    world.decide(world.propose("move_stop", stop_price=D(48000)))
    with world.memory.transaction() as store:
        desk = Desk(store, store.account, market_at=world.market_at, now=NOW)
        assert reports.request_cancels(desk, book_ids=[1]) == 2
        desk.write()
    world.end(old)
    assert world.position().is_unprotected


def test_a_stop_that_an_exit_replaced_is_not_lost(world: World) -> None:
    """The exit is on its way; only when it has not sold all is the position bare."""
    stop = world.send(world.order("stop"))
    world.decide(world.propose("exit"))
    world.end(stop)
    assert not world.position().is_unprotected
    world.end(world.send(world.order("exit")))
    assert world.position().is_unprotected


def test_an_exit_that_the_exchange_would_not_take_leaves_the_stop(world: World) -> None:
    """Refused before any cancel is asked for: an old stop is better than none."""
    world.memory.marks[1] = D(1)
    (outcome,) = world.decide(world.propose("exit"))
    assert outcome.code == "FILTER_MIN_NOTIONAL"
    assert world.now(world.order("stop")).status == "ready"
    assert not world.position().is_unprotected


def test_a_flatten_that_cannot_sell_leaves_the_position_marked(world: World) -> None:
    """The stop went, and the exchange would not take the sale: somebody must look."""
    world.memory.marks[1] = D(1)
    assert flatten(world) == 0
    assert world.now(world.order("stop")).status == "withdrawn"
    assert world.position().is_unprotected


def test_a_flatten_that_sells_leaves_no_mark(world: World) -> None:
    """Its exit is on the way."""
    assert flatten(world) == 1
    assert not world.position().is_unprotected


def test_a_stop_that_fills_less_than_the_position_leaves_it_bare(world: World) -> None:
    """The position grew after the stop was placed: what is left has none, and says so."""
    stop = world.send(world.order("stop"))
    world.decide(world.propose("place", side="buy", lots=300, limit_price=D(49500), slot=1))
    world.fill(world.send(world.order("place")), "0.003", "49500")
    world.fill(stop, "0.0038", "48900")
    assert world.now(stop).status == "filled"
    assert (world.position().quantity, world.position().is_unprotected) == (D("0.003"), True)


def test_a_stop_that_sells_all_leaves_no_mark(world: World) -> None:
    """It has done its work."""
    stop = world.send(world.order("stop"))
    world.fill(stop, "0.0038", "48900")
    assert (world.position().quantity, world.position().is_unprotected) == (D(0), False)


def test_a_new_stop_takes_the_mark_away(world: World) -> None:
    """Protected again, and the position says so."""
    cancel_everything(world)
    world.decide(world.propose("move_stop", stop_price=D(48000)))
    assert not world.position().is_unprotected
    assert world.order("stop").stop_price == D(48000)


def start_up(world: World) -> None:
    """Do what a trader does when it begins."""
    with world.memory.transaction() as store:
        desk = Desk(store, store.account, market_at=world.market_at, now=NOW)
        releases.after_fills(desk)
        desk.write()


def end(world: World, rule: Callable[..., object], *facts: object) -> None:
    """Have an order end by a rule, in a transaction of the trader."""
    with world.memory.transaction(epoch=1) as store:
        desk = Desk(store, store.account, market_at=world.market_at, now=NOW)
        rule(desk, *facts)
        desk.write()


def test_a_stop_that_never_arrived_is_asked_for_again_at_once(world: World) -> None:
    """A new intent, a new name, the same coins; nothing is resent."""
    lost = world.lose(world.order("stop"))
    again = world.order("stop")
    assert (lost.status, lost.reservation.remaining, again.status, again.reservation.remaining) == (
        "absent",
        D(0),
        "ready",
        D("0.0038"),
    )
    assert again.client_order_id != lost.client_order_id
    assert (again.intent.seq > lost.intent.seq, again.intent.reason, again.stop_price) == (True, "STOP_ABSENT", D(49000))
    assert again.intent.decision is lost.intent.decision
    assert not world.position().is_unprotected
    world.send(again)
    assert world.agrees()


def test_a_stop_that_somebody_wanted_gone_is_not_asked_for_again(world: World) -> None:
    """Its cancel was asked for while nobody knew whether it lived."""
    stop = world.order("stop")
    assert world.claim(stop, claims.sending(epoch=1, now=NOW))
    cancel_everything(world)
    end(world, reports.mark_absent, stop.pk)
    start_up(world)
    assert world.order("stop").pk == stop.pk
    assert world.position().is_unprotected


def test_a_refused_stop_is_not_asked_for_again(world: World) -> None:
    """The exchange has said why; it would say it again."""
    stop = world.order("stop")
    assert world.claim(stop, claims.sending(epoch=1, now=NOW))
    end(world, reports.mark_rejected, stop.pk, "REJECTED_FILTER", "Filter failure: PRICE_FILTER")
    start_up(world)
    assert world.order("stop").pk == stop.pk
    assert world.position().is_unprotected


def test_an_absent_stop_whose_place_an_exit_takes_stays_away(world: World) -> None:
    """The exit waited for the fate of the stop; now it sells."""
    stop = world.order("stop")
    assert world.claim(stop, claims.sending(epoch=1, now=NOW))
    world.decide(world.propose("exit"))
    end(world, reports.mark_absent, stop.pk)
    assert world.order("exit").status == "ready"
    assert world.order("stop").pk == stop.pk


def test_a_trader_that_begins_protects_what_an_absent_stop_left_bare(world: World) -> None:
    """Too small to be protected when the absence was proven; by the next start the exchange takes it."""
    instrument = world.memory.tables.instruments[1]
    stop = world.order("stop")
    instrument.notional_min = D(1000)
    world.lose(stop)
    assert (world.order("stop").pk, world.position().is_unprotected) == (stop.pk, True)
    start_up(world)
    assert (world.order("stop").pk, world.position().is_unprotected) == (stop.pk, True)

    instrument.notional_min = D(5)
    start_up(world)
    again = world.order("stop")
    assert (again.pk != stop.pk, again.intent.reason, again.quantity) == (True, "STOP_ABSENT", D("0.0038"))
    assert not world.position().is_unprotected
    start_up(world)
    assert world.order("stop").pk == again.pk


def bare(world: World) -> int:
    """Have the stop be proven absent while the position is too small for another; answer how many were asked for."""
    world.memory.tables.instruments[1].notional_min = D(1000)
    world.lose(world.order("stop"))
    world.memory.tables.instruments[1].notional_min = D(5)
    return stops(world)


def stops(world: World) -> int:
    """Count the stops that were ever asked for."""
    return sum(row.kind == "stop" for row in world.memory.tables.intents.values())


def test_a_trader_that_begins_leaves_a_position_to_the_exit_that_is_on_its_way(world: World) -> None:
    count = bare(world)
    (outcome,) = world.decide(world.propose("exit", lots=100, stop_price=D(48000)))
    assert outcome.is_accepted
    start_up(world)
    assert (stops(world), world.order("exit").status) == (count, "ready")


def test_a_trader_that_begins_leaves_a_position_to_the_stop_that_waits(world: World) -> None:
    """It waits for the end of a resting sale; a bid that waits as well is no protection."""
    count = bare(world)
    world.decide(world.propose("place", side="sell", lots=380, limit_price=D(52000)))
    world.send(world.order("place"))
    world.decide(world.propose("cancel"))
    world.decide(world.propose("move_stop", stop_price=D(48000)))
    start_up(world)
    newest = [row for row in world.memory.tables.intents.values() if row.kind == "stop"][-1]
    assert (stops(world), newest.state, newest.stop_price) == (count + 1, "waiting", D(48000))


def test_a_trader_that_begins_has_no_stop_to_ask_for_again_where_none_was_made() -> None:
    """The only stop that was asked for found no free coin, so the position is marked; nobody knows of an order."""
    world = build()
    world.decide(world.propose("enter", lots=380, limit_price=D("50505")))
    world.fill(world.send(world.order("enter")), "0.0038", "50000")
    world.decide(world.propose("place", side="sell", lots=380, limit_price=D(52000)))
    world.decide(world.propose("move_stop", stop_price=D(48000)))
    assert (world.position().is_unprotected, stops(world)) == (True, 1)
    start_up(world)
    assert (world.position().is_unprotected, stops(world)) == (True, 1)
