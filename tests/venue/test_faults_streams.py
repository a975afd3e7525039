"""Streams that go wrong: what two kinds of listeners hear while the exchange runs on."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator, Iterator
from itertools import count, pairwise
from typing import Any

import aiohttp
import pytest

from tests.venue.hostile import ORDER, Hostile
from tests.venue.processes import VenueProcess

SECONDS = 8.0
_NUMBERS = count(1)


@pytest.fixture(scope="module")
def venue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VenueProcess]:
    """Run an exchange with five bars a second."""
    venue = VenueProcess(tmp_path_factory.mktemp("venue") / "data", "--speed", "300")
    venue.start()
    yield venue
    venue.stop()


@pytest.fixture
def hostile(venue: VenueProcess) -> Iterator[Hostile]:
    """Open an account; disarm everything afterwards."""
    yield Hostile(venue, f"listener-{next(_NUMBERS)}")
    venue.control("DELETE", "/control/faults")


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    """Open a client session."""
    async with aiohttp.ClientSession() as session:
        yield session


class Ear:
    """One connection and what it hears."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket

    async def hear(self, wanted: int = 1) -> list[dict[str, Any]]:
        """Return the next messages."""
        async with asyncio.timeout(SECONDS):
            return [json.loads(await self.socket.receive_str()) for _ in range(wanted)]

    async def until_cut(self) -> int | None:
        """Wait until the other side ends the connection; return its code."""
        async with asyncio.timeout(SECONDS):
            while (await self.socket.receive()).type is aiohttp.WSMsgType.TEXT:
                pass
        return self.socket.close_code


async def _market(session: aiohttp.ClientSession, hostile: Hostile, stream: str) -> Ear:
    return Ear(await session.ws_connect(f"http://{hostile.venue.address}/ws/{stream}"))


async def _user(session: aiohttp.ClientSession, hostile: Hostile) -> Ear:
    ear = Ear(await session.ws_connect(f"http://{hostile.venue.address}/ws-api/v3"))
    await ear.socket.send_json(_signed(hostile, "userDataStream.subscribe.signature", {}))
    [answer] = await ear.hear()
    assert answer["status"] == 200
    return ear


def _signed(hostile: Hostile, method: str, values: dict[str, Any]) -> dict[str, Any]:
    values = values | {"apiKey": hostile.keys["api_key"], "timestamp": int(time.time() * 1000)}
    payload = "&".join(f"{name}={value}" for name, value in sorted(values.items()))
    signature = hmac.new(hostile.keys["api_secret"].encode(), payload.encode(), hashlib.sha256).hexdigest()
    return {"id": 1, "method": method, "params": values | {"signature": signature}}


def _place(hostile: Hostile, name: str) -> None:
    status, answer = hostile.place(name, type="MARKET", price=None, timeInForce=None)
    assert status == 200, answer


def _said(messages: list[dict[str, Any]]) -> list[str]:
    """Write what a user stream said in words."""
    return [message["event"]["e"][:9] + message["event"].get("x", "") for message in messages]


REPORT = {"event": "executionReport"}


@pytest.mark.parametrize(
    ("action", "rest", "said"),
    [
        ("withhold", {"match": REPORT | {"execution": "TRADE"}}, ["executionNEW", "outboundA"]),
        ("duplicate", {"match": REPORT}, ["executionNEW", "executionNEW", "executionTRADE", "outboundA"]),
        ("reorder", {"match": REPORT}, ["executionTRADE", "executionNEW", "outboundA"]),
        ("reorder", {"match": REPORT, "times": 2}, ["outboundA", "executionNEW", "executionTRADE"]),
        ("withhold", {"match": REPORT, "words": {"seconds": 0.3}}, ["executionTRADE", "outboundA", "executionNEW"]),
    ],
)
async def test_what_a_fill_sounds_like(
    session: aiohttp.ClientSession, hostile: Hostile, action: str, rest: dict[str, Any], said: list[str]
) -> None:
    ear = await _user(session, hostile)
    rest = rest | {"match": rest["match"] | {"account": hostile.uid}}
    hostile.arm(action, "U02", **rest)
    await asyncio.to_thread(_place, hostile, "heard")

    assert _said(await ear.hear(len(said))) == said


async def test_a_user_stream_is_silent_while_the_account_changes(session: aiohttp.ClientSession, hostile: Hostile) -> None:
    ear = await _user(session, hostile)
    hostile.arm("silence", "U07", match={"stream": "user"}, words={"seconds": 1.0})
    await asyncio.to_thread(_place, hostile, "unheard")
    await asyncio.sleep(1.1)
    await asyncio.to_thread(_place, hostile, "heard")

    [first] = await ear.hear()
    assert first["event"]["c"] == "heard"


async def test_a_user_stream_ends_with_a_word_and_is_cut(session: aiohttp.ClientSession, hostile: Hostile) -> None:
    ear = await _user(session, hostile)
    match = {"stream": "user", "account": hostile.uid}
    hostile.arm("inject", "U06", match=match, words={"payload": {"e": "eventStreamTerminated", "E": 1}})

    assert (await ear.hear())[0]["event"]["e"] == "eventStreamTerminated"
    hostile.arm("cut", "U01", match=match)
    assert await ear.until_cut() == 1008


async def test_money_moves_the_moment_a_fill_is_told(session: aiohttp.ClientSession, hostile: Hostile) -> None:
    ear = await _user(session, hostile)
    words = {"account": hostile.uid, "asset": "BNB", "amount": "2"}
    hostile.arm("flow", "U09", match=REPORT | {"execution": "TRADE", "account": hostile.uid}, words=words)
    await asyncio.to_thread(_place, hostile, "first")

    assert _said(await ear.hear(5)) == ["executionNEW", "executionTRADE", "outboundA", "balanceUp", "outboundA"]


async def test_a_request_over_the_websocket_suffers_like_any(session: aiohttp.ClientSession, hostile: Hostile) -> None:
    ear = await _user(session, hostile)
    post = "POST /api/v3/order"
    hostile.arm("answer", "E10", match={"endpoint": post, "client_id": "^told$"}, words={"code": -1007, "stage": "after"})
    hostile.arm("drop_answer", "E03", match={"endpoint": post, "client_id": "^cut$"})
    await ear.socket.send_json(_signed(hostile, "order.place", ORDER | {"newClientOrderId": "told"}))
    answers = [message for message in await ear.hear(3) if "status" in message]
    await ear.socket.send_json(_signed(hostile, "order.place", ORDER | {"newClientOrderId": "cut"}))

    assert (answers[0]["status"], answers[0]["error"]["code"]) == (504, -1007)
    assert await ear.until_cut() == 1008
    assert [order["clientOrderId"] for order in hostile.books()["orders"]] == ["told", "cut"]


CLOSED = {"stream": "ethusdt@kline_1m", "execution": "closed"}


async def _closed(ear: Ear, wanted: int) -> list[dict[str, Any]]:
    """Return closed candles as told."""
    told: list[dict[str, Any]] = []
    while len(told) < wanted:
        told += [message["k"] for message in await ear.hear() if message.get("e") == "kline" and message["k"]["x"]]
    return told


@pytest.mark.parametrize(
    ("action", "words", "steps"),
    [
        ("withhold", {}, [2, 1]),
        ("duplicate", {"copies": 2}, [0, 0, 1]),
        ("revise", {"factor": 1.5}, [0, 1]),
    ],
)
async def test_closed_candles_are_missing_told_twice_or_revised(
    session: aiohttp.ClientSession, hostile: Hostile, action: str, words: dict[str, Any], steps: list[int]
) -> None:
    ear = await _market(session, hostile, "ethusdt@kline_1m")
    [first] = await _closed(ear, 1)
    hostile.arm(action, "M03", match=CLOSED, words=words, when={"skip": 1})

    candles = [first, *await _closed(ear, 6)]
    gaps = [(after["t"] - before["t"]) // 60_000 for before, after in pairwise(candles)]
    assert [gap for gap in gaps if gap != 1] == [step for step in steps if step != 1]
    if action == "revise":
        at = gaps.index(0)
        assert float(candles[at + 1]["c"]) == pytest.approx(1.5 * float(candles[at]["c"]))


@pytest.mark.parametrize("price", ["0", "-1", "NaN", "1e308", "", None])
async def test_prices_that_are_none(session: aiohttp.ClientSession, hostile: Hostile, price: str | None) -> None:
    ear = await _market(session, hostile, "ethusdt@kline_1m")
    hostile.arm("edit", "M04", match={"event": "kline"}, words={"fields": {"k.c": price}}, times=0)

    candles = [message["k"]["c"] for message in await ear.hear(3)]
    assert candles[-1] == price


async def test_a_spike_a_crossed_book_and_wrong_times(session: aiohttp.ClientSession, hostile: Hostile) -> None:
    quotes = await _market(session, hostile, "ethusdt@bookTicker")
    trades = await _market(session, hostile, "ethusdt@trade")
    [before] = await quotes.hear()
    hostile.arm("cross", "M06", match={"stream": "ethusdt@bookTicker"})
    hostile.arm("multiply", "M05", match={"stream": "ethusdt@trade"}, words={"fields": ["p"], "factor": 1.5})
    for to in ("us", "1970", "future"):
        hostile.arm("shift_time", "M08", match={"stream": "ethusdt@trade"}, words={"to": to}, when={"skip": 1})

    crossed = [quote for quote in await quotes.hear(12) if float(quote["b"]) > float(quote["a"])]
    told = await trades.hear(12)

    assert len(crossed) == 1
    spikes = [trade for trade in told if float(trade["p"]) > 1.3 * float(before["a"])]
    assert len(spikes) == 1
    assert any(trade["T"] == 0 or trade["T"] > 1e14 for trade in told)


async def test_a_market_stream_is_silent_says_it_goes_and_is_cut(session: aiohttp.ClientSession, hostile: Hostile) -> None:
    ear = await _market(session, hostile, "ethusdt@trade")
    other = await _market(session, hostile, "btcusdt@trade")
    await ear.hear()
    hostile.arm("silence", "M01", match={"stream": "ethusdt@.*"}, words={"seconds": 30})
    await other.hear(6)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1.0):
            await _nothing_after_backlog(ear)
    hostile.venue.control("DELETE", "/control/faults")
    hostile.arm("inject", "M09", match={"stream": "ethusdt@trade"}, words={"payload": {"e": "serverShutdown", "E": 1}})
    hostile.arm("cut", "M09", match={"stream": "ethusdt@trade"}, when={"wall_after": 0.6})

    while (await ear.hear())[0]["e"] != "serverShutdown":
        pass
    assert await ear.until_cut() == 1008


async def _nothing_after_backlog(ear: Ear) -> None:
    """Read what was under way, then wait for what does not come."""
    for _ in range(3):
        await ear.socket.receive_str()


async def test_connections_are_refused_for_a_while(session: aiohttp.ClientSession, hostile: Hostile) -> None:
    hostile.arm("refuse_connections", "M12", words={"seconds": 2})

    for path in ("/ws", "/stream", "/ws-api/v3"):
        with pytest.raises(aiohttp.ClientError):
            await session.ws_connect(f"http://{hostile.venue.address}{path}")
    await asyncio.sleep(2.1)
    assert await (await _market(session, hostile, "ethusdt@trade")).hear()


async def test_a_connection_ends_after_its_life_and_without_pongs(session: aiohttp.ClientSession, hostile: Hostile) -> None:
    hostile.arm("stream_terms", "M09", words={"life_seconds": 0.5, "ping_seconds": 20})
    short = await _market(session, hostile, "ethusdt@trade")
    assert await short.until_cut() == 1008

    hostile.arm("stream_terms", "M10", words={"life_seconds": 86400, "ping_seconds": 0.4})
    deaf = await session.ws_connect(f"http://{hostile.venue.address}/ws/ethusdt@trade", autoping=False)
    async with asyncio.timeout(SECONDS):
        kinds = [message.type async for message in _messages(deaf)]
    hostile.arm("stream_terms", "M10", words={"ping_seconds": 20})

    assert aiohttp.WSMsgType.PING in kinds


async def _messages(socket: aiohttp.ClientWebSocketResponse) -> AsyncIterator[aiohttp.WSMessage]:
    while not socket.closed:
        message = await socket.receive()
        yield message


async def test_too_many_messages_and_too_many_streams(session: aiohttp.ClientSession, hostile: Hostile) -> None:
    ear = await _market(session, hostile, "")
    names = [f"coin{number}usdt@trade" for number in range(1025)]
    await ear.socket.send_json({"id": 1, "method": "SUBSCRIBE", "params": names})
    [refusal] = await ear.hear()
    for number in range(8):
        await ear.socket.send_json({"id": number, "method": "LIST_SUBSCRIPTIONS"})

    assert "at most 1024 streams" in refusal["error"]["msg"]
    assert await ear.until_cut() == 1008
