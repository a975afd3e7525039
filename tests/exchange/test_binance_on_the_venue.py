"""The contract that an adapter passes before it may trade: through real ccxt, against the real local venue."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from exchange.connect import TRADABLE, ReadOnlyExchange, UnknownExchange, market_port, trading_port
from exchange.errors import ExchangeTrouble, Outcome
from exchange.ports import ClosedCandle, OrderTicket, QuoteUpdate, StreamOpen, TradingPort
from trading.orders import BalanceReport, ExchangeStatus, OrderReport, TradeReport

PROJECT = Path(__file__).resolve().parents[2]
SYMBOL = "BTCUSDT"
IN_TIME = 2**53


@dataclass
class Venue:
    rest_port: int
    control_port: int
    exchange: str = "binance"

    def ask(self, path: str, body: dict[str, Any] | None = None) -> Any:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.control_port}{path}",
            data=None if body is None else json.dumps(body).encode(),
        )
        with urllib.request.urlopen(request, timeout=5) as answer:
            return json.load(answer)

    def port(self, name: str, *, rest_port: int = 0) -> tuple[TradingPort, str]:
        account = self.ask("/control/accounts", {"name": name, "balances": {"USDT": "10000"}})
        port = trading_port(
            exchange=self.exchange,
            key=account["api_key"],
            secret=account["api_secret"],
            rest_url=f"http://127.0.0.1:{rest_port or self.rest_port}",
            stream_url=f"ws://127.0.0.1:{self.rest_port}",
            is_local=True,
        )
        return port, account["uid"]


@pytest.fixture(scope="module", params=sorted(TRADABLE))
def venue(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Venue]:
    ports = [free_port(), free_port()]
    command = [sys.executable, "-m", "venue", "--data-dir", str(tmp_path_factory.mktemp("venue")), "--speed", "300"]
    process = subprocess.Popen([*command, "--port", str(ports[0]), "--control-port", str(ports[1])], cwd=PROJECT)
    found = Venue(ports[0], ports[1], request.param)
    deadline = time.monotonic() + 30
    while True:
        try:
            found.ask("/control/clock")
            break
        except OSError:
            assert time.monotonic() < deadline, "The venue did not start."
            time.sleep(0.05)
    yield found
    process.terminate()
    process.wait(10)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        number: int = listener.getsockname()[1]
        return number


def buy(name: str, **fields: Any) -> OrderTicket:
    known: dict[str, Any] = {"symbol": SYMBOL, "side": "buy", "type": "MARKET", "quantity": Decimal("0.001")}
    return OrderTicket(client_order_id=name, **(known | fields))


async def test_an_order_its_trades_its_events_and_the_balances_tell_one_story(venue: Venue) -> None:
    port, _ = venue.port("story")
    stream = port.user_events()
    assert isinstance(await anext(stream), StreamOpen)
    submitted = await port.submit(buy("t1-1-1-aa"), send_before_ms=IN_TIME)
    assert submitted.report.status == ExchangeStatus.FILLED

    history = await port.trades_since(SYMBOL, 0)
    assert [(row.trade_id, row.price, row.fee, row.fee_asset) for row in history] == [
        (row.trade_id, row.price, row.fee, row.fee_asset) for row in submitted.trades
    ]
    async with asyncio.timeout(5):
        events = [await anext(stream) for _ in range(3 + len(history))]
    assert next(event for event in events if isinstance(event, TradeReport)).trade_id == history[0].trade_id
    assert any(isinstance(event, OrderReport) and event.status == ExchangeStatus.FILLED for event in events)
    balances = await port.balances()
    assert [event for event in events if isinstance(event, BalanceReport)][-1].totals() == balances.totals()
    assert balances.totals()["USDT"] == Decimal(10_000) - submitted.report.executed_quote
    await port.close()


async def test_the_exchange_tells_which_order_gives_way_and_is_told_it(venue: Venue) -> None:
    """I-40: the mode is part of every order, and one of those that the symbol allows."""
    port, _ = venue.port("giving-way")
    listing = next(row for row in await port.instruments() if row.venue_symbol == SYMBOL)
    assert {"EXPIRE_TAKER", "EXPIRE_MAKER"} <= set(listing.filters["SELF_TRADE_PREVENTION"]["modes"])
    bid = (await port.submit(buy("t1-1-9-bd"), send_before_ms=IN_TIME)).report.executed_quote * 500
    price = bid // listing.instrument.tick_size * listing.instrument.tick_size
    resting = buy("t1-1-9-rs", type="LIMIT", time_in_force="GTC", price=price, self_trade_prevention="EXPIRE_TAKER")
    await port.submit(resting, send_before_ms=IN_TIME)
    [row] = [row for row in await port._read("private_get_openorders", {}, weight=80) if row["clientOrderId"] == "t1-1-9-rs"]  # type: ignore[attr-defined]
    assert row["selfTradePreventionMode"] == "EXPIRE_TAKER"
    await port.close()


async def test_an_order_is_sent_once_and_never_too_late(venue: Venue) -> None:
    port, uid = venue.port("gate")
    with pytest.raises(ExchangeTrouble) as late:
        await port.submit(buy("t1-1-2-aa"), send_before_ms=int(time.time() * 1000) - 1)
    assert late.value.outcome == Outcome.REJECTED_LOCAL
    await port.submit(buy("t1-1-3-aa"), send_before_ms=IN_TIME)
    with pytest.raises(ExchangeTrouble) as again:
        await port.submit(buy("t1-1-3-aa"), send_before_ms=IN_TIME)
    assert again.value.outcome == Outcome.EXISTS
    assert [row["clientOrderId"] for row in venue.ask(f"/control/books/{uid}")["orders"]] == ["t1-1-3-aa"]
    await port.close()


async def test_refusals_are_told_apart(venue: Venue) -> None:
    port, _ = venue.port("refusals")

    async def outcome_of(ticket: OrderTicket) -> Outcome:
        with pytest.raises(ExchangeTrouble) as caught:
            await port.submit(ticket, send_before_ms=IN_TIME)
        return caught.value.outcome

    assert await outcome_of(buy("t1-1-4-aa", quantity=Decimal(5))) == Outcome.REJECTED_FUNDS
    assert await outcome_of(buy("t1-1-5-aa", quantity=Decimal("0.0010000001"))) in (
        Outcome.REJECTED_FILTER,
        Outcome.REJECTED_REQUEST,
    )
    assert await outcome_of(buy("t1-1-6-aa", symbol="NOSUCH")) == Outcome.REJECTED_MARKET
    with pytest.raises(ExchangeTrouble) as unseen:
        await port.order_by_client_id(SYMBOL, "t1-1-4-aa")
    assert unseen.value.outcome == Outcome.NOT_VISIBLE
    with pytest.raises(ExchangeTrouble) as gone:
        await port.cancel(SYMBOL, "t1-1-4-aa")
    assert gone.value.outcome == Outcome.QUERY
    await port.close()


async def test_a_door_that_is_shut_proves_that_nothing_was_sent(venue: Venue) -> None:
    port, _ = venue.port("shut", rest_port=free_port())
    with pytest.raises(ExchangeTrouble) as caught:
        await port.submit(buy("t1-1-7-aa"), send_before_ms=IN_TIME)
    assert caught.value.outcome == Outcome.REJECTED_LOCAL
    with pytest.raises(ExchangeTrouble) as unread:
        await port.balances()
    assert unread.value.outcome == Outcome.UNAVAILABLE
    await port.close()


async def test_a_dead_key_stays_a_dead_key(venue: Venue) -> None:
    address = {"rest_url": f"http://127.0.0.1:{venue.rest_port}", "stream_url": f"ws://127.0.0.1:{venue.rest_port}"}
    port = trading_port(exchange=venue.exchange, key="x" * 64, secret="y" * 64, is_local=True, **address)
    for _ in range(2):
        with pytest.raises(ExchangeTrouble) as caught:
            await port.balances()
        assert caught.value.outcome == Outcome.KEY_INVALID
    await port.close()


async def test_candles_are_closed_and_marks_carry_the_market_time(venue: Venue) -> None:
    market = market_port(
        exchange=venue.exchange, rest_url=f"http://127.0.0.1:{venue.rest_port}", stream_url=f"ws://127.0.0.1:{venue.rest_port}"
    )
    before = venue.ask("/control/clock")["market_time"]
    rows = await market.candles("BTC/USDT", "1m", before - 600_000, 1000)
    after = venue.ask("/control/clock")["market_time"]
    assert all(row.open_ms + 60_000 <= after for row in rows)
    async with asyncio.timeout(20):
        candles = [event async for event in first(market.watch_closed_candles([("BTC/USDT", "1m")]), 3)]
        marks = [event async for event in first(market.watch_quotes(["BTC/USDT"]), 3)]
    assert isinstance(candles[0], StreamOpen)
    closed = [candle for candle in candles if isinstance(candle, ClosedCandle)]
    assert closed[1].open_ms == closed[0].open_ms + 60_000
    assert closed == list(await market.candles("BTC/USDT", "1m", closed[0].open_ms, 2))
    assert all(mark.market_ms >= before and mark.mid > 0 for mark in marks if isinstance(mark, QuoteUpdate))
    await market.close()


async def first(stream: Any, count: int) -> Any:
    for _ in range(count):
        yield await anext(stream)
    await stream.aclose()


@pytest.mark.parametrize("exchange", ["coinbase", "kraken", "okx"])
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


async def test_every_address_of_binance_us_is_its_own() -> None:
    from exchange.binance.trading import BinanceTrading
    from exchange.binance.wire import wire_of
    from exchange.profiles import BINANCE_US

    port = BinanceTrading(profile=BINANCE_US, key="x", secret="y", wire_class=wire_of("binanceus"))
    api = port._connection.wire.urls["api"]
    used = [api["public"], api["private"], api["sapi"], api["ws"]["spot"], api["ws"]["ws-api"]["spot"]]
    assert all("binance.us" in address for address in used), used
    assert port.budget.host == "binanceus"
    await port.close()
