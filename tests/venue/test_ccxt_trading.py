"""The contract with real ccxt over REST: nothing is replaced but the addresses."""

from __future__ import annotations

from typing import Any

import ccxt
import pytest

from tests.venue import clients
from tests.venue.processes import VenueProcess

SYMBOL = "ETH/USDT"


@pytest.fixture(scope="module")
def client(synthetic_venue: VenueProcess) -> Any:
    """Make a client with an account of its own."""
    synthetic_venue.control("POST", "/control/pause")
    keys = synthetic_venue.open_account("ccxt", USDT="50000", ETH="20")
    return clients.make(ccxt.binance, synthetic_venue.address, keys)


@pytest.fixture
def price(client: Any) -> float:
    """Return the price of now."""
    return float(client.fetch_ticker(SYMBOL)["last"])


def test_markets_have_their_real_filters(client: Any) -> None:
    markets = client.load_markets(True)

    assert {"BTC/USDT", "ETH/USDT", "SOL/USDT", "XRP/USDT", "DOGE/USDT"} <= set(markets)
    ether = markets[SYMBOL]
    assert ether["precision"]["price"] == 0.01
    assert ether["precision"]["amount"] == 0.0001
    assert ether["limits"]["cost"]["min"] == 5.0
    assert ether["spot"] is True
    assert ether["active"] is True


def test_candles_reach_back_before_the_start_and_add_up(client: Any) -> None:
    fives = client.fetch_ohlcv(SYMBOL, "5m", limit=1000)
    ones = client.fetch_ohlcv(SYMBOL, "1m", since=fives[-2][0], limit=5)

    assert len(fives) == 1000
    assert fives[-2][1] == ones[0][1]
    assert fives[-2][2] == max(row[2] for row in ones)
    assert fives[-2][4] == ones[-1][4]
    assert client.fetch_ohlcv(SYMBOL, "5m", since=fives[0][0], limit=3) == fives[:3]


def test_at_least_1500_bars_of_five_minutes_warm_a_strategy_up(client: Any) -> None:
    start = client.parse8601("2024-01-01T00:00:00Z") - 1500 * 300_000
    first = client.fetch_ohlcv(SYMBOL, "5m", since=start, limit=1000)
    second = client.fetch_ohlcv(SYMBOL, "5m", since=first[-1][0] + 1, limit=1000)

    assert len(first) + len(second) >= 1490
    assert second[0][0] > first[-1][0]


def test_a_market_order_fills_at_once_and_pays_its_fee_in_what_it_receives(client: Any) -> None:
    order = client.create_order(SYMBOL, "market", "buy", 0.5)

    assert order["status"] == "closed"
    assert order["filled"] == 0.5
    assert order["fee"] == {"currency": "ETH", "cost": 0.0005}
    book = client.fetch_order_book(SYMBOL, 5)
    assert order["average"] == book["asks"][0][0]


def test_a_market_order_can_be_sized_in_quote_currency(client: Any) -> None:
    order = client.create_market_buy_order_with_cost(SYMBOL, 100)

    assert order["status"] == "closed"
    assert 99 < order["cost"] <= 100


def test_a_limit_order_rests_is_found_by_either_id_and_is_cancelled(client: Any, price: float) -> None:
    free = client.fetch_balance()["USDT"]["free"]
    placed = client.create_order(SYMBOL, "limit", "buy", 0.1, price * 0.95, {"clientOrderId": "resting-1"})

    found = client.fetch_order(None, SYMBOL, {"origClientOrderId": "resting-1"})
    balance = client.fetch_balance()["USDT"]
    cancelled = client.cancel_order(None, SYMBOL, {"clientOrderId": "resting-1"})

    assert placed["status"] == found["status"] == "open"
    assert found["id"] == placed["id"] == client.fetch_order(placed["id"], SYMBOL)["id"]
    assert balance["free"] == pytest.approx(free - placed["price"] * 0.1)
    assert cancelled["status"] == "canceled"
    assert client.fetch_order(placed["id"], SYMBOL)["status"] == "canceled"
    assert client.fetch_balance()["USDT"]["free"] == pytest.approx(free)


def test_post_only_immediate_and_fill_or_kill(client: Any, price: float) -> None:
    resting = client.create_order(SYMBOL, "limit", "buy", 0.1, price * 0.96, {"postOnly": True})
    taken = client.create_order(SYMBOL, "limit", "buy", 0.1, price * 1.01, {"timeInForce": "IOC"})
    expired = client.create_order(SYMBOL, "limit", "buy", 0.1, price * 0.96, {"timeInForce": "FOK"})

    assert (resting["status"], resting["type"], resting["postOnly"]) == ("open", "limit", True)
    assert (taken["status"], taken["filled"]) == ("closed", 0.1)
    assert (expired["status"], expired["filled"]) == ("expired", 0.0)
    with pytest.raises(ccxt.OrderImmediatelyFillable):
        client.create_order(SYMBOL, "limit", "buy", 0.1, price * 1.01, {"postOnly": True})
    client.cancel_order(resting["id"], SYMBOL)


def test_stops_by_every_spelling(client: Any, price: float) -> None:
    by_type = client.create_order(SYMBOL, "STOP_LOSS", "sell", 0.1, None, {"stopPrice": price * 0.9})
    by_price = client.create_order(SYMBOL, "market", "sell", 0.1, None, {"stopLossPrice": price * 0.9})
    limited = client.create_order(SYMBOL, "limit", "sell", 0.1, price * 0.89, {"stopLossPrice": price * 0.9})
    profit = client.create_order(SYMBOL, "market", "sell", 0.1, None, {"takeProfitPrice": price * 1.1})

    kinds = [order["info"]["type"] for order in client.fetch_open_orders(SYMBOL)]
    assert kinds == ["STOP_LOSS", "STOP_LOSS", "STOP_LOSS_LIMIT", "TAKE_PROFIT"]
    assert by_type["status"] == by_price["status"] == limited["status"] == profit["status"] == "open"
    with pytest.raises(ccxt.OrderImmediatelyFillable):
        client.create_order(SYMBOL, "STOP_LOSS", "sell", 0.1, None, {"stopPrice": price * 1.1})
    assert len(client.cancel_all_orders(SYMBOL)) == 4
    assert client.fetch_open_orders(SYMBOL) == []


def test_my_trades_are_paged_by_number(client: Any) -> None:
    trades = client.fetch_my_trades(SYMBOL)
    numbers = [int(trade["id"]) for trade in trades]

    second = client.fetch_my_trades(SYMBOL, params={"fromId": numbers[1]}, limit=1)
    of_order = client.fetch_my_trades(SYMBOL, params={"orderId": trades[0]["order"]})

    assert numbers == sorted(set(numbers))
    assert [int(trade["id"]) for trade in second] == [numbers[1]]
    assert {trade["order"] for trade in of_order} == {trades[0]["order"]}
    assert trades[0]["fee"]["currency"] == "ETH"


def test_refusals_reach_ccxt_as_its_own_errors(client: Any, price: float) -> None:
    with pytest.raises(ccxt.InsufficientFunds):
        client.create_order(SYMBOL, "market", "buy", 40)
    with pytest.raises(ccxt.OrderNotFound):
        client.cancel_order("999999", SYMBOL)
    with pytest.raises(ccxt.OrderNotFound):
        client.fetch_order("999999", SYMBOL)
    with pytest.raises(ccxt.BadRequest, match="NOTIONAL"):
        client.create_order(SYMBOL, "limit", "buy", 0.0001, price * 0.9)
    # ccxt sends an attached stop as unknown parameters of a plain order.
    with pytest.raises(ccxt.BadRequest, match="Not all sent parameters were read"):
        client.create_order(SYMBOL, "limit", "buy", 0.1, price * 0.9, {"stopLoss": {"triggerPrice": price * 0.8}})


def test_fees_and_rights_of_the_key_can_be_asked(client: Any) -> None:
    fee = client.fetch_trading_fee(SYMBOL)
    rights = client.sapiGetAccountApiRestrictions()

    assert (fee["maker"], fee["taker"]) == (0.001, 0.001)
    assert rights["enableReading"] is True
    assert rights["enableWithdrawals"] is False
    assert rights["permitsUniversalTransfer"] is False


def test_public_prices(client: Any) -> None:
    book = client.fetch_order_book(SYMBOL, 5)
    tickers = client.fetch_tickers()
    sides = client.fetch_bids_asks([SYMBOL])[SYMBOL]

    assert book["bids"][0][0] < book["asks"][0][0]
    assert (sides["bid"], sides["ask"]) == (book["bids"][0][0], book["asks"][0][0])
    assert tickers[SYMBOL]["quoteVolume"] > 0
    assert client.fetch_trades(SYMBOL)
    assert abs(client.fetch_time() - client.milliseconds()) < 2000


def test_a_stranger_is_refused(synthetic_venue: VenueProcess, client: Any) -> None:
    unknown = {"api_key": "A" * 64, "api_secret": "B" * 64}
    wrong = {"api_key": client.apiKey, "api_secret": "B" * 64}

    with pytest.raises(ccxt.AuthenticationError, match="-2015"):
        clients.make(ccxt.binance, synthetic_venue.address, unknown).fetch_balance()
    with pytest.raises(ccxt.AuthenticationError, match="-1022"):
        clients.make(ccxt.binance, synthetic_venue.address, wrong).fetch_balance()
