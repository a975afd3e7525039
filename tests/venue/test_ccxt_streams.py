"""The contract with real ccxt.pro: market streams, the user stream and the WebSocket API."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import ccxt.pro
import pytest

from tests.venue import clients
from tests.venue.processes import VenueProcess

SYMBOL = "ETH/USDT"
SECONDS = 8.0


@pytest.fixture
async def client(synthetic_venue: VenueProcess, request: pytest.FixtureRequest) -> AsyncIterator[Any]:
    """Make a client with an account of its own."""
    keys = synthetic_venue.open_account(request.node.name, USDT="50000", ETH="20")
    client = clients.make(ccxt.pro.binance, synthetic_venue.address, keys)
    yield client
    await client.close()


async def test_every_market_stream_speaks(client: Any) -> None:
    watches = {
        "candles": client.watch_ohlcv(SYMBOL, "1m"),
        "candles of several": client.watch_ohlcv_for_symbols([[SYMBOL, "5m"], ["BTC/USDT", "1m"]]),
        "trades": client.watch_trades(SYMBOL),
        "sides": client.watch_bids_asks([SYMBOL, "BTC/USDT"]),
        "book": client.watch_order_book(SYMBOL),
        "ticker": client.watch_ticker(SYMBOL),
        "mini": client.watch_tickers([SYMBOL], {"channelName": "miniTicker"}),
    }
    await client.load_markets()
    answers = await asyncio.wait_for(asyncio.gather(*watches.values()), SECONDS)
    heard = dict(zip(watches, answers, strict=True))

    assert heard["candles"][-1][4] > 0
    assert heard["trades"][-1]["price"] > 0
    assert heard["book"]["bids"][0][0] < heard["book"]["asks"][0][0]
    assert heard["ticker"]["last"] > 0
    assert heard["mini"][SYMBOL]["last"] > 0
    assert all(side["bid"] < side["ask"] for side in heard["sides"].values())


async def test_a_closed_candle_on_the_stream_equals_the_one_that_is_asked_for(client: Any) -> None:
    await client.load_markets()
    seen: dict[int, list[float]] = {}
    async with asyncio.timeout(SECONDS):
        while len(seen) < 3:
            for row in await client.watch_ohlcv(SYMBOL, "1m"):
                seen[row[0]] = row
    closed = sorted(seen)[-2]

    [asked] = await client.fetch_ohlcv(SYMBOL, "1m", since=closed, limit=1)

    assert asked == seen[closed]


async def test_the_user_stream_tells_orders_fills_and_balances(client: Any) -> None:
    await client.load_markets()
    orders = asyncio.create_task(client.watch_orders(SYMBOL))
    fills = asyncio.create_task(client.watch_my_trades(SYMBOL))
    balances = asyncio.create_task(client.watch_balance())
    await asyncio.sleep(0.5)

    placed = await client.create_order(SYMBOL, "market", "buy", 0.05, None, {"clientOrderId": "streamed"})

    told = await asyncio.wait_for(orders, SECONDS)
    fill = (await asyncio.wait_for(fills, SECONDS))[-1]
    balance = await asyncio.wait_for(balances, SECONDS)
    assert told[-1]["clientOrderId"] == "streamed"
    assert (fill["order"], fill["amount"], fill["fee"]["currency"]) == (placed["id"], 0.05, "ETH")
    assert balance["ETH"]["total"] == pytest.approx(20 + 0.05 - 0.00005)


async def test_a_cancelled_order_is_told_under_its_own_name(client: Any) -> None:
    await client.load_markets()
    price = (await client.fetch_ticker(SYMBOL))["last"]
    waiting = asyncio.create_task(client.watch_orders(SYMBOL))
    await asyncio.sleep(0.3)
    order = await client.create_order(SYMBOL, "limit", "buy", 0.1, price * 0.9, {"clientOrderId": "to-cancel"})
    await asyncio.wait_for(waiting, SECONDS)

    waiting = asyncio.create_task(client.watch_orders(SYMBOL))
    await client.cancel_order(order["id"], SYMBOL)
    last = (await asyncio.wait_for(waiting, SECONDS))[-1]

    assert (last["status"], last["clientOrderId"]) == ("canceled", "to-cancel")


async def test_money_from_outside_is_told(client: Any, synthetic_venue: VenueProcess) -> None:
    await client.load_markets()
    first = asyncio.create_task(client.watch_balance())
    await asyncio.sleep(0.5)
    uid = (await client.fetch_balance())["info"]["uid"]

    synthetic_venue.control("POST", "/control/faucet", {"uid": uid, "asset": "USDT", "amount": "-0.00000001"})
    await asyncio.wait_for(first, SECONDS)
    # First comes the difference, then the balance that it makes; ccxt keeps the last.
    async with asyncio.timeout(SECONDS):
        while client.balance["spot"]["USDT"]["total"] is None:  # noqa: ASYNC110 - ccxt offers no event for it.
            await asyncio.sleep(0.05)

    assert client.balance["spot"]["USDT"]["total"] == 49999.99999999


async def test_orders_over_the_websocket_api(client: Any) -> None:
    await client.load_markets()
    price = (await client.fetch_ticker(SYMBOL))["last"]

    placed = await client.create_order_ws(SYMBOL, "limit", "buy", 0.1, price * 0.9)
    found = await client.fetch_order_ws(placed["id"], SYMBOL)
    open_orders = await client.fetch_open_orders_ws(SYMBOL)
    account = await client.fetch_balance_ws()
    cancelled = await client.cancel_order_ws(placed["id"], SYMBOL)

    assert found["status"] == "open"
    assert [order["id"] for order in open_orders] == [placed["id"]]
    assert any(row["asset"] == "USDT" for row in account["info"]["balances"])
    assert cancelled["status"] == "canceled"
