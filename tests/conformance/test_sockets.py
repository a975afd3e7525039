"""The WebSocket API: calls, refusals and the user stream."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import pytest

from tests.conformance.conftest import Exchange
from tests.conformance.orders import QUANTITY, far_below, limit, market
from tests.conformance.protocol import Client, Refused

WAIT_SECONDS = 10.0


async def _next(events: asyncio.Queue[dict[str, Any]], kind: str, **fields: str) -> dict[str, Any]:
    """Return the next event of this kind with these fields."""
    async with asyncio.timeout(WAIT_SECONDS):
        while True:
            event = await events.get()
            if event["e"] == kind and all(event[name] == value for name, value in fields.items()):
                return event


async def test_a_socket_answers_like_the_rest(client: Client, exchange: Exchange) -> None:
    placed = await client.ask_socket("order.place", **limit("BUY", far_below(exchange), newClientOrderId="by-socket"))

    status = await client.ask_socket("order.status", symbol="ETHUSDT", origClientOrderId="by-socket")
    assert status == await client.ask("order", symbol="ETHUSDT", orderId=placed["orderId"])
    assert await client.ask_socket("openOrders.status", symbol="ETHUSDT") == [status]
    cancelled = await client.ask_socket("order.cancel", symbol="ETHUSDT", orderId=placed["orderId"])
    assert cancelled["status"] == "CANCELED"
    assert await client.ask_socket("allOrders", symbol="ETHUSDT") == await client.ask("allOrders", symbol="ETHUSDT")
    assert await client.ask_socket("account.status") == await client.ask("account")


async def test_market_orders_are_placed_and_told_over_a_socket(client: Client) -> None:
    order = await client.ask_socket("order.place", **market("BUY", newOrderRespType="FULL"))

    assert order["status"] == "FILLED"
    assert sum(Decimal(fill["qty"]) for fill in order["fills"]) == Decimal(QUANTITY)
    trades = await client.ask_socket("myTrades", symbol="ETHUSDT")
    assert [row["orderId"] for row in trades] == [order["orderId"]] * len(trades)


async def test_all_orders_are_cancelled_over_a_socket(client: Client, exchange: Exchange) -> None:
    for number in range(2):
        await client.ask_socket("order.place", **limit("BUY", far_below(exchange) - number))

    cancelled = await client.ask_socket("openOrders.cancelAll", symbol="ETHUSDT")

    assert [row["status"] for row in cancelled] == ["CANCELED", "CANCELED"]


async def test_the_market_is_told_over_a_socket(client: Client) -> None:
    assert await client.ask_socket("ping") == {}
    assert (await client.ask_socket("time"))["serverTime"] > 0
    book = await client.ask_socket("depth", symbol="ETHUSDT", limit=5)
    assert len(book["bids"]) == len(book["asks"]) == 5
    candles = await client.ask_socket("klines", symbol="ETHUSDT", interval="1m", limit=3)
    assert [len(row) for row in candles] == [12] * 3


@pytest.mark.parametrize(
    ("method", "parameters", "code", "message"),
    [
        ("order.place", market("BUY", symbol="NOSUCH"), -1121, "Invalid symbol."),
        ("order.place", market("SELL", quantity="50"), -2010, "Account has insufficient balance for requested action."),
        ("order.status", {"symbol": "ETHUSDT", "orderId": 987654321}, -2013, "Order does not exist."),
        ("order.cancel", {"symbol": "ETHUSDT", "origClientOrderId": "ghost"}, -2011, "Unknown order sent."),
    ],
)
async def test_a_socket_refuses_in_the_same_words(
    client: Client, method: str, parameters: dict[str, Any], code: int, message: str
) -> None:
    with pytest.raises(Refused) as refused:
        await client.ask_socket(method, **parameters)

    assert (refused.value.code, refused.value.message) == (code, message)


async def test_the_user_stream_tells_the_life_of_an_order(client: Client, exchange: Exchange) -> None:
    events = await client.user_events()

    order = await client.ask("newOrder", **limit("BUY", far_below(exchange), newClientOrderId="told"))
    born = await _next(events, "executionReport", x="NEW")
    balance = await _next(events, "outboundAccountPosition")
    await client.ask("cancelOrder", symbol="ETHUSDT", orderId=order["orderId"])
    ended = await _next(events, "executionReport", x="CANCELED")

    assert (born["c"], born["X"], born["i"], born["S"], born["o"]) == ("told", "NEW", order["orderId"], "BUY", "LIMIT")
    assert {row["a"] for row in balance["B"]} >= {"USDT"}
    assert (ended["C"], ended["X"], ended["i"]) == ("told", "CANCELED", order["orderId"])


async def test_the_user_stream_tells_fills_and_balances(client: Client) -> None:
    events = await client.user_events()

    order = await client.ask_socket("order.place", **market("BUY", newClientOrderId="filled"))
    fill = await _next(events, "executionReport", x="TRADE")
    balance = await _next(events, "outboundAccountPosition")

    trades = await client.ask("myTrades", symbol="ETHUSDT", orderId=order["orderId"])
    assert fill["t"] == trades[0]["id"]
    assert (Decimal(fill["l"]), Decimal(fill["L"])) == (Decimal(trades[0]["qty"]), Decimal(trades[0]["price"]))
    assert (fill["N"], Decimal(fill["n"])) == ("ETH", Decimal(trades[0]["commission"]))
    told = {row["a"]: Decimal(row["f"]) for row in balance["B"]}
    account = {row["asset"]: Decimal(row["free"]) for row in (await client.ask("account"))["balances"]}
    assert told == {asset: account[asset] for asset in told}


async def test_money_from_outside_is_told(client: Client, exchange: Exchange) -> None:
    events = await client.user_events()
    before = {row["asset"]: Decimal(row["free"]) for row in (await client.ask("account"))["balances"]}

    exchange.fund_newest("USDT", "250")
    update = await _next(events, "balanceUpdate", a="USDT")

    assert Decimal(update["d"]) == Decimal(250)
    after = {row["asset"]: Decimal(row["free"]) for row in (await client.ask("account"))["balances"]}
    assert after["USDT"] - before["USDT"] == Decimal(250)
