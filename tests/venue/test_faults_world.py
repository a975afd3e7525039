"""Faults that change the exchange itself, against a running one; what should last is looked at after a kill."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from itertools import count
from typing import Any

import pytest

from tests.venue.hostile import POST_ORDER, Hostile
from tests.venue.processes import VenueProcess
from tests.waiting import wait_until

MARKET = {"type": "MARKET", "price": None, "timeInForce": None}
_NUMBERS = count(1)


@pytest.fixture
def hostile(fresh_venue: VenueProcess) -> Hostile:
    """Run an exchange of its own, whose market stands still, with one account."""
    fresh_venue.start()
    return Hostile(fresh_venue, f"client-{next(_NUMBERS)}")


@pytest.fixture
def shared(synthetic_venue: VenueProcess) -> Iterator[Hostile]:
    """Use the exchange whose market moves, with an account of its own."""
    yield Hostile(synthetic_venue, f"world-{next(_NUMBERS)}")
    synthetic_venue.control("DELETE", "/control/faults")


def _free(hostile: Hostile, asset: str) -> Decimal:
    return Decimal(hostile.books()["balances"][asset]["free"])


def _price(hostile: Hostile) -> float:
    return float(hostile.venue.ask("GET", "/api/v3/ticker/price?symbol=ETHUSDT")[1]["price"])


def _filters(hostile: Hostile) -> dict[str, Any]:
    [symbol] = hostile.venue.ask("GET", "/api/v3/exchangeInfo?symbol=ETHUSDT")[1]["symbols"]
    return {item["filterType"]: item for item in symbol["filters"]} | {"status": symbol["status"]}


def test_money_comes_goes_and_is_locked_from_outside(shared: Hostile) -> None:
    shared.arm("flow", "E42", words={"account": shared.uid, "asset": "USDT", "amount": "-400.5"})
    shared.arm("flow", "E19", words={"account": shared.uid, "asset": "ETH", "amount": "1", "silent": True})
    shared.arm("lock", "E42", words={"account": shared.uid, "asset": "ETH", "amount": "3"})
    too_much = shared.arm("flow", "E42", words={"account": shared.uid, "asset": "ETH", "amount": "-1000"})

    assert (_free(shared, "USDT"), _free(shared, "ETH")) == (Decimal("99599.5"), Decimal(18))
    assert shared.books()["balances"]["ETH"]["locked"] == "3.00000000"
    failed = [firing["facts"] for firing in shared.firings() if firing["number"] == too_much]
    assert "insufficient balance" in failed[-1]["failed"]


def test_a_person_trades_and_cancels(shared: Hostile) -> None:
    shared.place("ours")
    words = {"account": shared.uid, "symbol": "ETHUSDT", "side": "SELL", "quantity": "0.5"}
    shared.arm("human_order", "E43", words=words)
    shared.arm("human_cancel", "E43", words={"account": shared.uid})

    orders = shared.books()["orders"]
    assert [order["status"] for order in orders] == ["CANCELED", "FILLED"]
    assert orders[1]["clientOrderId"].startswith("web_")


def test_the_exchange_ends_an_order(shared: Hostile) -> None:
    shared.place("doomed")
    shared.arm("end_order", "E37", words={"account": shared.uid, "status": "EXPIRED"})

    assert shared.find("doomed")[1]["status"] == "EXPIRED"


def test_money_leaves_just_before_an_order_arrives(shared: Hostile) -> None:
    words = {"account": shared.uid, "asset": "USDT", "amount": "-99990"}
    shared.arm("flow", "E19", match={"endpoint": POST_ORDER, "account": shared.uid}, words=words)

    assert shared.place("unpaid")[1]["code"] == -2010
    assert _free(shared, "USDT") == 10


def test_filters_change_under_resting_orders_and_stay_changed(hostile: Hostile) -> None:
    hostile.place("old-tick", price="1500.01")
    words = {"symbol": "ETHUSDT", "tick": "0.5", "step": "0.01", "min_notional": "20", "max_position": "20.2", "max_orders": 3}
    hostile.arm("filters", "E41", words=words)
    expected = {
        "tick": hostile.place("tick", price="1500.01")[1]["msg"],
        "step": hostile.place("step", quantity="0.001")[1]["msg"],
        "notional": hostile.place("notional", quantity="0.01")[1]["msg"],
        "position": hostile.place("position", quantity="0.2")[1]["msg"],
        "good": hostile.place("good", quantity="0.1")[0],
    }
    hostile.place("third", side="SELL", price="9000")
    orders = hostile.place("fourth", side="SELL", price="9000")[1]["msg"]

    hostile.venue.kill()
    hostile.venue.start()

    assert expected == {
        "tick": "Filter failure: PRICE_FILTER",
        "step": "Filter failure: LOT_SIZE",
        "notional": "Filter failure: NOTIONAL",
        "position": "Filter failure: MAX_POSITION",
        "good": 200,
    }
    assert orders == "Filter failure: MAX_NUM_ORDERS"
    assert _filters(hostile)["PRICE_FILTER"]["tickSize"] == "0.50000000"
    assert _filters(hostile)["MAX_POSITION"]["maxPosition"] == "20.20000000"
    assert hostile.find("old-tick")[1]["price"] == "1500.01000000"
    cancelled = hostile.send("DELETE", "/api/v3/order", symbol="ETHUSDT", origClientOrderId="old-tick")[1]
    assert cancelled["status"] == "CANCELED"


def test_a_halted_symbol_fills_nothing_until_it_is_resumed(hostile: Hostile) -> None:
    price = _price(hostile)
    hostile.place("near", price=f"{price * 0.9999:.2f}")
    hostile.arm("halt", "E21", words={"symbol": "ETHUSDT"})
    hostile.venue.kill()
    hostile.venue.start()

    assert hostile.place("refused")[1]["msg"] == "Market is closed."
    assert _filters(hostile)["status"] == "BREAK"
    _step(hostile, 200)
    assert hostile.find("near")[1]["status"] == "NEW"
    hostile.arm("resume", "E21", words={"symbol": "ETHUSDT"})
    assert (_filters(hostile)["status"], hostile.place("taken")[0]) == ("TRADING", 200)


def test_a_delisted_symbol_is_gone_and_its_history_is_not(hostile: Hostile) -> None:
    hostile.place("bought", **MARKET)
    hostile.place("resting")
    hostile.arm("delist", "E40", words={"symbol": "ETHUSDT"})
    hostile.venue.kill()
    hostile.venue.start()

    symbols = [item["symbol"] for item in hostile.venue.ask("GET", "/api/v3/exchangeInfo")[1]["symbols"]]
    assert ("ETHUSDT" in symbols, "BTCUSDT" in symbols) == (False, True)
    assert hostile.place("too-late")[1]["code"] == -1121
    assert hostile.find("resting")[1]["status"] == "EXPIRED"
    assert len(hostile.send("GET", "/api/v3/myTrades", symbol="ETHUSDT")[1]) >= 1


def test_fees_change_for_the_house_and_for_one_account(hostile: Hostile) -> None:
    other = Hostile(hostile.venue, "other")
    hostile.arm("fees", "E39", words={"taker": "0.002"})
    hostile.arm("fees", "E39", words={"account": other.uid, "maker": "0", "taker": "0.0005"})
    hostile.venue.kill()
    hostile.venue.start()

    paid = [client.place("buy", **MARKET)[1]["fills"][0]["commission"] for client in (hostile, other)]

    assert [Decimal(fee) / Decimal("0.1") for fee in paid] == [Decimal("0.002"), Decimal("0.0005")]
    [shown] = other.send("GET", "/sapi/v1/asset/tradeFee", symbol="ETHUSDT")[1]
    assert (shown["makerCommission"], shown["takerCommission"]) == ("0.00000000", "0.00050000")


@pytest.mark.parametrize(("kind", "status"), [("LIMIT", "PARTIALLY_FILLED"), ("MARKET", "EXPIRED")])
def test_an_order_is_filled_in_part(hostile: Hostile, kind: str, status: str) -> None:
    hostile.arm("partial", "C09", match={"client_id": "^part$"}, words={"ratio": "0.3"})
    changes = MARKET if kind == "MARKET" else {"price": f"{_price(hostile) * 1.01:.2f}"}

    order = hostile.place("part", **changes)[1]

    assert (order["status"], order["executedQty"]) == (status, "0.03000000")
    assert Decimal(order["fills"][0]["qty"]) == Decimal("0.03")
    if kind == "LIMIT":
        _step(hostile, 60)
        assert hostile.find("part")[1]["executedQty"] in ("0.03000000", "0.10000000")


def test_a_testnet_reset_replaces_everything_but_the_keys(hostile: Hostile) -> None:
    hostile.place("old", **MARKET)
    hostile.place("resting")
    hostile.arm("testnet_reset", "E45", words={"balances": {"USDT": "500", "BTC": "1"}})
    fresh = hostile.books()
    first = hostile.place("new", price="1500", quantity="0.01")[1]
    hostile.venue.kill()
    hostile.venue.start()

    assert (fresh["orders"], fresh["trades"], fresh["flows"], fresh["trade_count"]) == ([], [], [], 0)
    assert {asset: row["free"] for asset, row in fresh["balances"].items()} == {"USDT": "500.00000000", "BTC": "1.00000000"}
    assert first["orderId"] == 1
    assert [order["clientOrderId"] for order in hostile.books()["orders"]] == ["new"]
    assert hostile.find("resting")[1]["code"] == -2013


def test_armed_faults_do_not_survive_a_restart_and_firings_neither(hostile: Hostile) -> None:
    hostile.arm("answer", words={"code": -1007}, times=0)
    hostile.place("refused")
    hostile.venue.kill()
    hostile.venue.start()

    assert hostile.venue.control("GET", "/control/faults") == {"seed": 0, "rules": [], "counts": {}, "firings": []}
    assert hostile.place("taken")[0] == 200


def test_a_fault_waits_for_its_market_time(hostile: Hostile) -> None:
    now = hostile.venue.control("GET", "/control/clock")["market_time"]
    words = {"account": hostile.uid, "asset": "ETH", "amount": "1"}
    hostile.arm("flow", "E42", when={"market_from": now + 5 * 60_000}, words=words)
    early = _free(hostile, "ETH")

    _step(hostile, 6)

    [flow] = [flow for flow in hostile.books()["flows"] if flow["asset"] == "ETH" and flow["amount"] == "1.00000000"]
    assert (early, _free(hostile, "ETH"), flow["time"]) == (Decimal(20), Decimal(21), now + 5 * 60_000)


def _step(hostile: Hostile, bars: int) -> None:
    clock = hostile.venue.control("GET", "/control/clock")
    hostile.venue.control("POST", "/control/step", {"bars": bars})
    end = clock["market_time"] + bars * clock["base_interval_ms"]
    wait_until(lambda: hostile.venue.control("GET", "/control/clock")["market_time"] >= end)
