"""Orders of every kind, and what is remembered of them."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from tests.conformance.conftest import Exchange
from tests.conformance.orders import CENT, QUANTITY, far_above, far_below, limit, market
from tests.conformance.protocol import Client

Balances = dict[str, tuple[Decimal, Decimal]]


async def _balances(client: Client) -> Balances:
    account = await client.ask("account")
    return {row["asset"]: (Decimal(row["free"]), Decimal(row["locked"])) for row in account["balances"]}


async def test_a_market_order_is_answered_with_its_fills(client: Client, exchange: Exchange) -> None:
    before = await _balances(client)
    order = await client.ask("newOrder", **market("BUY", newOrderRespType="FULL", newClientOrderId="first-market"))
    after = await _balances(client)

    assert order["status"] == "FILLED"
    assert order["clientOrderId"] == "first-market"
    filled = sum(Decimal(fill["qty"]) for fill in order["fills"])
    spent = sum(Decimal(fill["qty"]) * Decimal(fill["price"]) for fill in order["fills"])
    fee = sum(Decimal(fill["commission"]) for fill in order["fills"])
    assert filled == Decimal(order["executedQty"]) == Decimal(QUANTITY)
    assert spent == Decimal(order["cummulativeQuoteQty"])
    assert {fill["commissionAsset"] for fill in order["fills"]} == {"ETH"}
    assert after["ETH"][0] - before["ETH"][0] == filled - fee
    assert before["USDT"][0] - after["USDT"][0] == spent


async def test_a_market_order_may_name_what_it_spends(client: Client) -> None:
    order = await client.ask(
        "newOrder", symbol="ETHUSDT", side="BUY", type="MARKET", quoteOrderQty="500", newOrderRespType="FULL"
    )

    assert order["status"] == "FILLED"
    assert Decimal(490) < Decimal(order["cummulativeQuoteQty"]) <= Decimal(500)
    assert Decimal(order["origQuoteOrderQty"]) == Decimal(500)


@pytest.mark.parametrize(
    ("response", "has_status", "has_fills"), [("ACK", False, False), ("RESULT", True, False), ("FULL", True, True)]
)
async def test_an_answer_is_as_long_as_asked(client: Client, response: str, has_status: bool, has_fills: bool) -> None:
    order = await client.ask("newOrder", **market("SELL", newOrderRespType=response))

    assert (order.get("status") is not None, bool(order.get("fills"))) == (has_status, has_fills)


async def test_a_limit_order_waits_and_locks_its_money(client: Client, exchange: Exchange) -> None:
    price = far_below(exchange)
    before = await _balances(client)
    order = await client.ask("newOrder", **limit("BUY", price, newClientOrderId="waits"))
    by_id = await client.ask("order", symbol="ETHUSDT", orderId=order["orderId"])
    by_name = await client.ask("order", symbol="ETHUSDT", origClientOrderId="waits")
    after = await _balances(client)

    cost = price * Decimal(QUANTITY)
    assert order["status"] == "NEW"
    assert by_id == by_name
    assert (by_id["status"], by_id["isWorking"], Decimal(by_id["price"])) == ("NEW", True, price)
    assert after["USDT"] == (before["USDT"][0] - cost, before["USDT"][1] + cost)


async def test_cancelling_gives_the_money_back(client: Client, exchange: Exchange) -> None:
    before = await _balances(client)
    first = await client.ask("newOrder", **limit("BUY", far_below(exchange), newClientOrderId="by-id"))
    await client.ask("newOrder", **limit("SELL", far_above(exchange), newClientOrderId="by-name"))

    by_id = await client.ask("cancelOrder", symbol="ETHUSDT", orderId=first["orderId"])
    by_name = await client.ask("cancelOrder", symbol="ETHUSDT", origClientOrderId="by-name")

    assert (by_id["status"], by_id["origClientOrderId"]) == ("CANCELED", "by-id")
    assert (by_name["status"], by_name["origClientOrderId"]) == ("CANCELED", "by-name")
    assert await _balances(client) == before
    assert await client.ask("openOrders", symbol="ETHUSDT") == []


async def test_all_orders_of_a_symbol_are_cancelled_at_once(client: Client, exchange: Exchange) -> None:
    for number in range(3):
        await client.ask("newOrder", **limit("BUY", far_below(exchange) - number, newClientOrderId=f"many-{number}"))
    assert {row["clientOrderId"] for row in await client.ask("openOrders", symbol="ETHUSDT")} == {"many-0", "many-1", "many-2"}

    cancelled = await client.ask("cancelOpenOrders", symbol="ETHUSDT")

    assert {(row["origClientOrderId"], row["status"]) for row in cancelled} == {(f"many-{n}", "CANCELED") for n in range(3)}
    assert await client.ask("openOrders") == []


async def test_immediate_or_cancel_takes_what_is_there(client: Client, exchange: Exchange) -> None:
    bid, ask = exchange.best()
    missed = await client.ask("newOrder", **limit("BUY", bid, timeInForce="IOC"))
    taken = await client.ask("newOrder", **limit("BUY", ask * Decimal("1.01"), timeInForce="IOC"))

    assert (missed["status"], Decimal(missed["executedQty"])) == ("EXPIRED", Decimal(0))
    assert (taken["status"], Decimal(taken["executedQty"])) == ("FILLED", Decimal(QUANTITY))
    assert await client.ask("openOrders", symbol="ETHUSDT") == []


async def test_fill_or_kill_takes_all_or_nothing(client: Client, exchange: Exchange) -> None:
    bid, ask = exchange.best()
    killed = await client.ask("newOrder", **limit("BUY", bid, timeInForce="FOK"))
    filled = await client.ask("newOrder", **limit("BUY", ask * Decimal("1.01"), timeInForce="FOK"))

    assert (killed["status"], Decimal(killed["executedQty"])) == ("EXPIRED", Decimal(0))
    assert (filled["status"], Decimal(filled["executedQty"])) == ("FILLED", Decimal(QUANTITY))


async def test_a_maker_order_waits(client: Client, exchange: Exchange) -> None:
    order = await client.ask(
        "newOrder",
        symbol="ETHUSDT",
        side="BUY",
        type="LIMIT_MAKER",
        quantity=QUANTITY,
        price=str(far_below(exchange)),
        newOrderRespType="RESULT",
    )

    assert (order["status"], order["type"]) == ("NEW", "LIMIT_MAKER")


STOPS = [
    ("SELL", "STOP_LOSS", "0.9", None),
    ("BUY", "STOP_LOSS", "1.1", None),
    ("SELL", "STOP_LOSS_LIMIT", "0.9", "0.89"),
    ("BUY", "TAKE_PROFIT", "0.9", None),
    ("SELL", "TAKE_PROFIT", "1.1", None),
    ("SELL", "TAKE_PROFIT_LIMIT", "1.1", "1.09"),
]


@pytest.mark.parametrize(("side", "kind", "stop", "price"), STOPS)
async def test_stop_orders_wait_for_their_price(
    client: Client, exchange: Exchange, side: str, kind: str, stop: str, price: str | None
) -> None:
    middle = exchange.best()[0]
    stop_price = str((middle * Decimal(stop)).quantize(CENT))
    wishes: dict[str, Any] = {"symbol": "ETHUSDT", "side": side, "type": kind, "quantity": QUANTITY, "stopPrice": stop_price}
    if price is not None:
        wishes |= {"price": str((middle * Decimal(price)).quantize(CENT)), "timeInForce": "GTC"}
    order = await client.ask("newOrder", **wishes)
    found = await client.ask("order", symbol="ETHUSDT", orderId=order["orderId"])

    assert (found["status"], found["type"], found["isWorking"]) == ("NEW", kind, False)
    assert Decimal(found["stopPrice"]) == Decimal(stop_price)
    assert [row["orderId"] for row in await client.ask("openOrders", symbol="ETHUSDT")] == [order["orderId"]]


async def test_a_name_is_free_again_once_its_order_is_done(client: Client) -> None:
    first = await client.ask("newOrder", **market("BUY", newClientOrderId="again"))
    second = await client.ask("newOrder", **market("BUY", newClientOrderId="again"))
    named = await client.ask("order", symbol="ETHUSDT", origClientOrderId="again")

    assert first["orderId"] < second["orderId"]
    assert named["orderId"] == second["orderId"]


async def test_a_test_order_changes_nothing(client: Client, exchange: Exchange) -> None:
    before = await _balances(client)

    assert await client.ask("order/test", **limit("BUY", far_below(exchange))) == {}

    assert await _balances(client) == before
    assert await client.ask("allOrders", symbol="ETHUSDT") == []


async def test_orders_are_remembered_page_by_page(client: Client, exchange: Exchange) -> None:
    placed = [(await client.ask("newOrder", **market("BUY")))["orderId"] for _ in range(2)]
    waiting = await client.ask("newOrder", **limit("BUY", far_below(exchange)))
    await client.ask("cancelOrder", symbol="ETHUSDT", orderId=waiting["orderId"])
    everything = [*placed, waiting["orderId"]]

    newest = await client.ask("allOrders", symbol="ETHUSDT")
    page = await client.ask("allOrders", symbol="ETHUSDT", orderId=placed[1], limit=1)

    assert [row["orderId"] for row in newest] == everything
    assert [row["status"] for row in newest] == ["FILLED", "FILLED", "CANCELED"]
    assert [row["orderId"] for row in page] == [placed[1]]


async def test_fills_are_paged_without_gaps(client: Client) -> None:
    orders = [await client.ask("newOrder", **market(side)) for side in ("BUY", "SELL", "BUY", "SELL", "BUY")]
    everything = await client.ask("myTrades", symbol="ETHUSDT")

    paged: list[dict[str, Any]] = []
    cursor = 0
    while page := await client.ask("myTrades", symbol="ETHUSDT", fromId=cursor, limit=2):
        paged += page
        cursor = page[-1]["id"] + 1
    of_one = await client.ask("myTrades", symbol="ETHUSDT", orderId=orders[2]["orderId"])

    assert paged == everything
    assert {row["orderId"] for row in everything} == {order["orderId"] for order in orders}
    assert {row["orderId"] for row in of_one} == {orders[2]["orderId"]}
    assert [row["isBuyer"] for row in everything] == [True, False, True, False, True]


async def test_orders_are_counted(client: Client) -> None:
    await client.ask("newOrder", **market("BUY"))
    counts = await client.ask("rateLimit/order")

    assert {(row["interval"], row["count"]) for row in counts} >= {("SECOND", 1), ("DAY", 1)}


async def test_the_account_says_what_it_may_do_and_costs(client: Client) -> None:
    account = await client.ask("account", omitZeroBalances="true")

    assert (account["canTrade"], account["accountType"]) == (True, "SPOT")
    assert {row["asset"] for row in account["balances"]} == {"USDT", "ETH", "BTC"}
    assert Decimal(account["commissionRates"]["taker"]) == Decimal("0.001")
