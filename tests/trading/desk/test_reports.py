"""Orders that end without ever having lived, and what may not end like that."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from tests.trading.desk.test_placing import ask, buy, intents
from tests.trading.desk.world import NOW, World, build
from trading.desk import claims, reports
from trading.desk.forgetting import forget_orders
from trading.desk.plain import Order
from trading.order_status import MoveRefused
from trading.orders import ExchangeStatus, Side

D = Decimal


@pytest.fixture
def world() -> World:
    """A book with a bid for 0.001 BTC at 49,000 that is written and not sent."""
    world = build()
    ask(world, "place", side="buy", lots=100, limit_price=D(49000))
    return world


def take_back(world: World, order: Order, reason: str = "KILL_ACTIVE") -> bool:
    """Take an order back that was never sent."""
    with world.at_desk(epoch=1) as desk:
        return reports.withdraw(desk, order.pk, reason)


def test_an_order_that_was_never_sent_is_taken_back_with_a_reason(world: World) -> None:
    order, version = world.order("place"), world.memory.tables.account.version
    assert take_back(world, order, "R" * 60)
    row = world.now(order)
    assert (row.status, row.reason, row.closed_at) == ("withdrawn", "R" * 48, NOW)
    assert row.cancel_requested_at is None
    assert (world.pocket("reserved", "USDT"), world.pocket("available", "USDT")) == (D(0), D(2000))
    assert world.memory.tables.account.version == version + 1, "the pages are told"


def test_what_the_trader_has_claimed_is_not_taken_back(world: World) -> None:
    order = world.send(world.order("place"))
    assert not take_back(world, order)
    assert (world.now(order).status, world.now(order).reason) == ("open", "")


def test_taking_back_a_stop_leaves_its_position_marked() -> None:
    """No answer of the exchange will come for it."""
    world = build()
    buy(world, lots=380, stop="49000")
    assert take_back(world, world.order("stop"))
    assert world.position().is_unprotected


def test_a_refused_order_says_why_and_frees_its_money(world: World) -> None:
    order = world.order("place")
    assert world.claim(order, claims.sending(epoch=1, now=NOW))
    with world.at_desk(epoch=1) as desk:
        reports.mark_rejected(desk, order.pk, "C" * 60, "m" * 400)
    with world.at_desk(epoch=1) as desk:
        again = reports.mark_rejected(desk, order.pk, "OTHER", "words")
        assert again.reason == "C" * 48, "the first reason stays"
    row = world.now(order)
    assert (row.status, row.reason, row.message, row.closed_at) == ("rejected", "C" * 48, "m" * 300, NOW)
    assert world.pocket("available", "USDT") == D(2000)


def test_an_end_without_an_answer_is_dated_by_what_is_known_to_be_posted(world: World) -> None:
    """No trade of before that moment is missing; where nothing was read yet, the order's own time counts."""
    first = world.lose(world.order("place"))
    release = world.memory.tables.movements[-1]
    assert (release.kind, release.market_at) == ("release", first.market_at)
    ask(world, "place", side="buy", lots=100, limit_price=D(49000))
    synced = world.market_at.replace(hour=13)
    world.memory.tables.account.synced_through_at = synced
    second = world.lose(world.order("place"))
    assert (second.status, world.memory.tables.movements[-1].market_at) == ("absent", synced)


def test_calling_an_order_absent_twice_changes_nothing(world: World) -> None:
    order = world.lose(world.order("place"))
    before = world.memory.journal_hash
    with world.at_desk(epoch=1) as desk:
        assert reports.mark_absent(desk, order.pk).status == "absent"
    assert world.memory.journal_hash == before


def test_what_has_traded_cannot_be_absent(world: World) -> None:
    """Whether the exchange has told of a trade that is not posted yet, or a posted trade came first."""
    order = world.send(world.order("place"))
    trade = world.exchange.fill(order.client_order_id, quantity=D("0.0004"), price=D(49000), fee=D(0), fee_asset="USDT")
    words = f"{order.client_order_id} has fills and cannot be absent"
    told = world.report(order, world.exchange.report(order.client_order_id))
    assert (told.status, told.filled_quantity, told.executed_quantity) == ("partial", D(0), D("0.0004"))
    with world.memory.transaction() as store, pytest.raises(MoveRefused, match=words):
        reports.mark_absent(world.desk(store), order.pk)
    world.post(trade)
    with world.memory.transaction() as store, pytest.raises(MoveRefused, match=words):
        reports.mark_absent(world.desk(store), order.pk)


def test_a_trade_that_is_posted_before_its_order_is_told_of_counts_as_well(world: World) -> None:
    order = world.send(world.order("place"))
    world.fill(order, "0.0004", "49000")
    row = world.now(order)
    assert (row.filled_quantity, row.executed_quantity) == (D("0.0004"), D(0))
    with world.memory.transaction() as store, pytest.raises(MoveRefused, match="has fills"):
        reports.mark_absent(world.desk(store), order.pk)


def test_a_refused_order_that_traded_all_the_same_is_alive_again(world: World) -> None:
    """What the exchange had called final before is no longer kept: its end is still to come."""
    order = world.order("place")
    assert world.claim(order, claims.sending(epoch=1, now=NOW))
    world.exchange.accept(order)
    world.end(order, ExchangeStatus.REJECTED)
    assert (world.now(order).status, world.now(order).final_status) == ("rejected", "rejected")
    world.fill_after_end(order, price="49000")
    row = world.now(order)
    assert (row.status, row.final_status, row.reason) == ("partial", "", "ORDER_ADOPTED")


def test_more_news_of_an_ended_order_is_no_end(world: World) -> None:
    """It was called canceled without a fill, and has traded since: its end is to be told anew."""
    order = world.send(world.order("place"))
    ended = world.end(order)
    alive = replace(
        world.exchange.report(order.client_order_id),
        status=ExchangeStatus.PARTIALLY_FILLED,
        executed_quantity=D("0.0004"),
        executed_quote=D("19.6"),
    )
    assert (ended.status, ended.final_status) == ("canceled", "canceled")
    row = world.report(order, alive)
    assert (row.status, row.final_status, row.reason) == ("partial", "", "ORDER_ADOPTED")


@pytest.mark.parametrize(("told", "status"), [("expired", "expired"), ("canceled", "canceled"), ("rejected", "canceled")])
def test_what_traded_in_part_ends_as_the_exchange_says_and_was_not_refused(world: World, told: str, status: str) -> None:
    order = world.send(world.order("place"))
    world.fill(order, "0.0004", "49000")
    assert world.end(order, ExchangeStatus(told)).status == status
    release = world.memory.tables.movements[-1]
    assert (release.kind, release.reference) == ("release", order.client_order_id)


def test_what_an_order_held_for_its_fee_comes_back_under_its_own_name(world: World) -> None:
    world.memory.tables.account.buy_fee_ppm = 6000
    ask(world, "place", slot=1, side="buy", lots=100, limit_price=D(49000))
    order = world.send(world.order("place"))
    assert order.reservation.initial > D(49)
    world.end(order)
    release = world.memory.tables.movements[-1]
    assert (release.kind, release.reference) == ("release", order.client_order_id)


def test_a_complete_fill_needs_no_other_word(world: World) -> None:
    order = world.send(world.order("place"))
    world.fill(order, "0.001", "49000")
    row = world.now(order)
    assert (row.status, row.executed_quantity, row.closed_at) == ("filled", D("0.001"), NOW)


@pytest.mark.parametrize("change", [{"client_order_id": "t1-1-9-x"}, {"side": Side.SELL}], ids=["name", "side"])
def test_an_answer_that_belongs_to_another_order_is_refused(world: World, change: dict[str, Any]) -> None:
    """E08."""
    order = world.send(world.order("place"))
    other = replace(world.exchange.report(order.client_order_id), **change)
    words = f"^A report about {other.client_order_id} {other.side} was applied to {order.client_order_id} buy$"
    with pytest.raises(MoveRefused, match=words):
        world.report(order, other)


def test_an_order_that_was_never_sent_cannot_end_at_the_exchange(world: World) -> None:
    order = world.order("place")
    words = f"^{order.client_order_id} cannot move from ready to canceled$"
    with world.at_desk() as desk, pytest.raises(MoveRefused, match=words):
        reports.end(desk, desk.order_by_id(order.pk), "canceled")


def test_an_order_that_has_ended_is_out_of_play_for_the_next_who_asks(world: World) -> None:
    order = world.send(world.order("place"))
    with world.at_desk(epoch=1) as desk:
        assert [row.client_order_id for row in desk.live] == [order.client_order_id]
        reports.apply_report(desk, order.pk, world.exchange.end(order.client_order_id))
        assert desk.live == []


def test_an_order_with_fills_is_partial_when_it_is_adopted(world: World) -> None:
    order = world.send(world.order("place"))
    world.fill(order, "0.0004", "49000")
    assert world.end(order).status == "canceled"
    with world.at_desk(epoch=1) as desk:
        row = desk.order_by_id(order.pk)
        reports.adopt(desk, row, exchange_status="new")
        assert (row.status, row.final_status) == ("partial", "canceled")


def test_a_kill_takes_back_what_is_no_exit(world: World) -> None:
    """Bids and resting sales go, also those that wait; protective stops stay, also those that wait."""
    buy(world, book=2, lots=380, stop="49000")
    stop = world.send(world.order("stop", book=2))
    ask(world, "move_stop", 2, stop_price=D(48000))
    buy(world, book=3, lots=380)
    ask(world, "place", 3, side="sell", lots=100, limit_price=D(60000))
    first = world.send(world.order("place", book=3))
    ask(world, "cancel", 3)
    ask(world, "place", 3, side="sell", lots=100, limit_price=D(61000))
    with world.at_desk() as desk:
        assert reports.request_cancels(desk, spares_exits=True) == 3
    assert world.now(world.order("place")).status == "withdrawn"
    assert [world.now(row).status for row in (stop, first)] == ["open", "open"]
    assert [(row.book_id, row.state) for row in intents(world, "stop")] == [(2, "ordered"), (2, "waiting")]
    assert [(row.state, row.drop_reason) for row in intents(world, "place")[-1:]] == [("dropped", "CANCEL_REQUESTED")]


def test_the_pages_are_told_of_cancels_and_of_nothing_else(world: World) -> None:
    def version() -> int:
        with world.at_desk() as desk:
            reports.request_cancels(desk, book_ids=[1])
        return world.memory.tables.account.version

    world.send(world.order("place"))
    before = world.memory.tables.account.version
    assert version() == before + 1
    world.end(world.order("place"))
    before = world.memory.tables.account.version
    assert version() == before, "nothing was left to cancel"


def test_an_exchange_that_began_anew_has_forgotten_every_order(world: World) -> None:
    """E45: what was never sent is taken back, the rest ends; what waits is dropped, nothing is sold, nothing stays reserved."""
    buy(world, book=2, lots=380, stop="49000")
    stop = world.send(world.order("stop", book=2))
    ask(world, "move_stop", 2, stop_price=D(48000))
    written = world.order("place")
    ask(world, "place", 3, side="buy", lots=100, limit_price=D(48000))
    resting = world.send(world.order("place", book=3))
    with world.at_desk() as desk:
        assert forget_orders(desk, "E" * 60) == 3
        assert desk.live == []
    rows = [world.now(row) for row in (stop, resting, written)]
    assert [(row.status, row.reason, row.closed_at) for row in rows] == [
        ("canceled", "E" * 48, NOW),
        ("canceled", "E" * 48, NOW),
        ("withdrawn", "E" * 48, NOW),
    ]
    waited = intents(world, "stop")[-1]
    assert (waited.state, waited.drop_reason) == ("dropped", "E" * 60)
    assert not any(balance for pocket, balance in world.memory.tables.pockets.items() if pocket.kind == "reserved")
    releases = [row for row in world.memory.tables.movements if row.kind == "release"]
    assert {row.market_at for row in releases} >= {world.market_at}
    assert not intents(world, "flatten")
