"""The control address: clock, holds, acknowledgements, accounts, the exchange's own books."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tests.venue.processes import VenueProcess
from tests.venue.signed import Signer
from tests.waiting import wait_until

MINUTE = 60_000


def _clock(venue: VenueProcess) -> dict[str, Any]:
    clock: dict[str, Any] = venue.control("GET", "/control/clock")
    return clock


def _hold(venue: VenueProcess, after: int) -> dict[str, Any]:
    status, body = venue.control_status("GET", f"/control/hold?after={after}&timeout=60")
    assert status == 200
    clock: dict[str, Any] = body
    return clock


def _acknowledge(venue: VenueProcess, client: str, hold_time: int, **trades: int) -> tuple[int, Any]:
    return venue.control_status("POST", "/control/ack", {"client": client, "hold_time": hold_time, "trades": trades})


@pytest.fixture
def paced_venue(fresh_venue: VenueProcess) -> VenueProcess:
    """Start an exchange that waits for one client, held at its second bar."""
    fresh_venue.start()
    fresh_venue.control("POST", "/control/clients", {"client": "trader"})
    fresh_venue.control("POST", "/control/resume", {})
    return fresh_venue


def test_the_market_waits_for_its_clients(paced_venue: VenueProcess) -> None:
    start = _clock(paced_venue)["start_time"]

    for bar in range(1, 6):
        held = _hold(paced_venue, start + (bar - 1) * MINUTE)
        time.sleep(0.05)

        assert held["hold_time"] == _clock(paced_venue)["market_time"] == start + bar * MINUTE
        assert _acknowledge(paced_venue, "trader", held["hold_time"]) == (200, {"released": True})


def test_a_hold_comes_after_the_closed_candles_and_at_the_next_open(paced_venue: VenueProcess) -> None:
    start = _clock(paced_venue)["start_time"]
    held = _hold(paced_venue, start)["hold_time"]

    _, rows = paced_venue.ask("GET", "/api/v3/klines?symbol=ETHUSDT&interval=1m&limit=2")
    _, price = paced_venue.ask("GET", "/api/v3/ticker/price?symbol=ETHUSDT")

    closed, forming = rows
    assert (closed[0], forming[0]) == (held - MINUTE, held)
    assert price["price"] == forming[1] == forming[4]
    _, asked = paced_venue.ask("GET", f"/api/v3/klines?symbol=ETHUSDT&interval=1m&startTime={closed[0]}&limit=1")
    assert asked == [closed]


def test_all_clients_must_agree_and_one_that_leaves_is_not_waited_for(paced_venue: VenueProcess) -> None:
    held = _hold(paced_venue, _clock(paced_venue)["start_time"])["hold_time"]
    paced_venue.control("POST", "/control/clients", {"client": "slow"})

    assert _acknowledge(paced_venue, "trader", held) == (200, {"released": False})
    assert _clock(paced_venue)["hold_time"] == held
    paced_venue.control("DELETE", "/control/clients/slow")
    assert _hold(paced_venue, held)["hold_time"] == held + MINUTE


def test_who_has_not_posted_every_fill_must_look_again(paced_venue: VenueProcess) -> None:
    keys = paced_venue.open_account(USDT="10000")
    signer = Signer(paced_venue, keys)
    held = _hold(paced_venue, _clock(paced_venue)["start_time"])["hold_time"]
    status, order = signer.send("POST", "/api/v3/order", symbol="ETHUSDT", side="BUY", type="MARKET", quantity="1")

    refused = _acknowledge(paced_venue, "trader", held, **{keys["uid"]: 0})
    accepted = _acknowledge(paced_venue, "trader", held, **{keys["uid"]: len(order["fills"])})

    assert status == 200
    assert order["transactTime"] == held
    assert refused == (409, {"trades": {keys["uid"]: len(order["fills"])}})
    assert accepted == (200, {"released": True})


def test_an_old_or_unknown_acknowledgement_releases_nothing(paced_venue: VenueProcess) -> None:
    start = _clock(paced_venue)["start_time"]
    held = _hold(paced_venue, start)["hold_time"]

    assert _acknowledge(paced_venue, "trader", start) == (200, {"released": False})
    assert _acknowledge(paced_venue, "stranger", held)[0] == 404
    assert _clock(paced_venue)["held"] is True


def test_a_wait_for_a_hold_ends_with_its_timeout(paced_venue: VenueProcess) -> None:
    held = _hold(paced_venue, _clock(paced_venue)["start_time"])["hold_time"]

    status, _ = paced_venue.control_status("GET", f"/control/hold?after={held}&timeout=0.3")

    assert status == 204


def test_a_waiting_client_is_woken_by_the_next_hold(paced_venue: VenueProcess) -> None:
    held = _hold(paced_venue, _clock(paced_venue)["start_time"])["hold_time"]
    heard: list[int] = []
    listener = threading.Thread(target=lambda: heard.append(_hold(paced_venue, held)["hold_time"]))
    listener.start()

    _acknowledge(paced_venue, "trader", held)
    listener.join(timeout=60)

    assert heard == [held + MINUTE]


def test_killed_in_a_hold_it_waits_on_for_the_same_clients(paced_venue: VenueProcess) -> None:
    paced_venue.control("POST", "/control/clients", {"client": "second"})
    held = _hold(paced_venue, _clock(paced_venue)["start_time"])["hold_time"]
    _acknowledge(paced_venue, "trader", held)

    paced_venue.kill()
    paced_venue.start()

    clock = _clock(paced_venue)
    assert (clock["hold_time"], clock["clients"]) == (held, {"trader": held, "second": None})
    assert _acknowledge(paced_venue, "second", held) == (200, {"released": True})
    assert _hold(paced_venue, held)["hold_time"] == held + MINUTE


def test_pause_step_and_speed(fresh_venue: VenueProcess) -> None:
    fresh_venue.start()
    start = _clock(fresh_venue)["market_time"]

    fresh_venue.control("POST", "/control/step", {"bars": 3})
    wait_until(lambda: _clock(fresh_venue)["market_time"] >= start + 3 * MINUTE)
    time.sleep(0.1)
    stepped = _clock(fresh_venue)["market_time"]
    slower = fresh_venue.control("POST", "/control/speed", {"speed": 120})
    fresh_venue.kill()
    fresh_venue.start()

    assert stepped == start + 3 * MINUTE
    assert slower["speed"] == _clock(fresh_venue)["speed"] == 120
    assert _clock(fresh_venue)["paused"] is True


def test_speed_is_an_upper_bound(fresh_venue: VenueProcess) -> None:
    fresh_venue.start()
    fresh_venue.control("POST", "/control/speed", {"speed": 600})
    fresh_venue.control("POST", "/control/resume", {})
    began, start = time.monotonic(), _clock(fresh_venue)["market_time"]

    passed = 0.0
    while passed <= 300:
        assert time.monotonic() - began < 60
        time.sleep(0.1)
        passed = (_clock(fresh_venue)["market_time"] - start) / 1000
        assert passed <= 600 * (time.monotonic() - began) + 60


def test_accounts_are_opened_once_and_money_comes_from_outside(fresh_venue: VenueProcess) -> None:
    fresh_venue.start()
    first = fresh_venue.open_account(USDT="9882.31")
    again = fresh_venue.open_account(USDT="5")

    fresh_venue.control("POST", "/control/faucet", {"uid": first["uid"], "asset": "USDT", "amount": "-0.00000001"})
    status, refusal = fresh_venue.control_status(
        "POST", "/control/faucet", {"uid": first["uid"], "asset": "USDT", "amount": "-9882.31"}
    )
    books = fresh_venue.control("GET", f"/control/books/{first['uid']}")

    assert first == again
    assert (status, refusal["error"]) == (400, "Account has insufficient balance for requested action.")
    assert books["balances"] == {"USDT": {"free": "9882.30999999", "locked": "0.00000000"}}
    assert [flow["amount"] for flow in books["flows"]] == ["9882.31000000", "-0.00000001"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/control/speed", {"speed": 0}),
        ("/control/speed", {"speed": "fast"}),
        ("/control/step", {"bars": -1}),
        ("/control/limits", {"orders": 0}),
        ("/control/limits", {"weight": "6000"}),
        ("/control/clients", {}),
        ("/control/ack", {"client": "trader", "hold_time": "now"}),
        ("/control/accounts", {"name": "x", "balances": {"USDT": "1e3"}}),
        ("/control/faucet", {"uid": 1, "asset": "USDT", "amount": "1"}),
    ],
)
def test_bad_control_requests_are_explained(synthetic_venue: VenueProcess, path: str, body: dict[str, Any]) -> None:
    status, answer = synthetic_venue.control_status("POST", path, body)

    assert status in (400, 404)
    assert answer["error"]


def test_a_market_that_waits_for_its_first_client_begins_with_it(tmp_path: Path) -> None:
    (tmp_path / "venue").mkdir()
    venue = VenueProcess(tmp_path / "venue", "--market", "synthetic", "--speed", "100000", "--wait-for-client")
    venue.start()
    try:
        start = _clock(venue)["start_time"]
        time.sleep(0.3)
        assert _clock(venue)["market_time"] == start

        venue.control("POST", "/control/clients", {"client": "trader"})
        assert _acknowledge(venue, "trader", start) == (200, {"released": True})

        assert _hold(venue, start)["hold_time"] == start + MINUTE
    finally:
        venue.stop()
