"""Refusals: the code and the text that the exchange documents, as a stranger's client reads them."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from tests.conformance.conftest import Exchange
from tests.conformance.orders import CENT, far_above, far_below, limit, market
from tests.conformance.protocol import Client, Keys, Refused

Wishes = Callable[[Exchange], dict[str, Any]]
NO_MONEY = "Account has insufficient balance for requested action."


def _stop(side: str, factor: str) -> Wishes:
    return lambda exchange: {
        "symbol": "ETHUSDT",
        "side": side,
        "type": "STOP_LOSS",
        "quantity": "0.1",
        "stopPrice": str((exchange.best()[0] * Decimal(factor)).quantize(CENT)),
    }


REFUSED: list[tuple[str, Wishes, int, str]] = [
    ("symbol", lambda _: market("BUY", symbol="NOSUCH"), -1121, "Invalid symbol."),
    ("lot size", lambda _: market("BUY", quantity="0.000000001"), -1111, "Parameter 'quantity' has too much precision."),
    ("step", lambda _: market("BUY", quantity="0.10000001"), -1013, "Filter failure: LOT_SIZE"),
    ("tick", lambda x: limit("BUY", far_below(x)) | {"price": f"{far_below(x)}1"}, -1013, "Filter failure: PRICE_FILTER"),
    ("far price", lambda x: limit("BUY", far_below(x) / 100), -1013, "Filter failure: PERCENT_PRICE_BY_SIDE"),
    ("notional", lambda x: limit("BUY", far_below(x), quantity="0.0001"), -1013, "Filter failure: NOTIONAL"),
    ("money", lambda x: limit("BUY", far_below(x), quantity="90"), -2010, NO_MONEY),
    ("coins", lambda x: limit("SELL", far_above(x), quantity="30"), -2010, NO_MONEY),
    (
        "taking maker",
        lambda x: {k: v for k, v in limit("BUY", x.best()[1]).items() if k != "timeInForce"} | {"type": "LIMIT_MAKER"},
        -2010,
        "Order would immediately match and take.",
    ),
    ("stop below a purchase", _stop("BUY", "0.9"), -2010, "Stop price would trigger immediately."),
    ("stop above a sale", _stop("SELL", "1.1"), -2010, "Stop price would trigger immediately."),
]


@pytest.mark.parametrize(("wishes", "code", "message"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
async def test_an_order_that_cannot_be_is_refused(
    client: Client, exchange: Exchange, wishes: Wishes, code: int, message: str
) -> None:
    with pytest.raises(Refused) as refused:
        await client.ask("newOrder", **wishes(exchange))

    assert (refused.value.status, refused.value.code, refused.value.message) == (400, code, message)
    assert await client.ask("allOrders", symbol="ETHUSDT") == []


ORDER = {"symbol": "ETHUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.1"}
RAW: list[tuple[str, str, str, dict[str, str], int, str]] = [
    (
        "a missing parameter",
        "POST",
        "order",
        {name: ORDER[name] for name in ORDER if name != "side"},
        -1102,
        "Mandatory parameter 'side' was not sent, was empty/null, or malformed.",
    ),
    ("an unknown side", "POST", "order", ORDER | {"side": "HOLD"}, -1117, "Invalid side."),
    ("an unknown type", "POST", "order", ORDER | {"type": "TRAILING"}, -1116, "Invalid orderType."),
    (
        "an unknown time in force",
        "POST",
        "order",
        ORDER | {"type": "LIMIT", "price": "1000", "timeInForce": "GTX"},
        -1115,
        "Invalid timeInForce.",
    ),
    ("a price on a market order", "POST", "order", ORDER | {"price": "1000"}, -1106, "Parameter 'price' sent when not required."),
    (
        "an illegal quantity",
        "POST",
        "order",
        ORDER | {"quantity": "1e3"},
        -1100,
        r"Illegal characters found in parameter 'quantity'; legal range is '^([0-9]{1,20})(\.[0-9]{1,20})?$'.",
    ),
    (
        "an illegal name",
        "POST",
        "order",
        ORDER | {"newClientOrderId": "a" * 37},
        -1100,
        r"Illegal characters found in parameter 'newClientOrderId'; legal range is '^[\.A-Z\:/a-z0-9_-]{1,36}$'.",
    ),
    ("an order nobody placed", "GET", "order", {"symbol": "ETHUSDT", "orderId": "987654321"}, -2013, "Order does not exist."),
    (
        "a query without an id",
        "GET",
        "order",
        {"symbol": "ETHUSDT"},
        -1102,
        "Param 'origClientOrderId' or 'orderId' must be sent, but both were empty/null!",
    ),
    (
        "cancelling what is not there",
        "DELETE",
        "order",
        {"symbol": "ETHUSDT", "origClientOrderId": "ghost"},
        -2011,
        "Unknown order sent.",
    ),
    ("cancelling nothing at all", "DELETE", "openOrders", {"symbol": "ETHUSDT"}, -2011, "Unknown order sent."),
    (
        "too long a window",
        "GET",
        "myTrades",
        {"symbol": "ETHUSDT", "startTime": "1", "endTime": "90000000"},
        -1127,
        "More than 24 hours between startTime and endTime.",
    ),
    (
        "two ways of paging",
        "GET",
        "myTrades",
        {"symbol": "ETHUSDT", "startTime": "1", "fromId": "1"},
        -1128,
        "Combination of optional parameters invalid.",
    ),
]


@pytest.mark.parametrize(
    ("method", "path", "parameters", "code", "message"), [row[1:] for row in RAW], ids=[row[0] for row in RAW]
)
async def test_a_request_that_makes_no_sense_is_refused(
    client: Client, method: str, path: str, parameters: dict[str, str], code: int, message: str
) -> None:
    with pytest.raises(Refused) as refused:
        await client.ask_raw(method, f"/api/v3/{path}", parameters)

    assert (refused.value.status, refused.value.code, refused.value.message) == (400, code, message)


async def test_an_unknown_parameter_is_counted_and_refused(client: Client) -> None:
    with pytest.raises(Refused) as refused:
        await client.ask_raw("POST", "/api/v3/order", ORDER | {"takeProfitPrice": "9000"})

    assert refused.value.code == -1104
    words = refused.value.message.split("'")
    read, sent = int(words[1]), int(words[3])
    assert refused.value.message == (f"Not all sent parameters were read; read '{read}' parameter(s) but was sent '{sent}'.")
    assert sent == read + 1
    assert await client.ask("allOrders", symbol="ETHUSDT") == []


async def test_a_name_in_use_is_refused(client: Client, exchange: Exchange) -> None:
    await client.ask("newOrder", **limit("BUY", far_below(exchange), newClientOrderId="taken"))

    with pytest.raises(Refused) as refused:
        await client.ask("newOrder", **limit("BUY", far_below(exchange), newClientOrderId="taken"))

    assert (refused.value.code, refused.value.message) == (-2010, "Duplicate order sent.")


@pytest.mark.parametrize(
    ("offset_ms", "message"),
    [
        (-70_000, "Timestamp for this request is outside of the recvWindow."),
        (5_000, "Timestamp for this request was 1000ms ahead of the server's time."),
    ],
)
async def test_a_clock_that_is_wrong_is_refused(client: Client, offset_ms: int, message: str) -> None:
    with pytest.raises(Refused) as refused:
        await client.ask_raw("GET", "/api/v3/openOrders", {}, clock_offset_ms=offset_ms)

    assert (refused.value.status, refused.value.code, refused.value.message) == (400, -1021, message)


async def test_a_receive_window_is_honoured(client: Client) -> None:
    answer = await client.ask("account", recvWindow=60_000)

    assert answer["canTrade"] is True


STRANGERS: list[tuple[str, Callable[[Keys], Keys], int, int, str]] = [
    ("a wrong secret", lambda keys: Keys(keys.key, "x" * 64), 400, -1022, "Signature for this request is not valid."),
    ("a stranger's key", lambda keys: Keys("A" * 64, keys.secret), 401, -2015, "Invalid API-key, IP, or permissions for action."),
    ("no key at all", lambda keys: Keys("short", keys.secret), 401, -2014, "API-key format invalid."),
]


@pytest.mark.parametrize(
    ("change", "status", "code", "message"), [row[1:] for row in STRANGERS], ids=[row[0] for row in STRANGERS]
)
async def test_nobody_acts_for_another(
    make_client: Callable[[Keys], Client], keys: Keys, change: Callable[[Keys], Keys], status: int, code: int, message: str
) -> None:
    stranger = make_client(change(keys))
    try:
        with pytest.raises(Refused) as refused:
            await stranger.ask("account")
    finally:
        await stranger.close()

    assert (refused.value.status, refused.value.code, refused.value.message) == (status, code, message)
