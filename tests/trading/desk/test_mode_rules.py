"""Whose turn it is, what is in play for a book that leaves, and how its holdings pass to the next."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from tests.trading.desk.world import BAR, MARKET_AT, NOW, World, build
from trading.desk import claims, mode_rules, turns
from trading.desk.mode_rules import HandedOn
from trading.handover import Act, Action, BookFacts, Mode, Phase, Stance
from trading.proposals import Outcome

D = Decimal
TRADED: Mapping[int, Collection[int]] = {1: (1, 2), 2: (1,), 3: (2,)}
TO_TWO = frozenset({2})
STANCE = Stance(mode=Mode.SINGLE, epoch=4, phase=Phase.SETTLED, active=frozenset({1}))


@pytest.fixture
def world() -> World:
    """A book that bought 0.0038 BTC at 50,000, with a stop at 49,000 that is not sent."""
    world = build()
    world.decide(world.propose("enter", lots=380, limit_price=D("50505"), stop_price=D("49000")))
    world.fill(world.send(world.order("enter")), "0.0038", "50000")
    return world


def perform(world: World, act: Act, *, incoming: frozenset[int] = TO_TWO, book: int = 1) -> list[HandedOn]:
    """Do one act of a hand-over."""
    with world.memory.transaction() as store:
        desk = world.desk(store)
        handed = mode_rules.perform(desk, Action(act, book), incoming=incoming, traded=TRADED)
        desk.write()
    return handed


def facts(world: World, *, incoming: frozenset[int] = TO_TWO) -> BookFacts:
    """Say what is in play for the first book."""
    with world.memory.transaction() as store:
        return mode_rules.book_facts(world.desk(store), 1, incoming=incoming, traded=TRADED)


def worth(world: World, book: int = 1) -> Decimal:
    """Return what a book is worth."""
    with world.memory.transaction() as store:
        return mode_rules.worth_of(world.desk(store), book)


def enter(world: World, **values: Any) -> Outcome:
    """Have the first book ask for an entry."""
    (outcome,) = world.decide(world.propose("enter", lots=100, limit_price=D("50505"), **values))
    return outcome


def withdraw_stop(world: World) -> None:
    """Take the stop away, as a hand-over does before it hands on."""
    assert perform(world, Act.CANCEL_ALL) == []
    assert world.now(world.order("stop")).status == "withdrawn"


def test_in_play_is_what_may_still_trade(world: World) -> None:
    world.decide(world.propose("place", side="buy", lots=100, limit_price=D(49500)))
    world.decide(world.propose("place", 2, side="buy", lots=100, limit_price=D(49500)))
    assert facts(world) == BookFacts(entries=1, exits=1, unknown=0, sellable=1, being_sold=0, can_be_handed_on=1)


def test_what_waits_is_in_play_too(world: World) -> None:
    """A stop that waits for the cancel of the old one, and two entries that wait behind it."""
    world.send(world.order("stop"))
    world.decide(world.propose("move_stop", stop_price=D(48000)))
    assert enter(world).is_accepted
    assert enter(world).is_accepted
    found = facts(world)
    assert (found.entries, found.exits, found.being_sold) == (2, 2, 0)


def test_a_sale_that_waits_is_a_sale(world: World) -> None:
    """It waits for the cancel of the stop."""
    world.send(world.order("stop"))
    perform(world, Act.SELL)
    assert [row.kind for row in world.memory.tables.intents.values() if row.state == "waiting"] == ["flatten"]
    assert facts(world).being_sold == 1


@pytest.mark.parametrize("is_known", [False, True])
def test_an_order_on_its_way_and_one_of_unknown_fate_are_in_doubt(world: World, is_known: bool) -> None:
    assert enter(world).is_accepted
    order = world.order("enter")
    assert world.claim(order, claims.sending(epoch=1, now=NOW))
    if is_known:
        assert world.claim(order, claims.unknown("TIMEOUT", "no answer"))
    assert facts(world).unknown == 1


@pytest.mark.parametrize(("incoming", "count"), [({2}, 1), ({3}, 0), ({9}, 0), ({2, 3}, 0), (set(), 0)])
def test_holdings_pass_to_the_one_that_comes_and_trades_them(world: World, incoming: set[int], count: int) -> None:
    withdraw_stop(world)
    assert facts(world, incoming=frozenset(incoming)).can_be_handed_on == count
    assert len(perform(world, Act.HAND_ON, incoming=frozenset(incoming))) == count


def test_dust_is_neither_sold_nor_handed_on(world: World) -> None:
    """0.0038 BTC at 1,000 are worth less than any order."""
    withdraw_stop(world)
    world.memory.marks[1] = D(1000)
    assert facts(world) == BookFacts()
    assert perform(world, Act.HAND_ON) == []
    assert world.position().quantity == D("0.0038")


def test_what_is_being_sold_is_said(world: World) -> None:
    assert perform(world, Act.SELL) == []
    found = facts(world)
    assert (found.sellable, found.being_sold) == (1, 1)
    assert world.order("flatten").intent.reason == mode_rules.HANDED_OVER


def test_closing_takes_entries_back_and_leaves_exits(world: World) -> None:
    world.decide(world.propose("place", side="buy", lots=100, limit_price=D(49500)))
    world.decide(world.propose("place", 2, side="buy", lots=100, limit_price=D(49500)))
    assert perform(world, Act.CANCEL_ENTRIES) == []
    assert world.now(world.order("place")).status == "withdrawn"
    assert world.now(world.order("stop")).status == "ready"
    assert world.now(world.order("place", book=2)).status == "ready"


def test_releasing_takes_everything_back_and_leaves_what_is_others(world: World) -> None:
    world.decide(world.propose("place", side="buy", lots=100, limit_price=D(49500)))
    world.decide(world.propose("place", 2, side="buy", lots=100, limit_price=D(49500)))
    assert perform(world, Act.CANCEL_ALL) == []
    assert [world.now(world.order(kind)).status for kind in ("place", "stop")] == ["withdrawn", "withdrawn"]
    assert world.now(world.order("place", book=2)).status == "ready"


def test_a_settlement_hands_nothing_on(world: World) -> None:
    withdraw_stop(world)
    assert perform(world, Act.SETTLE) == []
    assert world.position().quantity == D("0.0038")


def test_a_holding_passes_at_its_mark_and_what_it_made_stays_with_who_held_it(world: World) -> None:
    """Bought for 190, worth 193.80 at 51,000: the giver has realised 3.80, the taker has paid the mark."""
    withdraw_stop(world)
    world.memory.marks[1] = D(51000)
    before = world.totals()
    (handed,) = perform(world, Act.HAND_ON)
    assert handed == HandedOn(
        book_before_id=1,
        book_after_id=2,
        instrument_id=1,
        quantity=D("0.0038"),
        mark=D(51000),
        value=D("193.8"),
        realised=D("3.8"),
        worth_before=D("2003.8"),
        ledger_seq=world.memory.tables.account.ledger_seq - 1,
    )
    giver, taker = world.position(1), world.position(2)
    assert (giver.quantity, giver.cost, giver.realised, giver.stop_price) == (D(0), D(0), D("3.8"), None)
    assert not giver.is_unprotected
    assert (taker.quantity, taker.cost, taker.realised) == (D("0.0038"), D("193.8"), D(0))
    assert taker.opened_at == world.market_at
    assert world.totals() == before
    assert world.agrees()
    assert world.pocket("available", "BTC", book=1) == 0
    # What the new book holds is behind its stop at once (I-47).
    assert world.pocket("reserved", "BTC", book=2) == D("0.0038")


def test_the_journal_says_from_whom_to_whom(world: World) -> None:
    withdraw_stop(world)
    (handed,) = perform(world, Act.HAND_ON)
    movement = world.memory.tables.movements[handed.ledger_seq - 1]
    assert (movement.kind, movement.reference) == ("hand_over", f"hand_over:{handed.ledger_seq}")
    assert movement.facts == {"from": 1, "to": 2, "mark": "50000", "value": "190"}
    assert movement.market_at == world.market_at


def test_the_stop_passes_with_the_holding(world: World) -> None:
    # A withdrawn stop leaves its price on the position: nobody took it back.
    withdraw_stop(world)
    assert world.position().stop_price == D(49000)
    perform(world, Act.HAND_ON)
    stop = world.order("stop", book=2)
    assert (stop.stop_price, stop.quantity, stop.intent.reason) == (D(49000), D("0.0038"), mode_rules.HANDED_OVER)
    assert world.position(2).stop_price == D(49000)


def test_who_has_a_stop_already_keeps_it_for_all(world: World) -> None:
    world.decide(world.propose("enter", 2, lots=100, limit_price=D("50505"), stop_price=D("48500")))
    world.fill(world.send(world.order("enter", book=2)), "0.001", "50000")
    opened = world.position(2).opened_at
    withdraw_stop(world)
    perform(world, Act.HAND_ON)
    stop = world.order("stop", book=2)
    assert (stop.stop_price, stop.quantity) == (D(48500), D("0.0048"))
    assert (world.position(2).quantity, world.position(2).opened_at) == (D("0.0048"), opened)


def test_a_holding_without_a_stop_passes_without_one() -> None:
    world = build()
    world.decide(world.propose("enter", lots=380, limit_price=D("50505")))
    world.fill(world.send(world.order("enter")), "0.0038", "50000")
    perform(world, Act.HAND_ON)
    assert [row for row in world.memory.tables.orders.values() if row.book_id == 2] == []
    assert world.pocket("available", "BTC", book=2) == D("0.0038")


def test_browsers_are_told_of_both_books(world: World) -> None:
    withdraw_stop(world)
    before = {pk: row.version for pk, row in world.memory.tables.books.items()}
    positions = world.position().version
    perform(world, Act.HAND_ON)
    after = {pk: row.version for pk, row in world.memory.tables.books.items()}
    assert [after[pk] > before[pk] for pk in (1, 2, 3)] == [True, True, False]
    assert world.position().version == positions + 1


def test_what_a_book_had_made_before_it_gave_stays_made(world: World) -> None:
    """0.0008 of it were sold at 51,000, which made 0.80; the rest passes at 52,000, which makes 6 more."""
    world.decide(world.propose("exit", lots=80))
    world.fill(world.send(world.order("exit")), "0.0008", "51000")
    world.memory.marks[1] = D(52000)
    version = world.position().version
    (handed,) = perform(world, Act.HAND_ON)
    assert (handed.quantity, handed.realised) == (D("0.003"), D(6))
    assert (world.position().realised, world.position().version) == (D("6.8"), version + 1)


def test_a_books_worth_is_its_money_and_its_holdings_at_the_marks(world: World) -> None:
    world.memory.marks[1] = D(51000)
    assert worth(world) == D("2003.8")
    enter(world)
    assert worth(world) == D("2003.8"), "reserved money is its money"
    del world.memory.marks[1]
    assert worth(world) == D(2000), "without a price it counts at cost"


def test_every_book_may_enter_where_no_mode_takes_turns(world: World) -> None:
    for stance in (None, replace(STANCE, mode=Mode.PERCENTAGE, active=frozenset()), replace(STANCE, mode=Mode.SUBACCOUNTS)):
        world.memory.stance = stance
        assert enter(world).is_accepted


@pytest.mark.parametrize(("mode", "code"), [(Mode.SINGLE, turns.BOT_NOT_ACTIVE), (Mode.ROTATION, turns.SLOT_CLOSED)])
def test_a_book_whose_turn_it_is_not_is_told_whose_it_is(world: World, mode: Mode, code: str) -> None:
    world.memory.stance = replace(STANCE, mode=mode, active=frozenset({3, 2, 9}))
    outcome = enter(world)
    told = {"book": "Book 1", "mode": str(mode), "active": ["Book 2", "Book 3"], "epoch": 4}
    assert (outcome.code, dict(outcome.facts or {})) == (code, told)


def test_the_turn_is_the_reason_and_not_the_size(world: World) -> None:
    """A book without a turn has no money to size an entry by; an exit keeps its own reason."""
    world.memory.stance = replace(STANCE, active=frozenset({2}))
    (entry,) = world.decide(world.propose("enter", denial="SIZE_ZERO"))
    assert (entry.is_accepted, entry.code) == (False, turns.BOT_NOT_ACTIVE)
    assert dict(entry.facts or {})["active"] == ["Book 2"]
    (sale,) = world.decide(world.propose("exit", denial="POSITION_EMPTY"))
    assert (sale.is_accepted, sale.code) == (False, "POSITION_EMPTY")
    world.memory.stance = STANCE
    (entry,) = world.decide(world.propose("enter", denial="SIZE_ZERO"))
    assert (entry.is_accepted, entry.code) == (False, "SIZE_ZERO")


@pytest.mark.parametrize("phase", [Phase.CLOSING, Phase.RELEASING])
def test_nobody_enters_while_the_account_passes_on(world: World, phase: Phase) -> None:
    world.memory.stance = replace(STANCE, phase=phase)
    outcome = enter(world)
    assert (outcome.code, dict(outcome.facts or {})["hand_over"]) == (turns.BOT_NOT_ACTIVE, str(phase))


def test_a_slot_opens_after_its_candle_and_closes_with_its_last(world: World) -> None:
    """Market time alone decides; the candle of the settlement was decided by nobody."""
    since, until = MARKET_AT + 3 * BAR, MARKET_AT + 5 * BAR
    world.market_at = MARKET_AT + 2 * BAR
    world.memory.stance = replace(STANCE, mode=Mode.ROTATION, since=since, until=until)
    early, inside, late = enter(world), enter(world), enter(world)
    assert (early.code, dict(early.facts or {})["opens_after"]) == (turns.SLOT_CLOSED, since.isoformat())
    assert inside.is_accepted
    assert (late.code, dict(late.facts or {})["closed_at"]) == (turns.SLOT_CLOSED, until.isoformat())
    world.memory.stance = replace(STANCE, since=until + timedelta(days=1))
    assert world.decide(world.propose("exit"))[0].is_accepted
