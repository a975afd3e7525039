"""What anyone may see, read by two strangers' clients."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import pytest

from tests.conformance.conftest import Exchange
from tests.conformance.protocol import Client

MINUTE_MS = 60_000
HOUR = 60


async def test_the_time_is_told(client: Client) -> None:
    assert await client.ask("ping") == {}
    assert set(await client.ask("time")) == {"serverTime"}


async def test_the_listing_says_how_to_trade(client: Client) -> None:
    answer = await client.ask("exchangeInfo")

    listing = next(row for row in answer["symbols"] if row["symbol"] == "ETHUSDT")
    assert listing["status"] == "TRADING"
    assert {"LIMIT", "LIMIT_MAKER", "MARKET", "STOP_LOSS", "STOP_LOSS_LIMIT", "TAKE_PROFIT", "TAKE_PROFIT_LIMIT"} <= set(
        listing["orderTypes"]
    )
    names = {rule["filterType"] for rule in listing["filters"]}
    assert {"PRICE_FILTER", "LOT_SIZE", "MARKET_LOT_SIZE", "NOTIONAL", "PERCENT_PRICE_BY_SIDE", "MAX_NUM_ORDERS"} <= names
    assert {rule["rateLimitType"] for rule in answer["rateLimits"]} >= {"REQUEST_WEIGHT", "ORDERS"}


async def test_candles_come_oldest_first_and_page_by_time(client: Client) -> None:
    newest = await client.ask("klines", symbol="ETHUSDT", interval="1m", limit=5)
    first_open = int(newest[0][0])
    window = await client.ask(
        "klines", symbol="ETHUSDT", interval="1m", startTime=first_open, endTime=first_open + 2 * MINUTE_MS, limit=10
    )

    assert [len(row) for row in newest] == [12] * 5
    assert [int(row[0]) for row in newest] == [first_open + minute * MINUTE_MS for minute in range(5)]
    assert window == newest[:3]
    for _, opened, high, low, closed, *_ in newest:
        assert Decimal(low) <= min(Decimal(opened), Decimal(closed)) <= max(Decimal(opened), Decimal(closed)) <= Decimal(high)


async def test_an_hour_is_made_of_its_minutes(client: Client) -> None:
    hour = (await client.ask("klines", symbol="ETHUSDT", interval="1h", limit=2))[0]
    minutes = await client.ask(
        "klines", symbol="ETHUSDT", interval="1m", startTime=int(hour[0]), endTime=int(hour[6]), limit=HOUR
    )

    assert len(minutes) == HOUR
    assert Decimal(hour[1]) == Decimal(minutes[0][1])
    assert Decimal(hour[2]) == max(Decimal(row[2]) for row in minutes)
    assert Decimal(hour[3]) == min(Decimal(row[3]) for row in minutes)
    assert Decimal(hour[4]) == Decimal(minutes[-1][4])
    assert Decimal(hour[5]) == sum(Decimal(row[5]) for row in minutes)


async def test_the_book_is_sorted_and_its_top_is_the_ticker(client: Client) -> None:
    book = await client.ask("depth", symbol="ETHUSDT", limit=20)
    top = await client.ask("ticker/bookTicker", symbol="ETHUSDT")

    bids = [Decimal(price) for price, _ in book["bids"]]
    asks = [Decimal(price) for price, _ in book["asks"]]
    assert bids == sorted(bids, reverse=True)
    assert asks == sorted(asks)
    assert bids[0] < asks[0]
    assert (Decimal(top["bidPrice"]), Decimal(top["askPrice"])) == (bids[0], asks[0])


async def test_tickers_agree_with_each_other(client: Client) -> None:
    day = await client.ask("ticker/24hr", symbol="ETHUSDT")
    price = await client.ask("ticker/price", symbol="ETHUSDT")
    average = await client.ask("avgPrice", symbol="ETHUSDT")

    assert Decimal(day["lastPrice"]) == Decimal(price["price"])
    assert Decimal(day["lowPrice"]) <= Decimal(price["price"]) <= Decimal(day["highPrice"])
    assert Decimal(average["price"]) > 0


async def test_public_trades_page_by_id(client: Client) -> None:
    trades = await client.ask("trades", symbol="ETHUSDT", limit=5)
    aggregated = await client.ask("aggTrades", symbol="ETHUSDT", limit=5)
    page = await client.ask("aggTrades", symbol="ETHUSDT", fromId=aggregated[1]["a"], limit=2)

    assert [row["id"] for row in trades] == sorted(row["id"] for row in trades)
    assert page == aggregated[1:3]


STREAMS: list[tuple[str, dict[str, Any], set[str]]] = [
    ("kline", {"symbol": "ETHUSDT", "interval": "1m"}, {"e", "E", "s", "k"}),
    ("trade", {"symbol": "ETHUSDT"}, {"e", "E", "s", "t", "p", "q", "T", "m"}),
    ("aggTrade", {"symbol": "ETHUSDT"}, {"e", "E", "s", "a", "p", "q", "f", "l", "T", "m"}),
    ("bookTicker", {"symbol": "ETHUSDT"}, {"u", "s", "b", "B", "a", "A"}),
    ("miniTicker", {"symbol": "ETHUSDT"}, {"e", "E", "s", "c", "o", "h", "l", "v", "q"}),
]


@pytest.mark.parametrize(("stream", "parameters", "fields"), STREAMS, ids=[name for name, *_ in STREAMS])
async def test_market_streams_tell_what_happens(
    client: Client, exchange: Exchange, stream: str, parameters: dict[str, Any], fields: set[str]
) -> None:
    events = await client.market_events(stream, **parameters)

    exchange.step()
    event = await asyncio.wait_for(events.get(), timeout=10)

    assert fields <= set(event)
    assert event["s"] == "ETHUSDT"
