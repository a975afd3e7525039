"""Whatever tells of a trade, in whatever order and however often: it is posted once; a stream that keeps silent is noticed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import transaction

from exchange.ports import FlowReport
from marketdata.models import Mark
from portfolio import services
from portfolio.jobs import fee_settlement
from portfolio.models import Account, Book, Fill, HistoryCursor, LedgerTransaction, Order
from portfolio.trader import rereading
from portfolio.trader.intake import ECHO_SECONDS
from portfolio.writers import accounts, flows
from tests.portfolio.trader.lagging import Bench, account_of, bench
from tests.portfolio.world import MARKET_AT, NOW, World, build
from trading.orders import ExchangeStatus, Side, TradeReport

D = Decimal
pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def world(transactional_db: None) -> World:
    return build(balances={"USDT": D("9882.31"), "BNB": D(2)})


def open_order(world: World, *, book: int = 0) -> Order:
    world.decide(world.propose("enter", book, lots=380, limit_price=D("50505")))
    return world.send(world.order(kind="enter", book=book))


def trade(world: World, order: Order, quantity: str = "0.0038") -> TradeReport:
    return world.exchange.fill(order.client_order_id, quantity=D(quantity), price=D("50000"), fee=D("0.01"), fee_asset="USDT")


def run(world: World, story: Callable[[Bench], Awaitable[None]], **fields: object) -> None:
    async def tell() -> None:
        async with bench(world, **fields) as opened:
            await story(opened)

    asyncio.run(tell())


@asynccontextmanager
async def listening(opened: Bench) -> AsyncIterator[None]:
    """Have the intake record what is heard, as it does while a trader runs."""
    task = asyncio.create_task(opened.intake.apply_stream())
    try:
        yield
        for _ in range(200):
            await asyncio.sleep(0.01)
            if not opened.intake._events:
                break
        await asyncio.sleep(0.05)
    finally:
        task.cancel()


@pytest.mark.fault("U02", "U03", "U11")
def test_reports_twice_and_in_any_order_end_in_the_same_state(world: World) -> None:
    order = open_order(world)
    first, second = trade(world, order, "0.001"), trade(world, order, "0.0028")
    final = world.exchange.report(order.client_order_id)
    begun = replace(final, status=ExchangeStatus.NEW, executed_quantity=D(0), executed_quote=D(0))

    async def story(opened: Bench) -> None:
        async with listening(opened):
            for event in (final, second, begun, second, first, final, first):
                opened.intake._hear(event)

    run(world, story)
    row = Order.objects.get(id=order.pk)
    assert (row.status, row.filled_quantity) == ("filled", D("0.0038"))
    assert account_of(world).trades_posted == 2
    assert world.verify() == []


@pytest.mark.fault("U03")
def test_what_the_stream_tells_of_an_order_in_flight_waits_for_its_answer(world: World) -> None:
    order = open_order(world)
    told = trade(world, order)

    async def story(opened: Bench) -> None:
        opened.session.in_flight.add(order.client_order_id)
        opened.intake._hear(told)
        assert opened.intake._take_ripe() == []
        opened.session.in_flight.clear()
        assert opened.intake._take_ripe() == [told]

    run(world, story)


@pytest.mark.fault("U01", "E33")
def test_trades_missed_are_posted_in_the_order_of_the_market_and_the_cursor_is_kept(world: World) -> None:
    orders = [open_order(world, book=book) for book in range(3)]
    for order in orders:
        trade(world, order)

    async def story(opened: Bench) -> None:
        assert await opened.intake.fill_gaps(["BTCUSDT"]) == 3
        assert await opened.intake.fill_gaps(["BTCUSDT"]) == 0

    run(world, story)
    assert HistoryCursor.objects.get().trade_id == 3
    assert [fill.book_id for fill in Fill.objects.order_by("id")] == [order.book_id for order in orders]
    assert world.verify() == []


def by_hand(world: World, symbol: str, side: Side, quantity: str, price: str, number: int) -> TradeReport:
    """Have a person trade on the account with the exchange's own page."""
    base, quote = symbol.removesuffix("USDT"), "USDT"
    made = TradeReport(
        symbol=symbol, trade_id=900 + number, exchange_order_id=str(5000 + number), client_order_id=f"web_{number}", side=side,
        price=D(price), quantity=D(quantity), quote_quantity=D(price) * D(quantity), fee=D(0), fee_asset="USDT", is_maker=False,
        traded_at=MARKET_AT + timedelta(minutes=number),
    )  # fmt: skip
    sign = 1 if side == Side.BUY else -1
    world.exchange.free[base] += sign * made.quantity
    world.exchange.free[quote] -= sign * made.quote_quantity
    world.exchange.trades.append(made)
    return made


@pytest.mark.fault("E43", "U05")
def test_trades_by_hand_are_the_operators_and_a_sale_never_comes_before_its_purchase(world: World) -> None:
    # A later number in an earlier symbol: what was sold in one pays for what was bought in the other.
    made = [
        by_hand(world, "ETHUSDT", Side.BUY, "0.39", "2500", 1),
        by_hand(world, "ETHUSDT", Side.SELL, "0.39", "2600", 2),
        by_hand(world, "BTCUSDT", Side.BUY, "0.02", "50000", 3),
    ]

    async def story(opened: Bench) -> None:
        opened.port.by_hand = {trade.exchange_order_id: trade.client_order_id or "" for trade in made}
        assert await opened.intake.fill_gaps(["BTCUSDT", "ETHUSDT"]) == 3

    leave_to_the_operator(world, "1000")
    run(world, story)
    assert Fill.objects.filter(book__isnull=True).count() == 3
    assert account_of(world).state == Account.State.ACTIVE
    assert world.verify() == []


@pytest.mark.fault("E43")
def test_a_trade_by_hand_that_the_operator_cannot_pay_halts_entries(world: World) -> None:
    made = by_hand(world, "ETHUSDT", Side.BUY, "0.41", "2500", 1)

    async def story(opened: Bench) -> None:
        opened.port.by_hand = {made.exchange_order_id: "web_1"}
        await opened.intake.fill_gaps(["ETHUSDT"])
        assert await opened.sandwich.compare("test") == "residual"

    leave_to_the_operator(world, "1000")
    run(world, story)
    assert account_of(world).state_reason == accounts.RECONCILE_RESIDUAL
    assert world.verify() == []


@pytest.mark.fault("E33", "E43")
def test_a_trade_that_shows_after_its_difference_was_explained_is_still_taken_in(world: World) -> None:
    """Nothing of ours trades the symbol, a later trade has moved the cursor past it, and the books agree by a person's word."""
    hidden = by_hand(world, "BNBUSDT", Side.SELL, "0.5", "400", 1)
    passing = by_hand(world, "BNBUSDT", Side.SELL, "0.1", "400", 2)

    def explain() -> None:
        words: dict[str, Any] = {
            "account_id": world.account_id,
            "by": None,
            "reason": "sold by hand",
            "now": NOW + timedelta(seconds=40),
        }
        services.explain_suspense(asset="BNB", amount=D("0.5"), kind="withdrawal", **words)
        services.explain_suspense(asset="USDT", amount=D(200), kind="deposit", **words)

    async def story(opened: Bench) -> None:
        opened.port.by_hand = {made.exchange_order_id: made.client_order_id or "" for made in (hidden, passing)}
        opened.port.late_trades = {hidden.trade_id}
        assert await opened.sandwich.compare("cycle") == "residual"
        assert opened.session.cursors["BNBUSDT"] == passing.trade_id
        await opened.session.database.run(explain)
        assert await opened.sandwich.compare("cycle") == "exact"

        opened.port.late_trades.clear()
        opened.port.elapsed += 3600
        await opened.sandwich.compare("cycle")

    run(world, story)
    assert set(Fill.objects.values_list("trade_id", flat=True)) == {hidden.trade_id, passing.trade_id}
    # Now it is there twice, by trade and by word: the person takes the word back.
    assert account_of(world).state_reason == accounts.RECONCILE_RESIDUAL
    assert world.verify() == []


@pytest.mark.fault("E33")
def test_a_history_is_read_again_for_a_day_and_from_where_all_agreed(world: World) -> None:
    by_hand(world, "BNBUSDT", Side.SELL, "0.5", "400", 1)
    world.compare()
    services.explain_suspense(
        account_id=world.account_id, asset="BNB", amount=D("0.5"), kind="withdrawal", by=None, reason="sold", now=NOW
    )
    assert rereading.histories(world.account_id, (), now=NOW + timedelta(hours=23)) == {"BNBUSDT": 0}
    assert rereading.histories(world.account_id, (), now=NOW + timedelta(hours=25)) == {}
    assert rereading.histories(world.account_id, ("USDT",), now=NOW + timedelta(hours=25)) == {}
    assert rereading.histories(world.account_id, ("ETH", "USDT"), now=NOW + timedelta(hours=25)) == {"ETHUSDT": 0}


def leave_to_the_operator(world: World, amount: str) -> None:
    """Have a deposit that no bot is given."""
    world.exchange.free["USDT"] += D(amount)
    with transaction.atomic():
        flows.record_flow(world.account(), asset="USDT", amount=D(amount), reference="more", market_at=MARKET_AT, now=NOW)


@pytest.mark.fault("U07")
def test_a_stream_that_does_not_tell_what_the_history_tells_is_given_up(world: World) -> None:
    order = open_order(world)
    trade(world, order)

    async def story(opened: Bench) -> None:
        await opened.intake.fill_gaps(["BTCUSDT"])
        opened.port.elapsed += ECHO_SECONDS - 1
        await opened.intake._mind_silence()
        assert opened.port.calls["reopen_stream"] == 0
        opened.port.elapsed += 2
        await opened.intake._mind_silence()
        assert opened.port.calls["reopen_stream"] == 1
        assert not opened.session.is_stream_open

    run(world, story)


@pytest.mark.fault("U07")
def test_a_stream_that_tells_late_is_kept(world: World) -> None:
    order = open_order(world)
    told = trade(world, order)

    async def story(opened: Bench) -> None:
        await opened.intake.fill_gaps(["BTCUSDT"])
        opened.port.elapsed += ECHO_SECONDS - 1
        opened.intake._hear(told)
        opened.port.elapsed += 60
        await opened.intake._mind_silence()
        assert opened.port.calls["reopen_stream"] == 0

    run(world, story)


@pytest.mark.fault("E42")
def test_a_withdrawal_that_the_operator_cannot_cover_halts_entries(world: World) -> None:
    flow = FlowReport("USDT", D(-5000), MARKET_AT, "USDT:1")
    world.exchange.free["USDT"] -= D(5000)

    async def story(opened: Bench) -> None:
        async with listening(opened):
            opened.intake._hear(flow)
            opened.intake._hear(flow)
        assert await opened.sandwich.compare("test") == "residual"

    run(world, story)
    assert LedgerTransaction.objects.filter(kind="withdrawal").count() == 1
    assert account_of(world).state_reason == accounts.RECONCILE_RESIDUAL
    assert world.verify() == []


@pytest.mark.fault("U09")
def test_balances_that_come_before_their_trade_are_no_difference(world: World) -> None:
    order = open_order(world)
    trade(world, order)

    async def story(opened: Bench) -> None:
        assert await opened.sandwich.compare("test") == "exact"

    run(world, story)
    assert account_of(world).trades_posted == 1


@pytest.mark.fault("E38")
def test_a_fee_without_a_price_is_charged_when_there_is_one(world: World) -> None:
    Mark.objects.filter(instrument__base="BNB").delete()
    services.fund_fee_pool(account_id=world.account_id, asset="BNB", amount=D(1), by=None, now=NOW)
    order = open_order(world)
    world.post(
        world.exchange.fill(order.client_order_id, quantity=D("0.0038"), price=D("50000"), fee=D("0.0005"), fee_asset="BNB")
    )
    book = Book.objects.get(id=order.book_id)
    assert (book.is_halted, book.halt_reason) == (True, "FEE_PENDING")
    assert settle(world) == 0

    Mark.objects.create(instrument=world.instruments["BNB/USDT"], price=D(400), market_at=MARKET_AT, received_at=NOW)
    assert settle(world) == 1
    assert settle(world) == 0
    book.refresh_from_db()
    assert not book.is_halted
    assert Fill.objects.get().fee_quote == D("0.2")
    assert world.verify() == []


def settle(world: World) -> int:
    with transaction.atomic():
        return fee_settlement.settle_pending(world.account(), now=NOW)


@pytest.mark.parametrize(("fee", "told"), [("0.1", []), ("0.9", ["BNB"])])
def test_a_pool_that_lasts_less_than_three_days_is_told_of(world: World, fee: str, told: list[str]) -> None:
    services.fund_fee_pool(account_id=world.account_id, asset="BNB", amount=D(1), by=None, now=NOW)
    order = open_order(world)
    world.post(world.exchange.fill(order.client_order_id, quantity=D("0.0038"), price=D("50000"), fee=D(fee), fee_asset="BNB"))
    # A week's fees are seven days' worth: a tenth of the pool lasts for weeks, nine tenths do not leave three days.
    assert fee_settlement.pools_running_low(world.account_id, market_at=world.market_at + timedelta(days=1)) == told
