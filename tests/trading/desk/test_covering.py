"""A book that sold coins which were not there buys them back at the mark, from the operator's pool or from another book."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from tests.trading.desk.test_adoption import sold_twice
from tests.trading.desk.world import World, build
from trading.desk.covering import Covered, UnableToCover, cover
from trading.desk.fills import post_fill
from trading.desk.releases import call_off, note_lost_stop
from trading.ledger import Leg, Pocket

D = Decimal
POOL = Pocket("unallocated", None, "BTC")


@pytest.fixture
def world() -> World:
    """The first book owes 0.0038 BTC it sold for 190.76; the second holds as much, bought at 50,000. The mark is 51,000."""
    world = build()
    world.fill(sold_twice(world), "0.0038", "50200")
    for row in world.memory.tables.books.values():
        row.is_halted = False
    world.memory.tables.account.state = "active"
    world.decide(world.propose("enter", 2, lots=380, limit_price=D("50505"), stop_price=D(49000)))
    world.fill(world.send(world.order("enter", book=2)), "0.0038", "50000")
    world.decide(world.propose("place", 2, instrument=2, side="buy", lots=100, limit_price=D(2400)))
    world.memory.marks[1] = D(51000)
    return world


def fund_the_pool(world: World, amount: str) -> None:
    """Give the operator coins of their own."""
    with world.at_desk() as desk:
        legs = [Leg(Pocket("external_flow", None, "BTC"), -D(amount)), Leg(POOL, D(amount))]
        desk.journal.post(kind="deposit", reference="coins", legs=legs, market_at=world.market_at)


def buy_back(world: World, *, quantity: str | None = None, source: int | None = 2, book: int = 1, instrument: int = 1) -> Covered:
    """Cover what a book owes."""
    with world.at_desk() as desk:
        amount = None if quantity is None else D(quantity)
        return cover(desk, book_id=book, instrument_id=instrument, quantity=amount, source_id=source)


def refusal(world: World, **wish: Any) -> tuple[str, str, dict[str, Any]]:
    """Return code, words and facts of a refusal, which changes nothing."""
    before = world.memory.tables
    with pytest.raises(UnableToCover) as refused:
        buy_back(world, **wish)
    assert world.memory.tables is before
    return refused.value.code, str(refused.value), refused.value.facts


def free_the_coins(world: World) -> None:
    """Take the second book's stop away, so that its coins are free."""
    with world.at_desk() as desk:
        for place in call_off(desk, desk.live_of(2, 1), [], reason="TEST"):
            note_lost_stop(desk, *place)


def test_the_operators_coins_cover_it_and_get_their_worth(world: World) -> None:
    """0.0038 BTC at 51,000 are 193.80: 3.04 more than the sale brought."""
    fund_the_pool(world, "0.0038")
    cash, totals = world.pocket("available", "USDT"), world.totals()
    done = buy_back(world, source=None)
    assert done == Covered(
        book_id=1,
        source_id=None,
        instrument_id=1,
        quantity=D("0.0038"),
        mark=D(51000),
        value=D("193.8"),
        realised=D("-3.04"),
        realised_source=D(0),
        ledger_seq=world.memory.tables.account.ledger_seq,
    )
    assert world.pocket("deficit", "BTC") == world.pocket("unallocated", "BTC", book=None) == 0
    assert world.pocket("available", "USDT") == cash - D("193.8")
    assert world.pocket("unallocated", "USDT", book=None) == D("193.8")
    assert (world.position().quantity, world.position().cost) == (D(0), D(0))
    assert world.totals() == totals


def test_the_ledger_says_who_gave_and_at_what_price(world: World) -> None:
    free_the_coins(world)
    buy_back(world, quantity="0.001")
    movement = world.memory.tables.movements[-1]
    assert (movement.kind, movement.reference, movement.market_at) == ("cover", f"cover:{movement.seq}", world.market_at)
    assert movement.facts == {"from": 2, "to": 1, "mark": "51000", "value": "51"}


def test_another_book_covers_a_part_and_has_sold_it(world: World) -> None:
    """It realises what it made; the other still owes the rest."""
    free_the_coins(world)
    coins, cash, version = world.pocket("available", "BTC", book=2), world.pocket("available", "USDT", book=2), versions(world)
    done = buy_back(world, quantity="0.001")
    assert (done.value, done.realised, done.realised_source) == (D(51), D("-0.8"), D(1))
    assert (done.source_id, done.quantity) == (2, D("0.001"))
    assert world.pocket("deficit", "BTC") == D("-0.0028")
    assert world.pocket("available", "BTC", book=2) == coins - D("0.001")
    assert world.pocket("available", "USDT", book=2) == cash + D(51)
    assert (world.position().quantity, world.position(2).quantity) == (D("-0.0028"), D("0.0028"))
    assert world.position(2).opened_at is not None
    assert versions(world) == [version[0] + 1, version[1] + 1, version[2]], "the pages of both books are told"


def test_a_trade_that_is_told_after_a_cover_comes_after_it(world: World) -> None:
    """A bid had bought before a sale that is known: neither what the sale made nor the cover is worked out anew."""
    world.decide(world.propose("place", 2, side="buy", lots=300, limit_price=D(49000)))
    bid = world.send(world.order("place", book=2))
    early, late = (
        world.exchange.fill(bid.client_order_id, quantity=D("0.001"), price=D(price), fee=D(0), fee_asset="USDT")
        for price in ("48000", "49000")
    )
    silent = replace(world.exchange.end(bid.client_order_id), executed_quantity=D(0), executed_quote=D(0))
    assert world.report(bid, silent).status == "canceled"
    free_the_coins(world)
    world.decide(world.propose("exit", 2, lots=100))
    world.fill(world.send(world.order("exit", book=2)), "0.001", "51000")
    buy_back(world, quantity="0.002")
    before = world.position(2)
    assert (before.quantity, before.cost, before.realised) == (D("0.0008"), D(40), D(3))

    world.post(late)
    world.post(early)
    after = world.position(2)
    assert (after.quantity, after.cost, after.realised) == (D("0.0028"), D(137), D(3))
    assert [row.realised for row in world.memory.tables.fills.values() if row.book_id == 2] == [D(0), D(1), D(0), D(0)]


def test_a_desk_on_which_something_passed_posts_no_trade_of_that_position(world: World) -> None:
    """Where the ledger's numbers do not yet say which came first, nobody can fold."""
    stop = world.order("stop", book=2)
    trade = world.exchange.fill(world.send(stop).client_order_id, quantity=D("0.001"), price=D(49000), fee=D(0), fee_asset="USDT")
    with world.memory.transaction() as store:
        desk = world.desk(store)
        desk.pass_on(desk.position_or_new(2, 1))
        with pytest.raises(ValueError, match=r"^What passed on a desk is written"):
            post_fill(desk, trade)


def versions(world: World) -> list[int]:
    """Return how often the pages of each book were told of a change."""
    return [row.version for row in world.memory.tables.books.values()]


def test_who_gives_all_it_has_is_no_longer_in_the_market(world: World) -> None:
    """With a single lot it still is; without one there is nothing to protect."""
    free_the_coins(world)
    opened_at = world.position(2).opened_at
    buy_back(world, quantity="0.00379")
    giver = world.position(2)
    assert (giver.quantity, giver.opened_at, giver.stop_price, giver.is_unprotected) == (D("0.00001"), opened_at, D(49000), True)
    buy_back(world, quantity="0.00001")
    giver = world.position(2)
    assert (giver.quantity, giver.opened_at, giver.stop_price, giver.is_unprotected) == (D(0), None, None, False)


def test_a_worth_that_is_no_whole_unit_is_rounded_against_who_owes(world: World) -> None:
    fund_the_pool(world, "0.0038")
    world.memory.marks[1] = D("50000.00000001")
    assert buy_back(world, quantity="0.00000001", source=None).value == D("0.00050001")


@pytest.mark.parametrize(("quantity", "words"), [("0.00380001", "0.0038 BTC, not 0.00380001"), ("0", "0.0038 BTC, not 0")])
def test_no_more_is_covered_than_is_owed_and_no_less_than_something(world: World, quantity: str, words: str) -> None:
    assert refusal(world, quantity=quantity) == ("DEFICIT_NONE", f"The book owes {words}.", {})


def test_who_owes_nothing_has_nothing_to_cover(world: World) -> None:
    assert refusal(world, book=2, source=1) == ("DEFICIT_NONE", "The book owes 0 BTC, not 0.", {})


@pytest.mark.parametrize("book", [1, 2])
def test_while_a_trade_may_be_on_its_way_nothing_is_covered(world: World, book: int) -> None:
    """Of either book, in this pair; a stop that stands may stay, and so may what others do."""
    world.decide(world.propose("place", 3, side="buy", lots=100, limit_price=D(48000)))
    assert refusal(world)[0] == "DEFICIT_SOURCE_SHORT"
    world.decide(world.propose("place", book, side="buy", lots=100, limit_price=D(49000)))
    order = world.order("place", book=book)
    words = f"Book {book} still has order {order.client_order_id} in BTC/USDT: wait for its end, or cancel it."
    assert refusal(world) == ("DEFICIT_ORDERS_LIVE", words, {"order": order.client_order_id})


def test_an_order_of_a_third_does_not_matter_where_the_operator_gives(world: World) -> None:
    fund_the_pool(world, "0.0038")
    world.decide(world.propose("place", 2, side="buy", lots=100, limit_price=D(49000)))
    assert buy_back(world, source=None).quantity == D("0.0038")


@pytest.mark.parametrize("trouble", ["", "stale"])
def test_without_a_price_to_trust_nothing_changes_hands(world: World, trouble: str) -> None:
    if trouble:
        world.memory.price_troubles[1] = trouble
    else:
        del world.memory.marks[1]
    words = "Nobody knows what BTC is worth now: BTC/USDT has no price to trust."
    assert refusal(world) == ("DATA_STALE", words, {})


def test_nobody_gives_what_is_not_free(world: World) -> None:
    """The second book's coins are behind its stop; the operator has a hundred-millionth too little."""
    facts = {"asset": "BTC", "needed": "0.0038", "free": "0"}
    assert refusal(world) == ("DEFICIT_SOURCE_SHORT", "Book 2 has 0 BTC free, and 0.0038 are needed.", facts)
    fund_the_pool(world, "0.00379999")
    facts = {"asset": "BTC", "needed": "0.0038", "free": "0.00379999"}
    words = "The operator has 0.00379999 BTC free, and 0.0038 are needed."
    assert refusal(world, source=None) == ("DEFICIT_SOURCE_SHORT", words, facts)


def test_who_owes_must_have_the_money(world: World) -> None:
    fund_the_pool(world, "0.0038")
    world.memory.marks[1] = D(1_000_000)
    facts = {"asset": "USDT", "needed": "3800", "free": "2191.14"}
    assert refusal(world, source=None) == ("CAPITAL_INSUFFICIENT", "Book 1 has 2191.14 USDT free, and 3800 are needed.", facts)
