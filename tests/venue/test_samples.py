"""Shapes: what the exchange answers has the fields of the official samples, and their types."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.shared_data import ABSENT, SHARED_DATA
from tests.venue.processes import VenueProcess
from tests.venue.signed import Signer
from tests.venue.worlds import draw

SAMPLES = SHARED_DATA / "fixtures" / "binance_spot_api_docs"
pytestmark = pytest.mark.skipif(not SAMPLES.is_dir(), reason=ABSENT)

# Fields of the samples that this exchange leaves out on purpose, each with its reason.
LEFT_OUT = {
    "sors": "no smart order routing",
    "preventedMatchId": "only on prevented orders",
    "preventedQuantity": "only on prevented orders",
    "strategyId": "only when sent",
    "strategyType": "only when sent",
    "trailingDelta": "no trailing orders",
    "trailingTime": "no trailing orders",
    "v": "prevented matches only",
}


def _sample(file: str, section: str, number: int = 0) -> Any:
    found = [row["json"] for row in json.loads((SAMPLES / f"{file}.samples.json").read_text()) if row["section"] == section]
    return found[number]


def _assert_shape(answer: Any, sample: Any, where: str = "") -> None:
    """Compare names and kinds of values all the way down."""
    if isinstance(sample, dict):
        assert isinstance(answer, dict), where
        missing = set(sample) - set(answer) - set(LEFT_OUT)
        assert not missing, f"{where} lacks {missing}"
        for name in set(sample) & set(answer):
            _assert_shape(answer[name], sample[name], f"{where}.{name}")
    elif isinstance(sample, list):
        assert isinstance(answer, list), where
        if sample and answer:
            _assert_shape(answer[0], sample[0], f"{where}[0]")
    elif sample is not None and answer is not None:
        assert type(answer) is type(sample), f"{where}: {answer!r} is not like {sample!r}"


@pytest.fixture(scope="module")
def signer(synthetic_venue: VenueProcess) -> Signer:
    """Sign for an account that has traded a little."""
    synthetic_venue.control("POST", "/control/pause")
    signer = Signer(synthetic_venue, synthetic_venue.open_account("samples", USDT="50000", ETH="20"))
    status, _ = signer.send("POST", "/api/v3/order", symbol="ETHUSDT", side="BUY", type="MARKET", quantity="0.1")
    assert status == 200
    return signer


PUBLIC = [
    ("/api/v3/time", "Check server time", 0),
    ("/api/v3/exchangeInfo", "Exchange information", 0),
    ("/api/v3/depth?symbol=ETHUSDT", "Order book", 0),
    ("/api/v3/trades?symbol=ETHUSDT", "Recent trades list", 0),
    ("/api/v3/aggTrades?symbol=ETHUSDT", "Compressed/Aggregate trades list", 0),
    ("/api/v3/klines?symbol=ETHUSDT&interval=5m", "Kline/Candlestick data", 0),
    ("/api/v3/avgPrice?symbol=ETHUSDT", "Current average price", 0),
    ("/api/v3/ticker/24hr?symbol=ETHUSDT", "24hr ticker price change statistics", 0),
    ("/api/v3/ticker/24hr", "24hr ticker price change statistics", 1),
    ("/api/v3/ticker/price?symbol=ETHUSDT", "Symbol price ticker", 0),
    ("/api/v3/ticker/bookTicker", "Symbol order book ticker", 1),
]


@pytest.mark.parametrize(("path", "section", "number"), PUBLIC)
def test_public_answers_look_like_the_samples(
    synthetic_venue: VenueProcess, signer: Signer, path: str, section: str, number: int
) -> None:
    status, answer = synthetic_venue.ask("GET", path)

    assert status == 200
    _assert_shape(answer, _sample("rest-api", section, number))


PRIVATE = [
    ("GET", "/api/v3/account", {}, "Account information (USER_DATA)", 0),
    ("GET", "/api/v3/account/commission", {"symbol": "ETHUSDT"}, "Query Commission Rates (USER_DATA)", 0),
    ("GET", "/api/v3/order", {"symbol": "ETHUSDT", "orderId": 1}, "Query order (USER_DATA)", 0),
    ("GET", "/api/v3/allOrders", {"symbol": "ETHUSDT"}, "All orders (USER_DATA)", 0),
    ("GET", "/api/v3/myTrades", {"symbol": "ETHUSDT"}, "Account trade list (USER_DATA)", 0),
    ("GET", "/api/v3/rateLimit/order", {}, "Query Unfilled Order Count (USER_DATA)", 0),
]


@pytest.mark.parametrize(("method", "path", "parameters", "section", "number"), PRIVATE)
def test_signed_answers_look_like_the_samples(
    signer: Signer, method: str, path: str, parameters: dict[str, object], section: str, number: int
) -> None:
    if "orderId" in parameters:
        _, orders = signer.send("GET", "/api/v3/allOrders", symbol="ETHUSDT")
        parameters = parameters | {"orderId": orders[0]["orderId"]}

    status, answer = signer.send(method, path, **parameters)

    assert status == 200
    _assert_shape(answer, _sample("rest-api", section, number))


@pytest.mark.parametrize(("response", "number"), [("ACK", 0), ("RESULT", 1), ("FULL", 2)])
def test_new_orders_are_answered_as_asked(signer: Signer, response: str, number: int) -> None:
    wishes = {"symbol": "ETHUSDT", "side": "SELL", "type": "MARKET", "quantity": "0.01"}
    _, answer = signer.send("POST", "/api/v3/order", newOrderRespType=response, **wishes)

    sample = _sample("rest-api", "New order (TRADE)", number)
    _assert_shape(answer, sample)
    assert ("fills" in answer) is (response == "FULL")
    assert set(answer) == set(sample)


def test_cancellations_look_like_the_sample(signer: Signer) -> None:
    wishes = {"symbol": "ETHUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": "0.1"}
    _, order = signer.send("POST", "/api/v3/order", price="1500", **wishes)
    _, one = signer.send("DELETE", "/api/v3/order", symbol="ETHUSDT", orderId=order["orderId"])
    signer.send("POST", "/api/v3/order", price="1500", **wishes)
    _, all_of_them = signer.send("DELETE", "/api/v3/openOrders", symbol="ETHUSDT")

    _assert_shape(one, _sample("rest-api", "Cancel order (TRADE)"))
    _assert_shape(all_of_them, _sample("rest-api", "Cancel All Open Orders on a Symbol (TRADE)"))


def test_events_of_the_user_stream_look_like_the_samples() -> None:
    world = draw([("100", "100", "100", "100", "1000")])
    world.order("BUY", "MARKET", quantity="1")
    told = {event.payload["e"]: event.payload for event in world.engine.journal.events if hasattr(event, "uid")}

    report = _sample("user-data-stream", "Order Update")["event"]
    _assert_shape(told["executionReport"], report)
    _assert_shape(told["outboundAccountPosition"], _sample("user-data-stream", "Account Update")["event"])


def test_events_of_market_streams_look_like_the_samples() -> None:
    world = draw([("100", "101", "99", "100", "1000"), ("100", "100", "100", "100", "1000")])
    world.walk_bar()
    told = {event.stream: event.payload for event in world.engine.journal.events if hasattr(event, "stream")}

    sections = {
        "ethusdt@kline_1m": "Kline/Candlestick Streams for UTC",
        "ethusdt@trade": "Trade Streams",
        "ethusdt@aggTrade": "Aggregate Trade Streams",
        "ethusdt@bookTicker": "Individual Symbol Book Ticker Streams",
        "ethusdt@miniTicker": "Individual Symbol Mini Ticker Stream",
    }
    for stream, section in sections.items():
        _assert_shape(told[stream], _sample("web-socket-streams", section), stream)
