"""A kill at any moment: the same market time, orders, ids and balances afterwards."""

from __future__ import annotations

import contextlib
import http.client
import random
import time
from typing import Any

import pytest

from tests.venue.processes import VenueProcess
from tests.venue.signed import Signer

MINUTE = 60_000


def _market_time(venue: VenueProcess) -> int:
    return int(venue.control("GET", "/control/clock")["market_time"])


def _place(signer: Signer, **wishes: object) -> dict[str, Any]:
    status, answer = signer.send("POST", "/api/v3/order", symbol="ETHUSDT", **wishes)
    assert status == 200, answer
    order: dict[str, Any] = answer
    return order


def test_everything_answered_survives_a_kill(fresh_venue: VenueProcess) -> None:
    fresh_venue.start()
    keys = fresh_venue.open_account(USDT="10000", ETH="2")
    signer = Signer(fresh_venue, keys)
    _place(signer, side="BUY", type="MARKET", quantity="0.5")
    resting = _place(signer, side="BUY", type="LIMIT", timeInForce="GTC", quantity="0.2", price="2000")
    stop = _place(signer, side="SELL", type="STOP_LOSS", quantity="0.3", stopPrice="1900", newClientOrderId="guard")
    before = fresh_venue.control("GET", f"/control/books/{keys['uid']}")

    fresh_venue.kill()
    fresh_venue.start()

    assert fresh_venue.control("GET", f"/control/books/{keys['uid']}") == before
    assert fresh_venue.open_account() == keys
    _, orders = signer.send("GET", "/api/v3/openOrders")
    assert [order["orderId"] for order in orders] == [resting["orderId"], stop["orderId"]]
    following = _place(signer, side="BUY", type="MARKET", quantity="0.1")
    assert following["orderId"] == stop["orderId"] + 1
    assert following["fills"][0]["tradeId"] > max(trade["id"] for trade in before["trades"])
    status, cancelled = signer.send("DELETE", "/api/v3/order", symbol="ETHUSDT", origClientOrderId="guard")
    assert (status, cancelled["status"]) == (200, "CANCELED")


@pytest.mark.fault("C18")
def test_kills_in_the_middle_of_bars_change_no_fill(tmp_path_factory: Any) -> None:
    """Walk the same hour twice, once with kills at random moments: the books must be the same."""
    calm = _hour(VenueProcess(tmp_path_factory.mktemp("calm") / "data", "--speed", "100000", "--paused"), kills=0)
    shaken = _hour(VenueProcess(tmp_path_factory.mktemp("shaken") / "data", "--speed", "100000", "--paused"), kills=4)

    assert len(calm["trades"]) >= 3
    assert shaken == calm


def _hour(venue: VenueProcess, *, kills: int) -> dict[str, Any]:
    chance = random.Random(kills)
    venue.start()
    keys = venue.open_account(USDT="10000", ETH="5")
    signer = Signer(venue, keys)
    _, ticker = venue.ask("GET", "/api/v3/ticker/price?symbol=ETHUSDT")
    price = float(ticker["price"])
    for number, share in enumerate((0.998, 0.996, 0.994, 0.99)):
        wishes = {"timeInForce": "GTC", "quantity": "0.3", "price": f"{price * share:.2f}"}
        _place(signer, side="BUY", type="LIMIT", newClientOrderId=f"b{number}", **wishes)
    for number, share in enumerate((1.002, 1.004, 1.006)):
        wishes = {"timeInForce": "GTC", "quantity": "0.3", "price": f"{price * share:.2f}"}
        _place(signer, side="SELL", type="LIMIT", newClientOrderId=f"s{number}", **wishes)
    _place(signer, side="SELL", type="STOP_LOSS", quantity="0.3", stopPrice=f"{price * 0.995:.2f}", newClientOrderId="g")
    end = _market_time(venue) + 120 * MINUTE
    # Slow enough for kills to fall inside bars.
    venue.control("POST", "/control/speed", {"speed": 6000 if kills else 100000})
    for _ in range(kills):
        venue.control("POST", "/control/resume")
        time.sleep(chance.uniform(0.05, 0.25))
        venue.kill()
        venue.start()
    venue.control("POST", "/control/pause")
    while (left := (end - _market_time(venue)) // MINUTE) > 0:
        venue.control("POST", "/control/step", {"bars": left})
        deadline = time.monotonic() + 10
        while _market_time(venue) < end and time.monotonic() < deadline:
            time.sleep(0.05)
    books: dict[str, Any] = venue.control("GET", f"/control/books/{keys['uid']}")
    venue.kill()
    return _without_wall_time(books)


def _without_wall_time(books: dict[str, Any]) -> dict[str, Any]:
    for row in (*books["orders"], *books["trades"], *books["flows"]):
        row.pop("received_at_wall_ms", None)
        row.pop("booked_at_wall_ms", None)
    books["orders"].sort(key=lambda row: (row["symbol"], row["orderId"]))
    return books


def test_a_second_exchange_on_the_same_books_is_refused(fresh_venue: VenueProcess) -> None:
    fresh_venue.start()
    intruder = VenueProcess(fresh_venue.data_dir)
    with pytest.raises(AssertionError, match="Another exchange is running"):
        intruder.start()


def test_a_full_disk_ends_it_before_anything_false_is_answered(fresh_venue: VenueProcess) -> None:
    """Fill the disk's quota with orders: what was answered is there after a restart, and nothing else."""
    fresh_venue.start(file_bytes_max=2_000_000)
    keys = fresh_venue.open_account(USDT="1000000")
    signer = Signer(fresh_venue, keys)
    answered: list[int] = []
    with contextlib.suppress(OSError, http.client.HTTPException):
        while len(answered) < 5000:
            answered.append(_place(signer, side="BUY", type="MARKET", quantity="0.01")["orderId"])
    code, said = fresh_venue.wait_end()

    fresh_venue.start()

    assert (code, "Traceback" in said) == (1, False)
    assert "free some space" in said
    assert 10 < len(answered) < 5000
    books = fresh_venue.control("GET", f"/control/books/{keys['uid']}")
    assert [order["orderId"] for order in books["orders"]] == answered
    assert books["trade_count"] == len(books["trades"]) == len(answered)


def test_it_ends_politely(fresh_venue: VenueProcess) -> None:
    fresh_venue.start()

    assert fresh_venue.stop() == 0
