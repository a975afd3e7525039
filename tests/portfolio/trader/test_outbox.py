"""What may go out, what is held back, and what an exchange's refusal leads to."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from threading import Event

import pytest
from django.db import connection, transaction

from exchange.errors import ExchangeTrouble, Outcome
from exchange.profiles import BINANCE
from portfolio import running
from portfolio.models import Account, Heartbeat, Intent, Order
from portfolio.running import CODE_DIFFERS
from portfolio.trader.outbox import SENDS_AT_ONCE
from portfolio.trader.session import AccountHalted
from portfolio.trader.upkeep import CLOCK_OFF, LAG_CALM_SECONDS, LOOP_LAGS, Upkeep
from portfolio.writers import accounts
from tests.portfolio.trader.lagging import Bench, account_of, bench
from tests.portfolio.world import NOW, World, build
from tests.waiting import wait_until

D = Decimal
pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def world(transactional_db: None) -> World:
    made = build()
    Order.objects.update(created_at=NOW)
    return made


def enter(world: World, *, book: int = 0, symbol: str = "BTC/USDT") -> Order:
    lots, price = {"BTC/USDT": (380, "50505"), "ETH/USDT": (700, "2525")}[symbol]
    (outcome,) = world.decide(world.propose("enter", book, symbol=symbol, lots=lots, limit_price=D(price)))
    assert outcome.is_accepted, outcome
    return world.order(kind="enter", book=book)


def hold(world: World) -> Order:
    """Give the first book coins and have it decide to sell them."""
    order = world.send(enter(world))
    world.fill(order, "0.0038", "50000", fee="0.0000038", fee_asset="BTC")
    (outcome,) = world.decide(world.propose("exit", lots=0))
    assert outcome.is_accepted, outcome
    return world.order(kind="exit")


def run(world: World, story: Callable[[Bench], Awaitable[None]], **fields: object) -> None:
    async def tell() -> None:
        async with bench(world, **fields) as opened:
            await story(opened)

    asyncio.run(tell())


def fate(order: Order) -> tuple[str, str]:
    row = Order.objects.get(id=order.pk)
    return row.status, row.reason


async def send(opened: Bench) -> None:
    await opened.send()


def test_orders_go_out_together_in_the_order_of_arbitration(world: World) -> None:
    entries = [enter(world, book=book) for book in range(5)]

    run(world, send)

    assert [row.number for row in world.exchange.orders.values()] == ["1000", "1001", "1002", "1003", "1004"]
    assert list(world.exchange.orders) == [order.client_order_id for order in entries]
    assert {fate(order)[0] for order in entries} == {"open"}


def test_orders_go_on_to_the_wire_while_their_answers_wait_for_the_ledger(world: World) -> None:
    """More than may be on the wire at once, and an account that somebody else holds: no answer can be recorded."""
    entries = [enter(world, book=book, symbol=symbol) for symbol in ("BTC/USDT", "ETH/USDT") for book in range(5)]
    assert len(entries) > SENDS_AT_ONCE
    is_held, is_over = Event(), Event()

    def hold_the_account() -> None:
        try:
            with transaction.atomic():
                accounts.lock(world.account_id)
                is_held.set()
                assert is_over.wait(60)
        finally:
            connection.close()

    async def story(opened: Bench) -> None:
        holding = asyncio.create_task(asyncio.to_thread(hold_the_account))
        await asyncio.to_thread(is_held.wait, 60)
        sending = asyncio.create_task(opened.send())
        try:
            await asyncio.to_thread(wait_until, lambda: len(world.exchange.orders) == len(entries))
            assert not sending.done()
        finally:
            is_over.set()
            await asyncio.gather(holding, sending)

    run(world, story)
    assert {fate(order)[0] for order in entries} == {"open"}
    assert world.verify() == []


@pytest.mark.fault("K01")
def test_a_clock_that_is_off_by_a_second_stops_entries_and_nothing_else(world: World) -> None:
    sale, entry = hold(world), enter(world, book=1)

    async def story(opened: Bench) -> None:
        opened.port.clock_ahead_ms = 2_000
        upkeep = Upkeep(opened.session)
        await upkeep.measure_clock()
        await opened.send()
        halted = account_of_async(opened, world)
        assert (await halted).state_reason == CLOCK_OFF
        opened.port.clock_ahead_ms = 700
        await upkeep.measure_clock()
        assert opened.session.entry_stops == set()
        assert (await account_of_async(opened, world)).state == Account.State.ACTIVE

    run(world, story)
    assert fate(entry) == ("withdrawn", CLOCK_OFF)
    assert fate(sale)[0] == "open"
    assert world.verify() == []


async def account_of_async(opened: Bench, world: World) -> Account:
    return await opened.session.database.run(account_of, world)


@pytest.mark.fault("K01", "P06")
@pytest.mark.parametrize("reason", [CLOCK_OFF, LOOP_LAGS])
def test_a_halt_that_ends_by_itself_ends_after_a_restart_too(world: World, reason: str) -> None:
    """The life that set it is over, and with it its memory of having done so."""

    async def story(opened: Bench) -> None:
        await opened.session.halt(reason)
        upkeep = Upkeep(opened.session)
        opened.port.clock_ahead_ms = 2_000
        await upkeep.measure_clock()
        await upkeep.mind_lag(3.0)
        assert (await account_of_async(opened, world)).state_reason == reason
        opened.session.entry_stops.clear()
        opened.port.clock_ahead_ms = 0
        begun_anew = Upkeep(opened.session)
        await begun_anew.measure_clock()
        await begun_anew.mind_lag(0.1)
        assert (await account_of_async(opened, world)).state == Account.State.ACTIVE

    run(world, story)


@pytest.mark.fault("P06")
def test_a_trader_that_is_served_late_stops_entries_and_nothing_else(world: World) -> None:
    """A starved machine: whoever wakes two seconds late knows another market than there is."""
    sale, entry = hold(world), enter(world, book=1)

    async def story(opened: Bench) -> None:
        session, port = opened.session, opened.port
        lags = [0.0, 1.9, 2.5]

        async def starve(seconds: float) -> None:
            port.elapsed += seconds + (lags.pop(0) if lags else 0.0)
            if session.entry_stops:
                raise asyncio.CancelledError

        session.sleep = starve
        upkeep = Upkeep(session)
        with pytest.raises(asyncio.CancelledError):
            await upkeep._watch_loop()
        assert lags == []
        assert session.entry_stops == {LOOP_LAGS}
        assert (await account_of_async(opened, world)).state_reason == LOOP_LAGS
        await opened.send()
        port.elapsed += LAG_CALM_SECONDS
        await upkeep.mind_lag(0.0)
        assert session.entry_stops == set()
        assert (await account_of_async(opened, world)).state == Account.State.ACTIVE

    run(world, story)
    assert fate(entry) == ("withdrawn", LOOP_LAGS)
    assert fate(sale)[0] == "open"
    assert world.verify() == []


@pytest.mark.fault("K01")
def test_lifting_one_halt_lifts_no_other(world: World) -> None:
    async def story(opened: Bench) -> None:
        await opened.session.halt("ORDER_ADOPTED")
        opened.port.clock_ahead_ms = -30_000
        upkeep = Upkeep(opened.session)
        await upkeep.measure_clock()
        opened.port.clock_ahead_ms = 0
        await upkeep.measure_clock()
        assert (await account_of_async(opened, world)).state_reason == "ORDER_ADOPTED"

    run(world, story)


@pytest.mark.fault("O08")
def test_entries_stop_while_another_process_runs_other_code(world: World) -> None:
    """New code on one of two workers: what it decides is not what this one sends by (Knight). Exits go on."""
    sale, entry = hold(world), enter(world, book=1)

    async def story(opened: Bench) -> None:
        database, now = opened.session.database, opened.session.clock()
        upkeep = Upkeep(opened.session)

        async def beats(process: str, code_hash: str, seconds_ago: int = 1) -> None:
            defaults = {"beat_at": now - timedelta(seconds=seconds_ago), "code_hash": code_hash}
            await database.run(Heartbeat.objects.update_or_create, process=process, defaults=defaults)

        await beats("worker trading 1", running.fingerprint())
        # Who is gone, and who says nothing of what it runs, is not judged.
        await beats("worker trading 2", "older", seconds_ago=60)
        await beats("worker trading 3", "")
        await upkeep.mind_code()
        assert (await account_of_async(opened, world)).state == Account.State.ACTIVE
        await beats("worker trading 2", "other")
        for _ in range(2):
            await upkeep.mind_code()
        await opened.send()
        assert (await account_of_async(opened, world)).state_reason == CODE_DIFFERS
        await beats("worker trading 2", running.fingerprint())
        # The trader itself may have been the one that was behind: its next life lifts what the one before has set.
        opened.session.entry_stops.clear()
        await Upkeep(opened.session).mind_code()
        assert opened.session.entry_stops == set()
        assert (await account_of_async(opened, world)).state == Account.State.ACTIVE

    run(world, story)
    assert fate(entry) == ("withdrawn", CODE_DIFFERS)
    assert fate(sale)[0] == "open"
    assert world.verify() == []


@pytest.mark.fault("O08")
def test_a_fingerprint_is_of_the_sources_that_decide_and_of_the_mode(tmp_path: Path) -> None:
    (tmp_path / "trading").mkdir()
    (tmp_path / "templates").mkdir()
    told = {running.fingerprint_of(tmp_path, {"mode": mode}) for mode in ("paper", "live")}
    (tmp_path / "templates" / "page.py").write_text("1")
    assert running.fingerprint_of(tmp_path, {"mode": "live"}) in told
    for text in ("1", "2"):
        (tmp_path / "trading" / "risk.py").write_text(text)
        told.add(running.fingerprint_of(tmp_path, {"mode": "live"}))
    assert len(told) == 4
    assert running.fingerprint() == running.fingerprint()


@pytest.mark.fault("E16")
def test_a_refused_clock_is_a_proven_refusal_and_the_fourth_stops_entries(world: World) -> None:
    orders: list[Order] = []

    async def story(opened: Bench) -> None:
        upkeep = Upkeep(opened.session)
        for book in range(4):
            orders.append(await opened.session.database.run(enter, world, book=book))
            opened.port.troubles["submit"] = [ExchangeTrouble(Outcome.REJECTED_TIME, "outside of the recvWindow", code=-1021)]
            await opened.send()
            await upkeep.measure_clock()
            assert (CLOCK_OFF in opened.session.entry_stops) == (book == 3)
        # Five quiet minutes later it is forgotten.
        opened.port.elapsed += 301
        await upkeep.measure_clock()
        assert opened.session.entry_stops == set()

    run(world, story)
    assert {fate(order) for order in orders} == {("rejected", "REJECTED_TIME")}
    assert world.exchange.orders == {}


@pytest.mark.fault("E19")
def test_without_funds_there_is_one_attempt_a_minute_for_each_symbol(world: World) -> None:
    first = enter(world)
    later: list[Order] = []

    async def story(opened: Bench) -> None:
        opened.port.troubles["submit"] = [ExchangeTrouble(Outcome.REJECTED_FUNDS, "insufficient balance", code=-2010)]
        await opened.send()
        assert opened.session.is_reconcile_wanted
        for book, symbol, seconds in ((1, "BTC/USDT", 1), (2, "ETH/USDT", 1), (3, "BTC/USDT", 61)):
            opened.port.elapsed += seconds
            later.append(await opened.session.database.run(enter, world, book=book, symbol=symbol))
            await opened.session.database.run(Order.objects.update, created_at=opened.session.now())
            await opened.send()

    run(world, story)
    assert fate(first) == ("rejected", "REJECTED_FUNDS")
    assert [fate(order) for order in later] == [("withdrawn", "FUNDS_REFUSED"), ("open", ""), ("open", "")]


@pytest.mark.fault("E21", "E40")
def test_a_symbol_that_does_not_trade_takes_no_entry(world: World) -> None:
    entry, other = enter(world), enter(world, book=1, symbol="ETH/USDT")

    run(world, send, blocked={"BTCUSDT"})

    assert fate(entry) == ("withdrawn", "SYMBOL_BLOCKED")
    assert fate(other)[0] == "open"


@pytest.mark.fault("E14")
def test_too_many_orders_pause_orders_and_no_cancels(world: World) -> None:
    resting, refused, waiting = world.send(enter(world)), enter(world, book=1), enter(world, book=2)
    Order.objects.filter(id=resting.pk).update(cancel_requested_at=NOW)

    async def story(opened: Bench) -> None:
        opened.outbox._silent_until = opened.session.monotonic() + 10
        await opened.send()
        assert opened.port.canceled == [resting.client_order_id]
        assert opened.port.calls["submit"] == 0
        opened.port.elapsed += 11
        opened.port.troubles["submit"] = [
            ExchangeTrouble(Outcome.BACKOFF_ORDERS, "Too many new orders", code=-1015, retry_after_seconds=5)
        ]
        await opened.send()

    run(world, story)
    assert {fate(refused), fate(waiting)} == {("rejected", "BACKOFF_ORDERS"), ("open", "")}


@pytest.mark.fault("E17", "E18")
def test_a_dead_key_halts_the_account_without_another_attempt(world: World) -> None:
    entry = enter(world)

    async def story(opened: Bench) -> None:
        opened.port.troubles["submit"] = [ExchangeTrouble(Outcome.KEY_INVALID, "Invalid API-key", code=-2015)]
        with pytest.raises(AccountHalted):
            await opened.send()
        assert opened.port.calls["submit"] == 1

    run(world, story)
    account = account_of(world)
    assert (account.state, account.state_reason) == (Account.State.HALTED, "KEY_INVALID")
    assert fate(entry) == ("rejected", "KEY_INVALID")


@pytest.mark.fault("E46", "K05")
def test_an_entry_that_an_outage_kept_back_is_not_sent_into_another_market(world: World) -> None:
    sale, entry = hold(world), enter(world, book=1)
    Order.objects.update(created_at=NOW - timedelta(seconds=31))

    run(world, send)

    assert fate(entry) == ("withdrawn", "ENTRY_STALE")
    assert fate(sale)[0] == "open"
    assert world.verify() == []


@pytest.mark.fault("C23")
def test_in_safe_mode_only_what_a_person_asks_for_goes_out(world: World) -> None:
    sale = hold(world)
    resting = world.send(enter(world, book=1))
    Order.objects.filter(id=resting.pk).update(cancel_requested_at=NOW)

    async def story(opened: Bench) -> None:
        await opened.send()
        assert opened.port.canceled == [resting.client_order_id]
        assert opened.port.calls["submit"] == 0
        await opened.session.database.run(Intent.objects.filter(id=sale.intent_id).update, kind="flatten")
        await opened.send()

    run(world, story, is_safe_mode=True)
    assert fate(sale)[0] == "open"


@pytest.mark.fault("C20", "P06")
def test_a_lease_that_ends_soon_shortens_the_time_to_send(world: World) -> None:
    async def story(opened: Bench) -> None:
        session = opened.session
        wall_ms = int(session.clock().timestamp() * 1000)
        assert session.send_before_ms(session.monotonic()) == wall_ms + BINANCE.send_window_seconds * 1000
        session.lease_until = session.monotonic() + 6.5
        assert session.send_before_ms(session.monotonic()) == wall_ms + 500
        claimed = session.monotonic()
        opened.port.elapsed += 120
        assert session.send_before_ms(claimed) < int(session.clock().timestamp() * 1000)

    run(world, story)
