"""What a refusal and an audit say is read by people and machines: each fact is there, by its name."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from tests.trading.desk.test_adoption import found, lost
from tests.trading.desk.world import World, build
from trading.desk.journal import InsufficientBalance
from trading.desk.reports import adopt
from trading.ledger import Pocket
from trading.order_status import MoveRefused
from trading.proposals import Outcome

D = Decimal


@pytest.fixture
def world() -> World:
    """Three funded books; the second holds 0.01 BTC bought at 50,000."""
    world = build()
    world.decide(world.propose("enter", 2, lots=1000, limit_price=D("50505")))
    world.fill(world.send(world.order("enter", book=2)), "0.01", "50000")
    return world


def place(world: World, book: int, side: str, price: str, **values: Any) -> Outcome:
    """Have a book ask for a resting order of 0.001 BTC."""
    (outcome,) = world.decide(world.propose("place", book, side=side, lots=100, limit_price=D(price), **values))
    return outcome


def told(outcome: Outcome) -> tuple[str, dict[str, Any]]:
    """Return the code and the facts of a refusal."""
    assert not outcome.is_accepted
    return outcome.code, dict(outcome.facts or {})


def audits(world: World) -> list[tuple[str, str, dict[str, Any], dict[str, Any]]]:
    """Return what the audit notes."""
    return [(note.action, note.subject, dict(note.before), dict(note.after)) for note in world.memory.tables.audits]


def test_a_buy_that_would_cross_is_told_the_price_that_would_not(world: World) -> None:
    assert place(world, 2, "sell", "50100").is_accepted
    rival = world.order("place", book=2)
    facts = {"book": "Book 2", "its_order": rival.client_order_id, "its_price": "50100", "limit_accepted": "50099.99"}
    assert told(place(world, 1, "buy", "50100")) == ("CONFLICT_WOULD_CROSS", facts)
    assert place(world, 1, "buy", "50099.99").is_accepted


def test_a_sale_that_would_cross_is_told_the_price_that_would_not(world: World) -> None:
    assert place(world, 1, "buy", "49900").is_accepted
    rival = world.order("place", book=1)
    facts = {"book": "Book 1", "its_order": rival.client_order_id, "its_price": "49900", "limit_accepted": "49900.01"}
    assert told(place(world, 2, "sell", "49900")) == ("CONFLICT_WOULD_CROSS", facts)
    assert place(world, 2, "sell", "49900.01").is_accepted


def test_a_bid_before_a_sale_at_the_market_would_cross_at_any_price(world: World) -> None:
    (sale,) = world.decide(world.propose("exit", 2))
    assert sale.is_accepted
    rival = world.order("exit", book=2)
    facts = {"book": "Book 2", "its_order": rival.client_order_id, "its_price": "market"}
    assert told(place(world, 1, "buy", "40000")) == ("CONFLICT_WOULD_CROSS", facts)


def test_an_adopted_order_leaves_three_notes(world: World) -> None:
    order = lost(world)
    found(world, order)
    assert audits(world) == [
        ("book.halt", "book:1", {}, {"reason": "ORDER_ADOPTED"}),
        (
            "account.state",
            "account:1",
            {"state": "active", "reason": ""},
            {"state": "entries_halted", "reason": "ORDER_ADOPTED"},
        ),
        (
            "order.adopt",
            f"order:{order.client_order_id}",
            {"status": "absent"},
            {"exchange_status": "new", "reserved": "191.919"},
        ),
    ]


def test_an_order_that_is_not_dead_cannot_be_adopted(world: World) -> None:
    place(world, 1, "buy", "49900")
    order = world.send(world.order("place"))
    with world.memory.transaction(epoch=1) as store:
        desk = world.desk(store)
        with pytest.raises(MoveRefused, match=f"{order.client_order_id} is open and cannot be adopted"):
            adopt(desk, desk.order_by_id(order.pk), exchange_status="NEW")


def test_an_order_that_was_adopted_is_in_play_for_the_next_who_asks(world: World) -> None:
    """I-39: in the same transaction already, and in the order in which orders were made."""
    order = lost(world)
    place(world, 3, "buy", "49900")
    with world.memory.transaction(epoch=1) as store:
        desk = world.desk(store)
        before = [row.intent.seq for row in desk.live]
        row = desk.order_by_id(order.pk)
        adopt(desk, row, exchange_status="NEW")
        assert row in desk.live
        assert [one.intent.seq for one in desk.live] == sorted([*before, row.intent.seq])
        assert desk.live[0] is row


def test_a_halt_is_noted_once_and_a_full_halt_is_not_softened(world: World) -> None:
    with world.memory.transaction() as store:
        desk = world.desk(store)
        desk.halt_entries("FIRST")
        desk.halt_entries("FIRST")
        desk.write()
    assert audits(world) == [
        ("account.state", "account:1", {"state": "active", "reason": ""}, {"state": "entries_halted", "reason": "FIRST"})
    ]
    with world.memory.transaction() as store:
        desk = world.desk(store)
        desk.account.state = "halted"
        desk.halt_entries("SECOND")
        assert (desk.account.state, desk.account.state_reason) == ("halted", "FIRST")


def test_a_cancel_names_the_place_that_is_empty(world: World) -> None:
    assert told(world.decide(world.propose("cancel", slot=3))[0]) == ("ORDER_NOT_FOUND", {"slot": 3})


def test_a_waiting_order_is_given_up_by_its_cancel_and_no_other(world: World) -> None:
    """It waits behind the cancel of the old one in its place; the stop that waits beside it stays."""
    place(world, 1, "buy", "49900", slot=1)
    world.send(world.order("place"))
    world.decide(world.propose("cancel", slot=1))
    assert place(world, 1, "buy", "49800", slot=1).is_accepted
    assert place(world, 1, "buy", "49700", slot=2).is_accepted
    (outcome,) = world.decide(world.propose("cancel", slot=1))
    assert outcome.is_accepted
    rows = {row.limit_price: (row.state, row.drop_reason) for row in world.memory.tables.intents.values() if row.kind == "place"}
    assert rows[D(49800)] == ("dropped", "CANCEL_REQUESTED")
    assert rows[D(49700)] == ("waiting", "")


def test_a_sale_that_must_wait_for_another_says_for_which(world: World) -> None:
    world.decide(world.propose("exit", 2))
    exit_order = world.send(world.order("exit", book=2))
    (again,) = world.decide(world.propose("exit", 2))
    assert told(again) == ("EXIT_PENDING", {"order": exit_order.client_order_id})


def test_a_sale_that_waits_for_a_cancel_is_named_to_the_next(world: World) -> None:
    place(world, 2, "sell", "60000")
    world.send(world.order("place", book=2))
    assert world.decide(world.propose("exit", 2))[0].is_accepted
    waiting = max(world.memory.tables.waiting)
    (again,) = world.decide(world.propose("exit", 2))
    assert told(again) == ("EXIT_PENDING", {"waiting_intent": waiting})


@pytest.mark.parametrize(("mark", "is_accepted"), [("500", True), ("499", False)])
def test_a_sale_is_worth_the_least_or_more(world: World, mark: str, is_accepted: bool) -> None:
    """Five USDT are enough for 0.01 BTC at 500."""
    world.memory.marks[1] = D(mark)
    (outcome,) = world.decide(world.propose("exit", 2))
    assert outcome.is_accepted is is_accepted
    if not is_accepted:
        assert told(outcome) == ("FILTER_MIN_NOTIONAL", {"notional": "4.99"})


def test_what_cannot_be_taken_is_named() -> None:
    error = InsufficientBalance(Pocket("available", 1, "USDT"), D(-1))
    assert error.pocket == Pocket("available", 1, "USDT")
    assert str(error) == "available of book 1 would hold -1 USDT"


@pytest.mark.parametrize(("fees", "quantity"), [(("0.00001", "0.00002"), "0.00497"), (("0.00002", "0.00001"), "0.00497")])
def test_a_fee_in_coins_is_less_to_hold_in_whatever_order_trades_come(world: World, fees: tuple[str, str], quantity: str) -> None:
    """I-21: a late trade folds what came after it anew, fees in the coin included."""
    world.decide(world.propose("enter", lots=500, limit_price=D("50505")))
    entry = world.send(world.order("enter"))
    trades = [
        world.exchange.fill(entry.client_order_id, quantity=D("0.0025"), price=D(price), fee=D(fee), fee_asset="BTC")
        for price, fee in zip(("50100", "50200"), fees, strict=True)
    ]
    assert world.post(trades[1])
    assert world.post(trades[0])
    assert world.position().quantity == D(quantity)
    assert world.position().cost == D("250.75")
    assert world.agrees()


def test_a_fee_in_coins_of_a_sale_changes_nothing_that_is_held(world: World) -> None:
    """Only what a purchase brings is made less by it."""
    world.decide(world.propose("exit", 2))
    sale = world.send(world.order("exit", book=2))
    first, second = (
        world.exchange.fill(sale.client_order_id, quantity=D("0.005"), price=D(price), fee=D("0.05"), fee_asset="USDT")
        for price in ("51000", "52000")
    )
    assert world.post(second)
    assert world.post(replace(first))
    assert (world.position(2).quantity, world.position(2).realised) == (D(0), D("14.9"))
