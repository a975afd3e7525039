"""The contract that an adapter passes before it may trade: through real ccxt, against a real exchange or its stand-in."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from decimal import Decimal
from typing import Any

import pytest

from exchange.connect import TRADABLE, ReadOnlyExchange, UnknownExchange, market_port, trading_port
from exchange.errors import ExchangeTrouble, Outcome
from exchange.ports import (
    OrderTicket,
    QuoteUpdate,
    StreamGap,
    StreamOpen,
    TradingPort,
    UserEvent,
)
from tests.exchange.coinbase_stand_in import serving
from tests.exchange.local_venue import LocalVenue, running
from tests.exchange.worlds import MONEY, BinanceWorld, CoinbaseWorld, World
from trading.orders import BalanceReport, ExchangeStatus, OrderReport, TradeReport

IN_TIME = 2**53
# So long a machine that is busy may take; nothing is proven by how quick it was.
PATIENCE = 60


@pytest.fixture(scope="module")
def venue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalVenue]:
    with running(tmp_path_factory.mktemp("venue"), "--speed", "300") as found:
        yield found


@pytest.fixture(params=sorted(TRADABLE))
async def world(request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture) -> AsyncIterator[World]:
    caplog.set_level("WARNING", logger="aiohttp.access")
    if request.param != "coinbase":
        local: LocalVenue = request.getfixturevalue("venue")
        yield BinanceWorld(local, request.param)
        local.disarm()
        return
    async with serving() as stand_in:
        yield CoinbaseWorld(stand_in)
        assert stand_in.unknown == [], "ccxt calls endpoints that are not stood in for"


@pytest.fixture
async def port(world: World, request: pytest.FixtureRequest) -> AsyncIterator[TradingPort]:
    """Return the port of an account that is the test's own."""
    world.open(request.node.originalname)
    found = world.port(request.node.originalname)
    yield found
    await found.close()


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    return str(request.node.originalname)


def buy(world: World, name: str, **fields: Any) -> OrderTicket:
    known: dict[str, Any] = {"symbol": world.symbol, "side": "buy", "type": "MARKET", "quantity": Decimal("0.001")}
    return OrderTicket(client_order_id=name, **(known | fields))


def far_below(world: World) -> dict[str, Any]:
    """Describe a bid that rests."""
    return {"type": "LIMIT", "time_in_force": "GTC", "price": (world.price() * Decimal("0.9")).quantize(Decimal(1))}


async def outcome_of(port: TradingPort, ticket: OrderTicket) -> Outcome:
    with pytest.raises(ExchangeTrouble) as caught:
        await port.submit(ticket, send_before_ms=IN_TIME)
    return caught.value.outcome


async def heard_until(stream: AsyncIterator[UserEvent], what: type | ExchangeStatus) -> list[UserEvent]:
    """Listen until an event of a kind comes, or a report of a status."""
    heard = []
    async with asyncio.timeout(PATIENCE):
        while True:
            event = await anext(stream)
            heard.append(event)
            if isinstance(what, ExchangeStatus):
                if isinstance(event, OrderReport) and event.status == what:
                    return heard
            elif isinstance(event, what):
                return heard


async def test_an_order_its_trades_its_events_and_the_balances_tell_one_story(world: World, port: TradingPort) -> None:
    stream = port.user_events()
    await heard_until(stream, StreamOpen)
    submitted = await port.submit(buy(world, "t1-1-1-aa"), send_before_ms=IN_TIME)
    assert submitted.report.status == ExchangeStatus.FILLED

    history = await port.trades_since(world.symbol, 0)
    assert [(row.trade_id, row.price, row.fee, row.fee_asset) for row in history] == [
        (row.trade_id, row.price, row.fee, row.fee_asset) for row in submitted.trades
    ]
    assert sum(row.quantity for row in history) == submitted.report.quantity
    assert [row.trade_id for row in history] == sorted({row.trade_id for row in history})
    events = await heard_until(stream, ExchangeStatus.FILLED)
    told = [event for event in events if isinstance(event, TradeReport)]
    assert {row.trade_id for row in told} == {row.trade_id for row in history}
    assert {row.client_order_id for row in told} == {"t1-1-1-aa"}
    balances = await port.balances()
    by_stream = [event for event in events if isinstance(event, BalanceReport)]
    assert all(event.totals() == balances.totals() for event in by_stream[-1:])
    fees = sum((row.fee for row in history if row.fee_asset == world.quote), Decimal(0))
    assert balances.totals()[world.quote] == MONEY - submitted.report.executed_quote - fees


async def test_the_history_is_whole_from_any_trade_on(world: World, port: TradingPort) -> None:
    made: list[TradeReport] = []
    for number in range(4):
        made += (await port.submit(buy(world, f"t1-1-{number + 1}-hi"), send_before_ms=IN_TIME)).trades
    whole = await port.trades_since(world.symbol, 0)
    assert [row.trade_id for row in whole] == [row.trade_id for row in made]
    later = await port.trades_since(world.symbol, whole[2].trade_id + 1)
    assert [row.trade_id for row in later] == [row.trade_id for row in whole[3:]]
    numbers = {row.exchange_order_id for row in whole}
    assert set((await port.names_of(world.symbol, numbers)).values()) == {f"t1-1-{number}-hi" for number in range(1, 5)}


async def test_an_order_rests_is_listed_and_ends_when_it_is_cancelled(world: World, port: TradingPort) -> None:
    stream = port.user_events()
    await heard_until(stream, StreamOpen)
    ticket = buy(world, "t1-1-1-rs", **far_below(world))
    submitted = await port.submit(ticket, send_before_ms=IN_TIME)
    assert (submitted.report.status, submitted.trades) == (ExchangeStatus.NEW, ())
    for symbol in (world.symbol, None):
        assert [row.client_order_id for row in await port.open_orders(symbol)] == ["t1-1-1-rs"]
    held = (await port.balances()).locked[world.quote]
    assert held >= ticket.quantity * ticket.price  # type: ignore[operator]
    ended = await port.cancel(world.symbol, "t1-1-1-rs")
    assert (ended.status, ended.executed_quantity) == (ExchangeStatus.CANCELED, Decimal(0))
    await heard_until(stream, ExchangeStatus.CANCELED)
    assert await port.open_orders() == []
    assert (await port.balances()).totals() == {world.quote: MONEY}
    with pytest.raises(ExchangeTrouble) as again:
        await port.cancel(world.symbol, "t1-1-1-rs")
    assert again.value.outcome == Outcome.QUERY


async def test_the_exchange_tells_which_order_gives_way_and_is_told_it(world: World, port: TradingPort) -> None:
    """I-40: the mode is part of every order where the exchange has one, and one of those that the symbol allows."""
    listing = next(row for row in await port.instruments() if row.venue_symbol == world.symbol)
    assert listing.instrument.symbol == world.pair
    modes = set(listing.filters.get("SELF_TRADE_PREVENTION", {}).get("modes", ()))
    if not modes:
        # Where orders name no mode the exchange keeps its own for all of them.
        assert world.exchange == "coinbase"
        return
    assert {"EXPIRE_TAKER", "EXPIRE_MAKER"} <= modes
    resting = buy(world, "t1-1-9-rs", self_trade_prevention="EXPIRE_TAKER", **far_below(world))
    await port.submit(resting, send_before_ms=IN_TIME)
    [row] = await port._read("private_get_openorders", {}, weight=80)  # type: ignore[attr-defined]
    assert row["selfTradePreventionMode"] == "EXPIRE_TAKER"


async def test_an_order_is_sent_once_and_never_too_late(world: World, port: TradingPort, name: str) -> None:
    with pytest.raises(ExchangeTrouble) as late:
        await port.submit(buy(world, "t1-1-2-aa"), send_before_ms=int(time.time() * 1000) - 1)
    assert late.value.outcome == Outcome.REJECTED_LOCAL
    await port.submit(buy(world, "t1-1-3-aa"), send_before_ms=IN_TIME)
    assert await outcome_of(port, buy(world, "t1-1-3-aa")) == Outcome.EXISTS
    assert world.orders(name) == ["t1-1-3-aa"]


async def test_refusals_are_told_apart(world: World, port: TradingPort, name: str) -> None:
    assert await outcome_of(port, buy(world, "t1-1-4-aa", quantity=Decimal(5))) == Outcome.REJECTED_FUNDS
    assert await outcome_of(port, buy(world, "t1-1-5-aa", quantity=Decimal("0.0010000001"))) in (
        Outcome.REJECTED_FILTER,
        Outcome.REJECTED_REQUEST,
    )
    assert await outcome_of(port, buy(world, "t1-1-6-aa", symbol="NOSUCH")) == Outcome.REJECTED_MARKET
    maker = buy(world, "t1-1-7-aa", type="LIMIT_MAKER", price=(world.price() * Decimal("1.02")).quantize(Decimal(1)))
    assert await outcome_of(port, maker) == Outcome.REJECTED_PRICE
    assert world.orders(name) == []
    with pytest.raises(ExchangeTrouble) as unseen:
        await port.order_by_client_id(world.symbol, "t1-1-4-aa")
    assert unseen.value.outcome == Outcome.NOT_VISIBLE
    with pytest.raises(ExchangeTrouble) as gone:
        await port.cancel(world.symbol, "t1-1-4-aa")
    assert gone.value.outcome == Outcome.QUERY


async def test_a_lost_answer_proves_nothing_and_the_order_is_found_by_name(world: World, port: TradingPort, name: str) -> None:
    world.lose_answer()
    assert await outcome_of(port, buy(world, "t1-1-1-lo")) == Outcome.UNKNOWN
    assert world.orders(name) == ["t1-1-1-lo"]
    # Whoever looks may have been started since.
    for reader in (port, fresh := world.port(name)):
        report = await reader.order_by_client_id(world.symbol, "t1-1-1-lo")
        assert (report.status, report.client_order_id) == (ExchangeStatus.FILLED, "t1-1-1-lo")
    assert await outcome_of(port, buy(world, "t1-1-1-lo")) == Outcome.EXISTS
    await fresh.close()


@pytest.mark.parametrize(("status", "outcome"), [(503, Outcome.UNKNOWN), (429, Outcome.BACKOFF_WEIGHT)])
async def test_trouble_is_told_by_what_it_proves(
    world: World, port: TradingPort, name: str, status: int, outcome: Outcome
) -> None:
    world.refuse(status)
    assert await outcome_of(port, buy(world, "t1-1-1-tr")) == outcome
    assert world.orders(name) == []
    assert (port.silent_seconds() > 0) == (status == 429)


async def test_a_door_that_is_shut_proves_that_nothing_was_sent(world: World, name: str) -> None:
    world.open(name)
    port = world.port(name, is_shut=True)
    assert await outcome_of(port, buy(world, "t1-1-7-aa")) == Outcome.REJECTED_LOCAL
    with pytest.raises(ExchangeTrouble) as unread:
        await port.balances()
    assert unread.value.outcome == Outcome.UNAVAILABLE
    await port.close()


async def test_a_dead_key_stays_a_dead_key(world: World) -> None:
    port = world.stranger()
    for _ in range(2):
        with pytest.raises(ExchangeTrouble) as caught:
            await port.balances()
        assert caught.value.outcome == Outcome.KEY_INVALID
    await port.close()


async def test_a_key_tells_what_it_may_do_and_clocks_are_compared(port: TradingPort) -> None:
    rights = await port.key_permissions()
    assert (rights.can_read, rights.can_trade, rights.can_withdraw) == (True, True, False)
    assert abs(await port.measure_clock()) < PATIENCE * 1000
    assert abs(await port.server_time_ms() - time.time() * 1000) < PATIENCE * 1000


async def test_a_stream_that_is_cut_shows_a_gap_and_opens_again(world: World, port: TradingPort, name: str) -> None:
    stream = port.user_events()
    await heard_until(stream, StreamOpen)
    await world.cut_stream(name)
    # Where an event must come before the line is cut, this is it; the history has it all the same.
    await port.submit(buy(world, "t1-1-1-cu"), send_before_ms=IN_TIME)
    heard = await heard_until(stream, StreamGap)
    assert isinstance((await heard_until(stream, StreamOpen))[-1], StreamOpen), heard
    submitted = await port.submit(buy(world, "t1-1-2-cu"), send_before_ms=IN_TIME)
    again = [event for event in await heard_until(stream, ExchangeStatus.FILLED) if isinstance(event, TradeReport)]
    assert {row.trade_id for row in submitted.trades} <= {row.trade_id for row in again}


async def test_candles_are_closed_and_marks_carry_a_time(world: World) -> None:
    market = world.market()
    begin = int(time.time() * 1000) - 3_600_000
    if isinstance(world, BinanceWorld):
        begin = world.venue.ask("/control/clock")["market_time"] - 600_000
    begin -= begin % 60_000
    rows = await market.candles(world.pair, "1m", begin, 5)
    assert [row.open_ms for row in rows] == [begin + place * 60_000 for place in range(5)]
    assert all(row.low <= row.close <= row.high for row in rows)
    async with asyncio.timeout(PATIENCE):
        marks = [event async for event in first(market.watch_quotes([world.pair]), 3)]
    quotes = [mark for mark in marks if isinstance(mark, QuoteUpdate)]
    assert quotes
    assert all(mark.market_ms >= begin and mark.mid > 0 for mark in quotes)
    await market.close()


async def first(stream: Any, count: int) -> Any:
    for _ in range(count):
        yield await anext(stream)
    await stream.aclose()


@pytest.mark.parametrize("exchange", ["kraken", "okx", "bybit"])
async def test_an_exchange_without_the_contract_is_refused_at_the_door(exchange: str) -> None:
    with pytest.raises(ReadOnlyExchange) as refused:
        trading_port(exchange=exchange, key="x", secret="y")
    assert refused.value.code == "EXCHANGE_READ_ONLY"
    await market_port(exchange=exchange).close()


async def test_an_exchange_that_nobody_knows_is_refused() -> None:
    with pytest.raises(UnknownExchange):
        market_port(exchange="bynance")
    with pytest.raises(ReadOnlyExchange):
        trading_port(exchange="bynance", key="x", secret="y")


@pytest.mark.parametrize(("exchange", "domain"), [("binanceus", "binance.us"), ("coinbase", "coinbase.com")])
async def test_every_address_of_an_exchange_is_its_own(exchange: str, domain: str) -> None:
    port: Any = trading_port(exchange=exchange, key="x", secret="y")
    api = port._connection.wire.urls["api"]
    binances = [api.get("public"), api.get("private"), api.get("sapi")]
    streams = [api["ws"]["spot"], api["ws"]["ws-api"]["spot"]] if exchange == "binanceus" else [api["ws"], api["rest"]]
    used = [address for address in (*binances, *streams) if address]
    assert all(domain in address for address in used), used
    assert port.budget.host == exchange
    await port.close()
