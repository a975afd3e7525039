"""Requests and answers that go wrong, against a running exchange; what really happened is read from its books."""

from __future__ import annotations

import gzip
import http.client
import time
import zlib
from collections.abc import Iterator
from itertools import count

import pytest

from tests.venue.hostile import POST_ORDER, Hostile
from tests.venue.processes import VenueProcess
from tests.waiting import wait_until

_NUMBERS = count(1)


@pytest.fixture(scope="module")
def venue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VenueProcess]:
    """Run an exchange whose market stands still."""
    venue = VenueProcess(tmp_path_factory.mktemp("venue") / "data", "--speed", "100000", "--paused")
    venue.start()
    yield venue
    venue.stop()


@pytest.fixture
def hostile(venue: VenueProcess) -> Iterator[Hostile]:
    """Open an account; disarm everything afterwards."""
    yield Hostile(venue, f"client-{next(_NUMBERS)}")
    venue.control("DELETE", "/control/faults")


def _ids(hostile: Hostile) -> list[str]:
    return [order["clientOrderId"] for order in hostile.books()["orders"]]


def test_a_dropped_request_never_happened(hostile: Hostile) -> None:
    hostile.arm("drop_request", "E02", match={"endpoint": POST_ORDER})

    assert hostile.place("lost")[0] == 0
    assert _ids(hostile) == []
    assert hostile.place("next")[0] == 200
    assert [firing["id"] for firing in hostile.firings()][-1] == "E02"


@pytest.mark.parametrize(("kind", "status"), [("LIMIT", "NEW"), ("MARKET", "FILLED")])
def test_a_dropped_answer_leaves_the_order_behind(hostile: Hostile, kind: str, status: str) -> None:
    hostile.arm("drop_answer", "E03", match={"endpoint": POST_ORDER, "client_id": "^ours-"})
    changes = {"price": None, "timeInForce": None} if kind == "MARKET" else {}

    assert hostile.place("theirs")[0] == 200
    assert hostile.place("ours-1", type=kind, **changes)[0] == 0
    assert hostile.find("ours-1")[1]["status"] == status


def test_a_late_request_is_judged_when_it_arrives(hostile: Hostile) -> None:
    hostile.arm("delay", "E06", match={"endpoint": POST_ORDER}, words={"seconds": 0.4}, times=2)

    assert hostile.place("in-time")[0] == 200
    assert hostile.place("late", recvWindow="200")[1]["code"] == -1021
    assert _ids(hostile) == ["in-time"]


@pytest.mark.parametrize(
    ("code", "status"),
    [
        (-1000, 500), (-1001, 500), (-1006, 500), (-1007, 504), (-1008, 503), (-1016, 503), (-1021, 400), (-1022, 400),
        (-2010, 400), (-2011, 400), (-2014, 401), (-2015, 401), (-2026, 400),
    ],
)  # fmt: skip
@pytest.mark.parametrize("stage", ["before", "after"])
def test_any_code_before_or_after_the_order_was_taken(hostile: Hostile, code: int, status: int, stage: str) -> None:
    hostile.arm("answer", "E10", match={"endpoint": POST_ORDER}, words={"code": code, "stage": stage})

    got, answer = hostile.place("doubtful")

    assert (got, answer["code"]) == (status, code)
    assert len(answer["msg"]) > 10
    assert _ids(hostile) == (["doubtful"] if stage == "after" else [])


def test_any_status_text_and_header(hostile: Hostile) -> None:
    words = {"status": 502, "body": "<html>nobody home</html>", "headers": {"X-Cause": "test"}}
    hostile.arm("answer", "E09", match={"endpoint": "GET /api/v3/account"}, words=words)

    assert hostile.send("GET", "/api/v3/account") == (502, "<html>nobody home</html>")


def test_answers_spoiled_on_the_wire_belong_to_orders_that_live(hostile: Hostile) -> None:
    for how in ("cut", "html", "empty", "not_json", "bad_gzip"):
        hostile.arm("mangle", "E07", match={"endpoint": POST_ORDER, "client_id": f"^{how}$"}, words={"how": how})

    answers = {how: _raw(hostile, how) for how in ("cut", "html", "empty", "not_json", "bad_gzip")}

    assert _ids(hostile) == list(answers)
    assert answers["cut"].startswith(b'{"symbol":"ETHUSDT"')
    assert not answers["cut"].endswith(b"}")
    assert (answers["empty"], answers["html"][:6], answers["not_json"][:3]) == (b"", b"<html>", b"<<{")
    with pytest.raises(zlib.error):
        gzip.decompress(answers["bad_gzip"])


def _raw(hostile: Hostile, client_id: str) -> bytes:
    """Place an order and return the bytes of the answer, whatever they are."""
    taken: list[bytes] = []
    read = http.client.HTTPResponse.read

    def keep(response: http.client.HTTPResponse, amount: int | None = None) -> bytes:
        taken.append(read(response, amount))
        return b"null"

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(http.client.HTTPResponse, "read", keep)
        hostile.place(client_id)
    return taken[0]


def test_a_dripping_and_a_huge_answer(hostile: Hostile) -> None:
    hostile.arm("mangle", "E47", match={"endpoint": "GET /api/v3/time"}, words={"how": "drip", "seconds": 0.02})
    hostile.arm("mangle", "E49", match={"endpoint": "GET /api/v3/depth"}, words={"how": "huge", "bytes": 3_000_000})
    began = time.monotonic()

    assert hostile.venue.ask("GET", "/api/v3/time")[1]["serverTime"] > 0
    assert time.monotonic() - began > 0.3
    assert len(hostile.venue.ask("GET", "/api/v3/depth?symbol=ETHUSDT")[1]) > 40


def test_an_answer_that_belongs_to_somebody_else(hostile: Hostile) -> None:
    hostile.place("first")
    hostile.arm("swap", "E08", match={"client_id": "^second$", "endpoint": POST_ORDER}, words={"of": "symbol"})
    hostile.arm("swap", "E08", match={"client_id": "^third$", "endpoint": POST_ORDER}, words={"of": "client_id"})
    hostile.arm("swap", "E08", match={"endpoint": "GET /api/v3/order", "client_id": "^third$"}, words={"of": "other"})

    assert hostile.place("second")[1]["symbol"] == "BTCUSDT"
    assert hostile.place("third")[1]["clientOrderId"] != "third"
    hostile.find("first")
    assert hostile.find("third")[1]["clientOrderId"] == "first"


def test_a_living_order_is_out_of_sight_in_each_place_on_its_own(hostile: Hostile) -> None:
    market = {"type": "MARKET", "price": None, "timeInForce": None}
    for place in ("order", "openOrders", "myTrades"):
        hostile.arm("hide", "E30", match={"client_id": f"^{place}$"}, words={"seconds": 600, "in": [place]}, times=0)
    for place in ("order", "openOrders"):
        hostile.place(place)
    filled = hostile.place("myTrades", **market)[1]

    assert hostile.find("order")[1]["code"] == -2013
    assert hostile.find("openOrders")[1]["status"] == "NEW"
    assert [row["clientOrderId"] for row in hostile.send("GET", "/api/v3/openOrders")[1]] == ["order"]
    assert hostile.find("myTrades")[1]["executedQty"] == filled["executedQty"]
    assert hostile.send("GET", "/api/v3/myTrades", symbol="ETHUSDT")[1] == []


def test_sight_returns_with_age(hostile: Hostile) -> None:
    hostile.arm("hide", "E30", words={"seconds": 2, "in": ["order"]}, times=0)
    hostile.place("young")

    assert hostile.find("young")[1]["code"] == -2013
    wait_until(lambda: hostile.find("young")[1].get("status") == "NEW")


def test_open_orders_forget_an_order_once(hostile: Hostile) -> None:
    hostile.place("here")
    hostile.arm("hide", "E31", match={"client_id": "here"}, words={"in": ["openOrders"]})

    seen = [len(hostile.send("GET", "/api/v3/openOrders")[1]) for _ in range(3)]

    assert seen == [0, 1, 1]


def test_a_stale_read_shows_an_earlier_state(hostile: Hostile) -> None:
    hostile.arm("stale", "E32", match={"endpoint": "GET /api/v3/order"}, when={"skip": 1})
    hostile.place("moving")
    fresh = hostile.find("moving")[1]
    hostile.send("DELETE", "/api/v3/order", symbol="ETHUSDT", origClientOrderId="moving")

    assert [hostile.find("moving")[1]["status"] for _ in range(2)] == ["NEW", "CANCELED"]
    assert fresh["status"] == "NEW"


def test_fields_are_set_and_scaled(hostile: Hostile) -> None:
    hostile.place("old")
    hostile.arm("set", "E34", match={"endpoint": "GET /api/v3/order"}, words={"fields": {"cummulativeQuoteQty": "-1.00000000"}})
    words = {"fields": ["price"], "factor": 2}
    hostile.arm("scale", "M13", match={"endpoint": "GET /api/v3/ticker/price"}, words=words)
    before = hostile.venue.ask("GET", "/api/v3/ticker/bookTicker?symbol=ETHUSDT")[1]

    assert hostile.find("old")[1]["cummulativeQuoteQty"] == "-1.00000000"
    doubled = hostile.venue.ask("GET", "/api/v3/ticker/price?symbol=ETHUSDT")[1]
    assert float(doubled["price"]) == pytest.approx(2 * float(before["bidPrice"]), rel=0.001)


@pytest.mark.parametrize(
    ("kind", "status", "code"), [("weight", 429, -1003), ("orders", 429, -1015), ("ban", 418, -1003), ("waf", 403, None)]
)
def test_refusals_last_and_end(hostile: Hostile, kind: str, status: int, code: int | None) -> None:
    hostile.arm("block", "E12", words={"kind": kind, "seconds": 2}, match={"account": hostile.uid})

    if kind == "orders":
        assert hostile.find("nothing")[1]["code"] == -2013
    got = [hostile.place(f"{number}") for number in range(2)]
    reads = hostile.send("GET", "/api/v3/account")[0]

    assert [answer[0] for answer in got] == [status, status]
    assert code is None or got[0][1]["code"] == code
    assert reads == (200 if kind == "orders" else status)
    assert sum(firing["action"] == "block" for firing in hostile.firings()[-1:]) == 1
    wait_until(lambda: hostile.place("after")[0] == 200)


def test_maintenance_answers_nothing_but_a_page(hostile: Hostile) -> None:
    hostile.arm("block", "E46", words={"kind": "maintenance", "seconds": 2})

    statuses = {hostile.venue.ask("GET", path)[0] for path in ("/api/v3/ping", "/api/v3/exchangeInfo", "/api/v3/account")}

    assert statuses == {503}
    wait_until(lambda: hostile.venue.ask("GET", "/api/v3/ping") == (200, {}))


def test_the_protocol_clock_is_off(hostile: Hostile) -> None:
    hostile.arm("skew", "E16", words={"ms": -30_000})

    told = hostile.venue.ask("GET", "/api/v3/time")[1]["serverTime"]
    refusal = hostile.place("from-the-future")[1]
    hostile.arm("skew", "E16", words={"ms": 0})

    assert told - time.time() * 1000 == pytest.approx(-30_000, abs=2_000)
    assert refusal["code"] == -1021
    assert hostile.place("in-time")[0] == 200


def test_calls_are_counted_skipped_and_drawn_by_seed(hostile: Hostile) -> None:
    hostile.arm("answer", when={"skip": 1, "every": 2}, words={"code": -1007}, match={"client_id": "^c"}, times=2)
    seen = [hostile.place(f"c{number}")[0] for number in range(6)]

    assert seen == [200, 504, 200, 504, 200, 200]
    assert [_drawn(hostile, seed) for seed in (1, 1, 2)] == [_drawn(hostile, 1), _drawn(hostile, 1), _drawn(hostile, 2)]
    assert _drawn(hostile, 1) != _drawn(hostile, 2)


def _drawn(hostile: Hostile, seed: int) -> list[int]:
    rule = {"id": "E09", "action": "answer", "times": 0, "when": {"chance": 0.5}, "match": {"endpoint": "GET /api/v3/ping"}}
    hostile.venue.control("DELETE", "/control/faults")
    hostile.venue.control("POST", "/control/faults", {"seed": seed, "rules": [rule]})
    return [hostile.venue.ask("GET", "/api/v3/ping")[0] for _ in range(12)]
