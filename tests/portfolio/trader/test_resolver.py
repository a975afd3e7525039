"""An order that nobody answers for is found, or proven absent, and taken in if it turns up after all; never sent again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from decimal import Decimal
from unittest.mock import ANY

import pytest

from exchange.errors import ExchangeTrouble, Outcome
from portfolio.models import Account, Book, Order
from portfolio.trader import records
from portfolio.trader.resolver import ORDER_UNRESOLVED
from tests.portfolio.trader.lagging import Bench, account_of, bench, claimed
from tests.portfolio.world import World, build
from trading.orders import ExchangeStatus

D = Decimal
pytestmark = pytest.mark.timeout(120)
Story = Callable[[Bench], Awaitable[None]]


@pytest.fixture
def world(transactional_db: None) -> World:
    return build()


def unanswered(world: World) -> Order:
    """Have an entry claimed for sending, and no word after that."""
    world.decide(world.propose("enter", lots=380, limit_price=D("50505")))
    return claimed(world, world.order(kind="enter"))


def tell(world: World, story: Story, **fields: object) -> None:
    async def run() -> None:
        async with bench(world, **fields) as opened:
            await story(opened)

    asyncio.run(run())


def status(order: Order) -> str:
    return Order.objects.values_list("status", flat=True).get(id=order.pk)


async def seconds_until(opened: Bench, order: Order, wanted: str, limit: float) -> float:
    """Let time pass until an order has a status, and answer when that was."""
    while opened.port.elapsed < limit:
        await opened.pass_time(1)
        found = (await opened.read(order)).status
        if found == wanted:
            return opened.port.elapsed
    raise AssertionError(f"{found} after {limit} seconds, not {wanted}")


@pytest.mark.fault("E02", "C03")
def test_an_order_that_never_came_is_absent_after_a_minute_of_whole_evidence(world: World) -> None:
    order = unanswered(world)

    async def story(opened: Bench) -> None:
        took = await seconds_until(opened, order, "absent", 100)
        assert 78 < took <= 83
        assert opened.port.calls["submit"] == 0

    tell(world, story)
    assert world.verify() == []


@pytest.mark.fault("E02", "E30")
def test_with_a_gap_in_the_stream_it_takes_ten_minutes(world: World) -> None:
    order = unanswered(world)

    async def story(opened: Bench) -> None:
        opened.seconds_per_step = 4.0
        took = await seconds_until(opened, order, "absent", 700)
        assert 618 < took <= 630

    tell(world, story, stream_open_since=20.0)


@pytest.mark.fault("E03", "E30")
@pytest.mark.parametrize("lag", [1.0, 40.0, 70.0])
def test_an_order_that_shows_late_is_open(world: World, lag: float) -> None:
    order = unanswered(world)
    world.exchange.accept(order)

    async def story(opened: Bench) -> None:
        opened.port.visible_from[order.client_order_id] = lag
        took = await seconds_until(opened, order, "open", 100)
        assert took <= lag + 8
        assert opened.session.unresolved == {} or lag > 30

    tell(world, story)
    assert world.verify() == []


@pytest.mark.fault("E04")
def test_an_order_that_filled_unseen_is_posted_once(world: World) -> None:
    order = unanswered(world)
    world.exchange.accept(order)
    world.exchange.fill(order.client_order_id, quantity=D("0.0038"), price=D("50000"), fee=D("0.0000038"), fee_asset="BTC")

    async def story(opened: Bench) -> None:
        opened.port.visible_from[order.client_order_id] = 20.0
        await seconds_until(opened, order, "filled", 60)

    tell(world, story)
    assert account_of(world).trades_posted == 1
    assert world.verify() == []


@pytest.mark.fault("E30")
def test_an_order_that_lives_after_all_is_taken_in_and_cancelled(world: World) -> None:
    order = unanswered(world)
    world.exchange.accept(order)

    async def story(opened: Bench) -> None:
        opened.port.visible_from[order.client_order_id] = 200.0
        await seconds_until(opened, order, "absent", 100)
        while not opened.port.canceled and opened.port.elapsed < 260:
            await opened.pass_time(1)
            await opened.send()
        assert opened.port.canceled == [order.client_order_id]
        # Seen within ten seconds of showing, by the list of open orders.
        assert opened.port.elapsed <= 215
        assert opened.port.calls["submit"] == 0

    tell(world, story)
    assert status(order) == "canceled"
    account, book = account_of(world), Book.objects.get(id=order.book_id)
    assert (account.state, book.is_halted) == (Account.State.ENTRIES_HALTED, True)
    assert world.verify() == []


@pytest.mark.fault("E30")
def test_an_absent_order_that_traded_and_ended_unseen_is_found_by_the_watch(world: World) -> None:
    order = unanswered(world)
    world.exchange.accept(order)
    world.exchange.fill(order.client_order_id, quantity=D("0.0038"), price=D("50000"), fee=D("0.0000038"), fee_asset="BTC")

    async def story(opened: Bench) -> None:
        opened.port.visible_from[order.client_order_id] = 300.0
        await seconds_until(opened, order, "absent", 100)
        await seconds_until(opened, order, "filled", 400)

    tell(world, story)
    assert world.verify() == []
    assert Book.objects.get(id=order.book_id).is_halted


@pytest.mark.fault("E02")
def test_what_cannot_be_resolved_is_shown_and_then_put_before_a_person(world: World) -> None:
    order = unanswered(world)
    # A unit that nobody explains: the balances never agree, so absence is never proven.
    world.exchange.free["USDT"] += D("0.00000001")

    async def story(opened: Bench) -> None:
        opened.seconds_per_step = 2.0
        await opened.pass_time(28)
        assert opened.session.unresolved == {}
        await opened.pass_time(8)
        assert opened.session.unresolved == {order.client_order_id: ANY}
        opened.seconds_per_step = 5.0
        await opened.pass_time(660)
        assert (await opened.read(order)).status == "unknown"
        account = await opened.session.database.run(account_of, world)
        assert (account.state, account.state_reason) == (Account.State.ENTRIES_HALTED, ORDER_UNRESOLVED)
        # The unit is explained; the order is absent at last, and what was halted for it goes on.
        world.exchange.free["USDT"] -= D("0.00000001")
        await opened.pass_time(60)

    tell(world, story)
    assert status(order) == "absent"
    assert account_of(world).state == Account.State.ACTIVE


@pytest.mark.fault("E31")
def test_one_list_that_omits_an_order_concludes_nothing(world: World) -> None:
    order = unanswered(world)
    world.exchange.accept(order)

    async def story(opened: Bench) -> None:
        await seconds_until(opened, order, "open", 10)
        opened.port.omitted.add(order.client_order_id)
        await opened.pass_time(30)
        assert opened.port.calls["order_by_client_id"] >= 3

    tell(world, story)
    assert status(order) == "open"


@pytest.mark.fault("E25", "E27", "E10")
def test_a_cancel_without_an_answer_is_proven_by_reading(world: World) -> None:
    order = unanswered(world)
    world.exchange.accept(order)

    async def story(opened: Bench) -> None:
        await seconds_until(opened, order, "open", 10)
        asked = Order.objects.filter(id=order.pk).update
        await opened.session.claims.run(asked, cancel_requested_at=opened.session.now())
        opened.port.troubles["cancel"] = [
            ExchangeTrouble(Outcome.UNKNOWN, "no answer"),
            ExchangeTrouble(Outcome.STILL_LIVE, "cancel restrictions", code=-2011),
            ExchangeTrouble(Outcome.QUERY, "Unknown order sent.", code=-2011),
        ]
        for _ in range(4):
            await opened.send()
            assert status_is(await opened.read(order), opened)
            await opened.pass_time(3)
        assert opened.port.calls["cancel"] == 4

    def status_is(row: Order, opened: Bench) -> bool:
        return row.status == ("canceled" if opened.port.canceled else "cancelling")

    tell(world, story)
    assert status(order) == "canceled"
    assert world.verify() == []


@pytest.mark.fault("E35")
def test_an_archived_order_without_a_trade_has_ended(world: World) -> None:
    order = unanswered(world)
    world.exchange.accept(order)

    async def story(opened: Bench) -> None:
        await seconds_until(opened, order, "open", 10)
        world.exchange.end(order.client_order_id)
        opened.port.troubles["order_by_client_id"] = [ExchangeTrouble(Outcome.TERMINAL_EMPTY, "archived", code=-2026)]
        await opened.pass_time(9)

    tell(world, story)
    assert status(order) == "canceled"
    assert world.verify() == []


@pytest.mark.fault("E32")
def test_a_stale_read_takes_nothing_back(world: World) -> None:
    order = unanswered(world)
    world.exchange.accept(order)
    stale = world.exchange.report(order.client_order_id)
    world.exchange.fill(order.client_order_id, quantity=D("0.001"), price=D("50000"), fee=D("0.05"), fee_asset="USDT")

    async def story(opened: Bench) -> None:
        await seconds_until(opened, order, "partial", 10)
        (watched,) = await opened.session.claims.run(records.watched_orders, world.account_id)
        await opened.resolver.record(watched, stale)

    tell(world, story)
    row = Order.objects.get(id=order.pk)
    assert (row.status, row.executed_quantity) == ("partial", D("0.001"))
    assert world.exchange.report(order.client_order_id).status == ExchangeStatus.PARTIALLY_FILLED
