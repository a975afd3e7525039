"""The socket from the browser's side."""

from __future__ import annotations

import asyncio
import time
from functools import partial

import pytest
from asgiref.sync import sync_to_async
from channels.testing import WebsocketCommunicator
from django.contrib.auth.models import User
from django.db import OperationalError, transaction
from django.test import Client

from stream import deltas
from stream.consumers import SIGNED_OUT, SOCKETS_PER_USER_MAX, TOO_LARGE, TOO_MANY, open_sockets
from stream.hub import PROMPT_PER_SECOND
from stream.publish import publish_on_commit
from tests.stream.conftest import Connect, Counter, receive

SUBSCRIBE = {"type": "subscribe", "topics": ["counter"]}


def publish(counter: Counter, topic: str = "counter", *, can_wait: bool = False) -> None:
    with transaction.atomic():
        publish_on_commit(topic, "changed", {}, seq=counter.seq, can_wait=can_wait)


async def follow(connect: Connect, browser: Client) -> WebsocketCommunicator:
    socket = await connect(browser)
    assert (await socket.connect())[0]
    await socket.send_json_to(SUBSCRIBE)
    return socket


async def test_a_snapshot_and_its_deltas_equal_a_fresh_snapshot(connect: Connect, browser: Client, counter: Counter) -> None:
    socket = await follow(connect, browser)
    snapshot = await receive(socket, "snapshot")
    rebuilt, seq = snapshot["data"], snapshot["seq"]

    for _ in range(5):
        counter.move()
        await sync_to_async(publish)(counter)
        delta = await receive(socket, "delta")
        assert delta["base"] == seq
        assert set(delta) == {"type", "topic", "seq", "at", "data", "base"}
        rebuilt, seq = deltas.applied(rebuilt, delta["data"]), delta["seq"]

    fresh = counter.provide("counter")
    assert fresh is not None
    assert (seq, rebuilt) == (fresh.seq, fresh.data)
    assert rebuilt["value"] == 5


async def test_a_change_is_pushed_at_once_and_not_by_looking_again(
    connect: Connect, browser: Client, counter: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stream.hub.SECONDS_UNTOLD", 60)
    socket = await follow(connect, browser)
    await receive(socket, "snapshot")
    await asyncio.sleep(0.5)
    counter.move()
    await sync_to_async(publish)(counter)

    delta = await receive(socket, "delta")

    assert delta["seq"] == counter.seq


async def test_a_hundred_changes_are_computed_four_times_a_second_after_the_first_few(
    connect: Connect, browser: Client, counter: Counter
) -> None:
    sockets = [await follow(connect, browser) for _ in range(3)]
    for socket in sockets:
        await receive(socket, "snapshot")
    before, began = counter.computed, time.monotonic()
    for _ in range(100):
        counter.move()
        await sync_to_async(publish)(counter)
        await asyncio.sleep(0.01)
    for socket in sockets:
        while (await receive(socket, "delta"))["seq"] < counter.seq:
            pass

    assert counter.computed - before <= PROMPT_PER_SECOND + 4 * (time.monotonic() - began) + 2


async def test_what_can_wait_is_computed_four_times_a_second_from_the_first_on(
    connect: Connect, browser: Client, counter: Counter
) -> None:
    socket = await follow(connect, browser)
    await receive(socket, "snapshot")
    before, began = counter.computed, time.monotonic()
    for _ in range(100):
        counter.move()
        await sync_to_async(publish)(counter, can_wait=True)
        await asyncio.sleep(0.01)
    while (await receive(socket, "delta"))["seq"] < counter.seq:
        pass

    assert counter.computed - before <= 4 * (time.monotonic() - began) + 2


async def test_a_fill_does_not_wait_behind_a_price(
    connect: Connect, browser: Client, counter: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stream.hub.SECONDS_BETWEEN", 30)
    socket = await follow(connect, browser)
    await receive(socket, "snapshot")
    counter.move()
    await sync_to_async(publish)(counter, can_wait=True)
    await sync_to_async(publish)(counter)

    assert (await receive(socket, "delta"))["seq"] == counter.seq


async def test_a_change_of_a_topic_concerns_its_parts(connect: Connect, browser: Client, counter: Counter) -> None:
    socket = await connect(browser)
    await socket.connect()
    await socket.send_json_to({"type": "subscribe", "topics": ["counter:7"]})
    await receive(socket, "snapshot")
    counter.move()
    await sync_to_async(publish)(counter)

    assert (await receive(socket, "delta"))["topic"] == "counter:7"


async def test_an_idle_socket_outlives_the_timeouts_of_redis(
    connect: Connect, browser: Client, counter: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stream.hub.SECONDS_UNTOLD", 60)
    socket = await follow(connect, browser)
    await receive(socket, "snapshot")
    await asyncio.sleep(6.5)
    counter.move()
    await sync_to_async(publish)(counter)

    assert (await receive(socket, "delta", seconds=2))["seq"] == counter.seq


async def test_a_client_that_missed_something_gets_a_snapshot(connect: Connect, browser: Client, counter: Counter) -> None:
    socket = await follow(connect, browser)
    await receive(socket, "snapshot")
    await socket.send_json_to({"type": "snapshot", "topics": ["counter"]})

    assert (await receive(socket, "snapshot"))["seq"] == counter.seq


async def test_a_heartbeat_names_the_versions(
    connect: Connect, browser: Client, counter: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stream.consumers.HEARTBEAT_SECONDS", 0.2)
    socket = await follow(connect, browser)
    await receive(socket, "snapshot")

    assert (await receive(socket, "heartbeat"))["data"] == {"versions": {"counter": counter.seq}}


async def test_an_unknown_topic_is_refused(connect: Connect, browser: Client, counter: Counter) -> None:
    socket = await connect(browser)
    await socket.connect()
    await socket.send_json_to({"type": "subscribe", "topics": ["counter:404", "nothing"]})

    refused = {(await receive(socket, "error"))["topic"] for _ in range(2)}
    assert refused == {"counter:404", "nothing"}


async def test_a_fault_in_one_topic_leaves_the_others_alone(connect: Connect, browser: Client, counter: Counter) -> None:
    socket = await follow(connect, browser)
    await receive(socket, "snapshot")
    counter.error = ZeroDivisionError("a bug")
    assert (await receive(socket, "status"))["data"] == {"degraded": True, "parts": ["counter"]}
    counter.error = None
    counter.move()

    assert (await receive(socket, "delta"))["seq"] == counter.seq


async def test_a_database_that_is_away_is_said(connect: Connect, browser: Client, counter: Counter) -> None:
    socket = await follow(connect, browser)
    await receive(socket, "snapshot")
    counter.error = OperationalError("the connection is lost")

    assert (await receive(socket, "status"))["data"] == {"degraded": True, "parts": ["database"]}


@pytest.mark.fault("R01")
async def test_without_redis_the_socket_says_so_and_still_moves(
    connect: Connect, browser: Client, counter: Counter, settings: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "REDIS_URL", "redis://127.0.0.1:8399/0")
    socket = await follow(connect, browser)
    seen = [await socket.receive_json_from(timeout=60) for _ in range(3)]
    counter.move()

    assert {"degraded": True, "parts": ["redis"]} in [heard["data"] for heard in seen if heard["type"] == "status"]
    assert (await receive(socket, "delta"))["seq"] == counter.seq


@pytest.mark.parametrize("origin", [None, (b"origin", b"null"), (b"origin", b"https://evil.example")])
async def test_a_foreign_page_gets_no_socket(connect: Connect, browser: Client, origin: tuple[bytes, bytes] | None) -> None:
    socket = await connect(browser, origin=origin)

    assert not (await socket.connect())[0]


async def test_without_a_session_the_socket_closes(connect: Connect) -> None:
    socket = await connect(None)
    await socket.connect()

    assert await socket.receive_output() == {"type": "websocket.close", "code": SIGNED_OUT}


@pytest.mark.parametrize("how", ["logout", "disabled", "password"])
async def test_a_socket_closes_soon_after(how: str, connect: Connect, browser: Client, person: User, counter: Counter) -> None:
    socket = await follow(connect, browser)
    await receive(socket, "snapshot")
    if how == "logout":
        await sync_to_async(browser.logout)()
    elif how == "disabled":
        await sync_to_async(partial(User.objects.filter(pk=person.pk).update, is_active=False))()
    else:
        person.set_password("quite another password")
        await sync_to_async(person.save)()

    async with asyncio.timeout(60):
        while (output := await socket.receive_output(timeout=60))["type"] != "websocket.close":
            pass
    assert output["code"] == SIGNED_OUT


async def test_frames_that_are_too_many_or_too_large_close_the_socket(connect: Connect, browser: Client) -> None:
    flooding, shouting = await connect(browser), await connect(browser)
    await flooding.connect()
    await shouting.connect()
    for _ in range(30):
        await flooding.send_to(text_data="{}")
    await shouting.send_to(text_data=" " * 70_000)

    assert await _close_code(flooding) == TOO_MANY
    assert await _close_code(shouting) == TOO_LARGE


async def test_an_eleventh_socket_of_one_person_is_refused(connect: Connect, browser: Client) -> None:
    for _ in range(SOCKETS_PER_USER_MAX):
        assert (await (await connect(browser)).connect())[0]
    eleventh = await connect(browser)
    await eleventh.connect()

    assert await _close_code(eleventh) == TOO_MANY


async def test_a_closed_socket_leaves_nothing_behind(connect: Connect, browser: Client, counter: Counter) -> None:
    socket = await follow(connect, browser)
    await receive(socket, "snapshot")
    await socket.disconnect()
    computed = counter.computed
    await asyncio.sleep(1.5)

    assert open_sockets() == {}
    assert counter.computed <= computed + 1


async def _close_code(socket: WebsocketCommunicator) -> int:
    while (output := await socket.receive_output(timeout=60))["type"] != "websocket.close":
        pass
    return int(output["code"])
