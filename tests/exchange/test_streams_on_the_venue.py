"""Public streams of the real local exchange, which ends, pings, refuses, garbles and floods them."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest

from exchange.binance.market import BinanceMarket
from exchange.connect import trading_port
from exchange.lines import Terms, shards
from exchange.ports import (
    BookUpdate,
    ClosedCandle,
    OrderTicket,
    PublicTrade,
    QuoteUpdate,
    StreamGap,
    StreamOpen,
    TradingPort,
    Unreadable,
)
from exchange.profiles import LOCAL_VENUE
from tests.exchange.local_venue import PROJECT, LocalVenue, running
from trading.orders import OrderReport

BTC = "BTC/USDT"
MINUTE = 60_000
SYMBOLS = ("BTC/USDT", "ETH/USDT", "SOL/USDT")


@pytest.fixture(scope="module")
def venue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalVenue]:
    with running(tmp_path_factory.mktemp("venue"), "--speed", "300") as found:
        yield found


@pytest.fixture(autouse=True)
def calm(venue: LocalVenue) -> Iterator[None]:
    yield
    venue.disarm()
    terms = {"ping_seconds": 20, "life_seconds": 86_400, "streams_max": 1024, "messages_per_second": 5}
    venue.arm({"id": "M09", "action": "stream_terms", "with": terms}, {"id": "E16", "action": "skew", "with": {"ms": 0}})
    venue.disarm()


def port(venue: LocalVenue, **terms: Any) -> BinanceMarket:
    return BinanceMarket(profile=LOCAL_VENUE, terms=Terms(**terms), rest_url=venue.rest_url, stream_url=venue.stream_url)


async def told(events: AsyncIterator[Any], *, seconds: float, enough: Callable[[list[Any]], bool] = bool) -> list[Any]:
    """Return what a stream tells in this time, or until it is enough on a slow machine."""
    found, until = [], time.monotonic() + seconds
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds + 60):
            async for event in events:
                found.append(event)
                if time.monotonic() >= until and enough(found):
                    break
    return found


def bars(events: list[Any]) -> list[int]:
    return sorted({event.open_ms for event in events if isinstance(event, ClosedCandle)})


@pytest.mark.fault("M09")
async def test_a_line_is_replaced_before_the_exchange_cuts_it_and_no_bar_is_lost(venue: LocalVenue) -> None:
    venue.arm({"id": "M09", "action": "stream_terms", "with": {"life_seconds": 4}})
    market = port(venue, life_seconds=0.5)
    events = await told(market.watch_closed_candles([(BTC, "1m")]), seconds=5, enough=lambda found: len(bars(found)) > 4)
    await market.close()

    assert sum(isinstance(event, StreamOpen) for event in events) == 1
    assert not [event for event in events if isinstance(event, StreamGap)]
    opens = bars(events)
    assert len(opens) > 4
    assert {later - earlier for earlier, later in itertools.pairwise(opens)} == {MINUTE}


@pytest.mark.fault("M09")
async def test_the_word_that_the_server_shuts_down_is_enough_to_move(venue: LocalVenue) -> None:
    market = port(venue)
    stream = market.watch_closed_candles([(BTC, "1m")])
    assert isinstance(await anext(stream), StreamOpen)
    await anext(stream)
    farewell = {"e": "serverShutdown", "E": 1}
    venue.arm(
        {"id": "M09", "action": "inject", "match": {"stream": "btcusdt@kline_1m"}, "with": {"payload": farewell}},
        {"id": "M09", "action": "cut", "match": {"stream": "btcusdt@kline_1m"}, "when": {"wall_after": 1.5}},
    )
    events = await told(stream, seconds=1.4)
    await market.close()
    assert not [event for event in events if isinstance(event, StreamGap)]
    opens = bars(events)
    assert {later - earlier for earlier, later in itertools.pairwise(opens)} == {MINUTE}


@pytest.mark.fault("M10")
async def test_pings_are_answered_so_the_line_stays(venue: LocalVenue) -> None:
    venue.arm({"id": "M10", "action": "stream_terms", "with": {"ping_seconds": 0.2}})
    market = port(venue)
    events = await told(market.watch_closed_candles([(BTC, "1m")]), seconds=1.3, enough=lambda found: len(bars(found)) > 2)
    await market.close()
    assert len(bars(events)) > 2
    assert not [event for event in events if isinstance(event, StreamGap)]


@pytest.mark.fault("M11")
async def test_many_streams_are_spread_over_lines_and_asked_for_slowly(venue: LocalVenue) -> None:
    venue.arm({"id": "M11", "action": "stream_terms", "with": {"streams_max": 6, "messages_per_second": 3}})
    wanted = [(symbol, interval) for symbol in SYMBOLS for interval in ("1m", "3m", "5m", "1h")]
    market = port(venue, streams_max=6, names_per_message=2, messages_per_second=2)

    def heard(events: list[Any]) -> set[tuple[str, str]]:
        return {(event.symbol, event.interval) for event in events if isinstance(event, ClosedCandle)}

    quick = {pair for pair in wanted if pair[1] in ("1m", "3m")}
    events = await told(market.watch_closed_candles(wanted), seconds=3, enough=lambda found: quick <= heard(found))
    await market.close()
    assert sum(isinstance(event, StreamOpen) for event in events) == 2
    assert not [event for event in events if isinstance(event, StreamGap)]
    assert quick <= heard(events)


@pytest.mark.fault("M11")
def test_eleven_hundred_symbols_need_two_lines() -> None:
    parts = shards([f"s{number}@kline_1m" for number in range(1100)], Terms().streams_max)
    assert [len(part) for part in parts] == [1000, 100]
    assert len({name for part in parts for name in part}) == 1100


@pytest.mark.fault("M12")
async def test_a_closed_door_is_knocked_at_ever_more_slowly(venue: LocalVenue) -> None:
    venue.arm({"id": "M12", "action": "refuse_connections", "with": {"seconds": 2}})
    market = port(venue)
    began = time.monotonic()
    stream = market.watch_closed_candles([(BTC, "1m")])
    async with asyncio.timeout(60):
        assert isinstance(await anext(stream), StreamOpen)
        assert isinstance(await anext(stream), ClosedCandle)
    assert time.monotonic() - began >= 2
    await market.close()
    # 0.1, 0.2, 0.4 ... at most, at least half of that: 300 in five minutes would be one a second for ever.
    assert len(venue.firings("refuse_connections")) <= 8


@pytest.mark.fault("M04", "M06", "M08")
@pytest.mark.parametrize(
    ("fields", "stream"),
    [
        ({"b": ""}, "bookTicker"),
        ({"a": None}, "bookTicker"),
        ({"b": "1e9999999999"}, "bookTicker"),
        ({"E": 0}, "miniTicker"),
        ({"E": "soon"}, "miniTicker"),
    ],
)
async def test_nonsense_is_told_as_nonsense_and_the_stream_goes_on(
    venue: LocalVenue, fields: dict[str, Any], stream: str
) -> None:
    market = port(venue)
    quotes = market.watch_quotes([BTC])
    assert isinstance(await anext(quotes), StreamOpen)
    venue.arm({"id": "M04", "action": "edit", "match": {"stream": f"btcusdt@{stream}"}, "times": 3, "with": {"fields": fields}})
    async with asyncio.timeout(60):
        while not isinstance(event := await anext(quotes), Unreadable):
            pass
        assert event.symbol == BTC
        while not isinstance(event := await anext(quotes), QuoteUpdate):
            pass
    await market.close()


@pytest.mark.fault("M08")
@pytest.mark.parametrize("to", ["future", "1970", "us"])
async def test_times_that_cannot_be_poison_no_later_quote(venue: LocalVenue, to: str) -> None:
    market = port(venue)
    quotes = market.watch_quotes([BTC])
    assert isinstance(await anext(quotes), StreamOpen)
    venue.arm({"id": "M08", "action": "shift_time", "match": {"stream": "btcusdt@"}, "times": 4, "with": {"to": to}})
    events = await told(quotes, seconds=1.3, enough=lambda found: isinstance(found[-1], QuoteUpdate))
    now = venue.ask("/control/clock")["market_time"]
    await market.close()
    heard = [event for event in events if isinstance(event, QuoteUpdate)]
    assert heard
    assert all(abs(quote.market_ms - now) < 3_600_000 for quote in heard[-3:])


async def test_a_quote_that_is_heard_before_the_time_is_known_gets_the_time_that_was_asked_for(venue: LocalVenue) -> None:
    venue.arm(
        {"id": "M08", "action": "withhold", "match": {"event": "24hrMiniTicker"}, "times": 0},
        {"id": "M08", "action": "delay", "match": {"endpoint": "GET /api/v3/ticker/24hr"}, "with": {"seconds": 1.5}},
    )
    market = port(venue)
    quotes = market.watch_quotes([BTC])
    assert isinstance(await anext(quotes), StreamOpen)
    first = await anext(quotes)
    now = venue.ask("/control/clock")["market_time"]
    await market.close()
    assert isinstance(first, QuoteUpdate)
    assert abs(first.market_ms - now) < 3_600_000


@pytest.mark.fault("M14")
async def test_quotes_that_come_faster_than_they_are_taken_leave_the_newest_of_each(venue: LocalVenue) -> None:
    market = port(venue)
    quotes = market.watch_quotes(SYMBOLS)
    assert isinstance(await anext(quotes), StreamOpen)
    flood = {"id": "M14", "action": "duplicate", "match": {"event": "bookTicker"}, "times": 0, "with": {"copies": 100}}
    venue.arm(flood)
    await asyncio.sleep(1.2)
    venue.ask("/control/pause", {})
    await asyncio.sleep(0.3)
    try:
        waiting = {}
        for _ in SYMBOLS:
            event = await anext(quotes)
            assert isinstance(event, QuoteUpdate)
            waiting[event.symbol] = event
        assert set(waiting) == set(SYMBOLS), "one for each symbol, however many were told"
        assert market.coalesced > 500
        for quote in await market.quotes(SYMBOLS):
            assert (waiting[quote.symbol].bid, waiting[quote.symbol].ask) == (quote.bid, quote.ask)
    finally:
        venue.ask("/control/resume", {})
        await market.close()


@pytest.mark.fault("M07")
async def test_an_order_book_with_a_hole_is_read_anew(venue: LocalVenue) -> None:
    market = port(venue, book_levels=20)
    book = market.watch_book(BTC, levels=5)
    assert isinstance(await anext(book), StreamOpen)
    lost = {"id": "M07", "action": "withhold", "match": {"event": "depthUpdate"}, "when": {"every": 3}, "times": 0}
    venue.arm(lost)
    newest: BookUpdate | None = None
    before = len(venue.firings("withhold"))
    async with asyncio.timeout(60):
        while len(venue.firings("withhold")) < before + 3:
            event = await anext(book)
            assert isinstance(event, BookUpdate)
            assert newest is None or event.update_id >= newest.update_id
            newest = event
    assert newest is not None
    assert newest.bids[0][0] < newest.asks[0][0]
    assert [len(newest.bids), len(newest.asks)] == [5, 5]
    await market.close()


async def test_an_order_book_followed_by_changes_equals_the_one_that_is_asked_for(venue: LocalVenue) -> None:
    market = port(venue, book_levels=20)
    book = market.watch_book(BTC, levels=5)
    compared = 0
    async with asyncio.timeout(60):
        while compared < 2:
            event = await anext(book)
            venue.ask("/control/pause", {})
            raw = venue.public("/api/v3/depth?symbol=BTCUSDT&limit=5")
            venue.ask("/control/resume", {})
            if isinstance(event, BookUpdate) and raw["lastUpdateId"] == event.update_id:
                assert [f"{price:f}" for price, _ in event.bids] == [row[0] for row in raw["bids"]]
                assert [f"{price:f}" for price, _ in event.asks] == [row[0] for row in raw["asks"]]
                compared += 1
    await market.close()


async def test_trades_of_everybody_are_read_exactly(venue: LocalVenue) -> None:
    market = port(venue)
    events = await told(market.watch_trades([BTC]), seconds=1.3, enough=lambda found: isinstance(found[-1], PublicTrade))
    await market.close()
    trades = [event for event in events if isinstance(event, PublicTrade)]
    assert trades
    numbers = [int(trade.trade_id) for trade in trades]
    assert numbers == sorted(set(numbers))
    assert all(trade.price > 0 and trade.quantity > 0 for trade in trades)


def trader(venue: LocalVenue, name: str) -> tuple[TradingPort, str]:
    """Open an account; answer its port and its number."""
    account = venue.ask("/control/accounts", {"name": name, "balances": {"USDT": "10000"}})
    keys = {"key": account["api_key"], "secret": account["api_secret"]}
    where = {"rest_url": venue.rest_url, "stream_url": venue.stream_url}
    return trading_port(exchange="binance", **keys, **where, is_local=True), account["uid"]


@pytest.mark.fault("U06")
async def test_a_user_stream_that_ends_by_its_own_word_is_opened_anew(venue: LocalVenue) -> None:
    trading, uid = trader(venue, "ended")
    stream = trading.user_events()
    async with asyncio.timeout(60):
        assert isinstance(await anext(stream), StreamOpen)
        farewell = {"payload": {"e": "eventStreamTerminated", "E": 1}}
        venue.arm({"id": "U06", "action": "inject", "match": {"stream": "user", "account": uid}, "with": farewell})
        # The gap comes first: whoever trades reads the history again before it decides anything.
        assert isinstance(await anext(stream), StreamGap)
        assert isinstance(await anext(stream), StreamOpen)
        venue.disarm()
        await hears_of_its_order(trading, stream)
    await trading.close()


@pytest.mark.fault("E16", "U06")
async def test_a_user_stream_that_was_refused_is_asked_for_anew(venue: LocalVenue, caplog: pytest.LogCaptureFixture) -> None:
    """Seen when a venue came back on a busy machine: the request was older than its window, and no later one was answered."""
    trading, _ = trader(venue, "late")
    stream = trading.user_events()
    venue.arm({"id": "E16", "action": "skew", "with": {"ms": -30_000}})
    async with asyncio.timeout(60):
        opened = asyncio.ensure_future(anext(stream))
        while "REJECTED_TIME" not in caplog.text:  # noqa: ASYNC110 - a log sets no event.
            await asyncio.sleep(0.05)
        venue.arm({"id": "E16", "action": "skew", "with": {"ms": 0}})
        assert isinstance(await opened, StreamOpen)
        await hears_of_its_order(trading, stream)
    await trading.close()


async def hears_of_its_order(trading: TradingPort, stream: AsyncIterator[Any]) -> None:
    ticket = OrderTicket(client_order_id="t1-1-1-aa", symbol="BTCUSDT", side="buy", type="MARKET", quantity=Decimal("0.001"))
    await trading.submit(ticket, send_before_ms=2**53)
    told = await anext(stream)
    assert isinstance(told, OrderReport)
    assert told.client_order_id == "t1-1-1-aa"


@pytest.mark.fault("U12")
def test_the_old_way_to_a_user_stream_is_shut_and_nobody_takes_it(venue: LocalVenue) -> None:
    request = urllib.request.Request(f"{venue.rest_url}/api/v3/userDataStream", data=b"", method="POST")
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=60)
    assert refused.value.code == 410
    adapters = [path.read_text() for path in (PROJECT / "exchange" / "binance").rglob("*.py")]
    assert adapters
    assert not [text for text in adapters if "listenKey" in text or "userDataStream" in text or "put_userdatastream" in text]
