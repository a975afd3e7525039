"""What the exchange refuses, in the exchange's own words."""

from __future__ import annotations

import http.client
import json
import time
from typing import Any
from urllib.parse import urlencode

import aiohttp
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.venue.processes import VenueProcess
from tests.venue.signed import Signer

ORDER = {"symbol": "ETHUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": "0.1", "price": "2000"}
AMOUNT_RANGE = r"^([0-9]{1,20})(\.[0-9]{1,20})?$"


@pytest.fixture(scope="module")
def signer(synthetic_venue: VenueProcess) -> Signer:
    """Sign for an account of its own; the market stands still."""
    synthetic_venue.control("POST", "/control/pause")
    return Signer(synthetic_venue, synthetic_venue.open_account("strict", USDT="50000", ETH="20"))


BAD_ORDERS: list[tuple[dict[str, Any], int, str]] = [
    ({"symbol": None}, -1102, "Mandatory parameter 'symbol' was not sent, was empty/null, or malformed."),
    ({"symbol": "ETHEUR"}, -1121, "Invalid symbol."),
    (
        {"symbol": "eth/usdt"},
        -1100,
        "Illegal characters found in parameter 'symbol'; legal range is '^[A-Z0-9-_.]{1,20}$'.",
    ),
    ({"side": "LONG"}, -1117, "Invalid side."),
    ({"type": "OCO"}, -1116, "Invalid orderType."),
    ({"timeInForce": "GTX"}, -1115, "Invalid timeInForce."),
    ({"timeInForce": None}, -1102, "Mandatory parameter 'timeInForce' was not sent, was empty/null, or malformed."),
    ({"price": None}, -1102, "Mandatory parameter 'price' was not sent, was empty/null, or malformed."),
    ({"quantity": None}, -1102, "Mandatory parameter 'quantity' was not sent, was empty/null, or malformed."),
    ({"quantity": ""}, -1105, "Parameter 'quantity' was empty."),
    ({"quantity": "0"}, -1013, "Invalid quantity."),
    *[
        (
            {"quantity": text},
            -1100,
            f"Illegal characters found in parameter 'quantity'; legal range is '{AMOUNT_RANGE}'.",
        )
        for text in ("NaN", "Infinity", "-1", "1e3", "1,5", "0x10", "١٢", "1" * 21, "1\x00")
    ],
    ({"quantity": "0.123456789"}, -1111, "Parameter 'quantity' has too much precision."),
    ({"quantity": "0.00001"}, -1013, "Filter failure: LOT_SIZE"),
    ({"price": "2000.001"}, -1013, "Filter failure: PRICE_FILTER"),
    ({"price": "1"}, -1013, "Filter failure: PERCENT_PRICE_BY_SIDE"),
    ({"quantity": "0.0001"}, -1013, "Filter failure: NOTIONAL"),
    ({"quantity": "9000"}, -1013, "Filter failure: NOTIONAL"),
    ({"quantity": "100"}, -2010, "Account has insufficient balance for requested action."),
    ({"stopPrice": "1900"}, -1106, "Parameter 'stopPrice' sent when not required."),
    ({"type": "MARKET", "price": None}, -1106, "Parameter 'timeInForce' sent when not required."),
    (
        {"type": "MARKET", "price": None, "timeInForce": None, "quantity": None},
        -1102,
        "Param 'quantity' or 'quoteOrderQty' must be sent, but both were empty/null!",
    ),
    (
        {"type": "STOP_LOSS", "timeInForce": None, "price": None},
        -1102,
        "Mandatory parameter 'stopPrice' was not sent, was empty/null, or malformed.",
    ),
    ({"stopLoss": "1"}, -1104, "Not all sent parameters were read; read '7' parameter(s) but was sent '8'."),
    (
        {"newClientOrderId": "a b"},
        -1100,
        r"Illegal characters found in parameter 'newClientOrderId'; legal range is '^[\.A-Z\:/a-z0-9_-]{1,36}$'.",
    ),
    ({"selfTradePreventionMode": "MAYBE"}, -1130, "Invalid selfTradePreventionMode."),
    ({"recvWindow": "60001"}, -1131, "recvWindow must be less than 60000"),
    ({"timestamp": None}, -1102, "Mandatory parameter 'timestamp' was not sent, was empty/null, or malformed."),
]


@pytest.mark.parametrize(("change", "code", "message"), BAD_ORDERS)
def test_a_bad_order_is_refused_in_the_official_words(signer: Signer, change: dict[str, Any], code: int, message: str) -> None:
    status, answer = signer.send("POST", "/api/v3/order", **(ORDER | change))

    assert (status, answer) == (400, {"code": code, "msg": message})


def test_after_all_that_nothing_was_booked(signer: Signer) -> None:
    _, orders = signer.send("GET", "/api/v3/allOrders", symbol="ETHUSDT")
    _, account = signer.send("GET", "/api/v3/account", omitZeroBalances="true")

    assert orders == []
    assert [(row["asset"], row["free"], row["locked"]) for row in account["balances"]] == [
        ("ETH", "20.00000000", "0.00000000"),
        ("USDT", "50000.00000000", "0.00000000"),
    ]


def test_a_parameter_may_come_once(signer: Signer) -> None:
    now = int(time.time() * 1000)

    status, answer = signer.send_query("GET", "/api/v3/account", f"timestamp={now}&recvWindow=5000&recvWindow=5000")

    assert (status, answer["code"], answer["msg"]) == (400, -1101, "Duplicate values for a parameter detected.")


@pytest.mark.parametrize(
    ("seconds", "message"),
    [
        (-6, "Timestamp for this request is outside of the recvWindow."),
        (3, "Timestamp for this request was 1000ms ahead of the server's time."),
    ],
)
def test_wall_time_bounds_a_request(signer: Signer, seconds: int, message: str) -> None:
    status, answer = signer.send("POST", "/api/v3/order", **ORDER, timestamp=int((time.time() + seconds) * 1000))

    assert (status, answer) == (400, {"code": -1021, "msg": message})


def test_the_signature_covers_the_query_as_it_was_sent(signer: Signer, synthetic_venue: VenueProcess) -> None:
    now = int(time.time() * 1000)
    # Percent-encoding that a careless server would normalise away.
    encoded = f"symbol=%45THUSDT&timestamp={now}"

    good, _ = signer.send_query("GET", "/api/v3/openOrders", encoded)
    headers = {"X-MBX-APIKEY": signer.keys["api_key"]}
    bad, answer = synthetic_venue.ask("GET", f"/api/v3/openOrders?{encoded}&signature={'0' * 64}", headers)

    assert good == 200
    assert (bad, answer) == (400, {"code": -1022, "msg": "Signature for this request is not valid."})


@pytest.mark.parametrize("charset", ["utf-8", "klingon"])
def test_a_body_that_is_no_text_is_refused_and_no_server_error(synthetic_venue: VenueProcess, charset: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", synthetic_venue.port, timeout=60)
    kind = f"application/x-www-form-urlencoded; charset={charset}"
    connection.request("POST", "/api/v3/order", body=b"symbol=\xff", headers={"Content-Type": kind})
    answer = connection.getresponse()

    assert (answer.status, json.load(answer)["code"]) == (400, -1100)
    connection.close()


@pytest.mark.parametrize(
    ("key", "code", "message"),
    [
        (None, -2014, "API-key format invalid."),
        ("short", -2014, "API-key format invalid."),
        ("x" * 64, -2015, "Invalid API-key, IP, or permissions for action."),
    ],
)
def test_keys(synthetic_venue: VenueProcess, key: str | None, code: int, message: str) -> None:
    headers = {} if key is None else {"X-MBX-APIKEY": key}

    status, answer = synthetic_venue.ask("GET", "/api/v3/account?timestamp=1&signature=00", headers)

    assert (status, answer) == (401, {"code": code, "msg": message})


@pytest.mark.parametrize(
    ("method", "path", "parameters", "code", "message"),
    [
        ("DELETE", "/api/v3/order", {"orderId": "777"}, -2011, "Unknown order sent."),
        ("DELETE", "/api/v3/openOrders", {}, -2011, "Unknown order sent."),
        ("GET", "/api/v3/order", {"orderId": "777"}, -2013, "Order does not exist."),
        ("GET", "/api/v3/order", {}, -1102, "Param 'origClientOrderId' or 'orderId' must be sent, but both were empty/null!"),
        (
            "GET",
            "/api/v3/myTrades",
            {"startTime": "0", "endTime": "86400001"},
            -1127,
            "More than 24 hours between startTime and endTime.",
        ),
        ("GET", "/api/v3/myTrades", {"fromId": "1", "startTime": "0"}, -1128, "Combination of optional parameters invalid."),
        ("GET", "/api/v3/myTrades", {"fromId": "9" * 20}, -1108, "Parameter 'fromId' overflowed."),
    ],
)
def test_bad_queries(signer: Signer, method: str, path: str, parameters: dict[str, str], code: int, message: str) -> None:
    status, answer = signer.send(method, path, symbol="ETHUSDT", **parameters)

    assert (status, answer) == (400, {"code": code, "msg": message})


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/api/v3/klines?symbol=ETHUSDT&interval=7m", -1120),
        ("/api/v3/klines?symbol=ETHUSDT&interval=1s", -1120),
        ("/api/v3/klines?symbol=ETHUSDT", -1102),
        ("/api/v3/klines?symbol=ETHUSDT&interval=5m&limit=x", -1100),
        ("/api/v3/depth?symbol=NOPE", -1121),
        ("/api/v3/depth?symbol=ETHUSDT&limit=%00", -1100),
        ("/api/v3/ticker/price?symbols=[1]", -1102),
        ("/api/v3/ticker/price?symbols=nonsense", -1100),
        ("/api/v3/time?now=1", -1104),
        ("/api/v3/exchangeInfo?symbol=%FF%FE", -1100),
    ],
)
def test_bad_public_requests(synthetic_venue: VenueProcess, path: str, code: int) -> None:
    status, answer = synthetic_venue.ask("GET", path)

    assert (status, answer["code"]) == (400, code)


def test_unknown_paths_are_not_found(synthetic_venue: VenueProcess) -> None:
    assert synthetic_venue.ask("GET", "/api/v3/margin")[0] == 404
    assert synthetic_venue.ask("GET", "/control/clock")[0] == 404


def test_used_weight_is_counted_and_the_limit_enforced(tmp_path_factory: pytest.TempPathFactory) -> None:
    venue = VenueProcess(tmp_path_factory.mktemp("weights") / "data", "--weight-limit", "50", "--paused")
    venue.start()
    try:
        answers = [venue.ask("GET", "/api/v3/exchangeInfo") for _ in range(4)]
    finally:
        venue.stop()

    # A minute may turn between two requests; it cannot turn twice.
    assert 429 in [status for status, _ in answers]
    refused = next(answer for status, answer in answers if status == 429)
    assert refused["code"] == -1003
    assert refused["msg"].startswith("Too much request weight used; current limit is 50 request weight per 1 MINUTE.")


ODD_TEXTS = st.one_of(
    st.text(max_size=40),
    st.sampled_from(["", "\x00", "²", "٣", "-0", "1e400", "9" * 1500, "[" * 500, "../..", "%s%n", "' OR 1=1 --", "\U0001f4a5"]),
)
NAMES = ("symbol", "symbols", "interval", "limit", "startTime", "endTime", "fromId", "orderId", "type", "price", "x")
PATHS = ("klines", "depth", "trades", "aggTrades", "ticker/24hr", "ticker/price", "exchangeInfo", "avgPrice", "time")


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(path=st.sampled_from(PATHS), sent=st.dictionaries(st.sampled_from(NAMES), ODD_TEXTS, max_size=4))
def test_odd_public_requests_are_never_a_server_error(synthetic_venue: VenueProcess, path: str, sent: dict[str, str]) -> None:
    status, answer = synthetic_venue.ask("GET", f"/api/v3/{path}?{urlencode(sent)}")

    assert status in (200, 400)
    assert status == 200 or answer["code"] < 0


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    change=st.dictionaries(
        st.sampled_from([*ORDER, "stopPrice", "newClientOrderId", "strategyType"]), ODD_TEXTS, min_size=1, max_size=4
    )
)
def test_odd_orders_are_never_a_server_error(signer: Signer, change: dict[str, str]) -> None:
    status, answer = signer.send("POST", "/api/v3/order/test", **(ORDER | change))

    assert status in (200, 400)
    assert answer == {} or answer["code"] < 0


@pytest.mark.parametrize(
    "text", ["", "[", "{}", "[]", "null", "[" * 100_000, '{"method": 1}', '{"id": {}, "method": "ping"}', '"\\ud800"']
)
@pytest.mark.parametrize("path", ["/ws", "/stream", "/ws-api/v3"])
async def test_odd_messages_are_answered_and_the_connection_lives(synthetic_venue: VenueProcess, path: str, text: str) -> None:
    address = f"http://{synthetic_venue.address}{path}"
    async with aiohttp.ClientSession() as session, session.ws_connect(address) as connection:
        await connection.send_str(text)
        first = await connection.receive_json(timeout=60)
        await connection.send_str('{"id": 2, "method": "ping"}')
        second = await connection.receive_json(timeout=60)

    assert "error" in first or first.get("result") == {}
    assert second["id"] == 2
