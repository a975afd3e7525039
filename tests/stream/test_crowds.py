"""A thousand tabs at once: what is computed is computed once for all, and who stands still costs the others nothing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

import pytest
import redis
from asgiref.sync import sync_to_async
from channels.layers import get_channel_layer
from django.contrib.auth.models import User
from django.test import Client

from stream import hub as hubs
from stream.consumers import SOCKETS_PER_USER_MAX, open_sockets
from stream.hub import Hub
from stream.outlets import QUEUE_MAX, Outlet
from tests.stream.conftest import Connect, Counter, receive
from tests.stream.test_socket import follow

CROWD = 1_000
WAIT_SECONDS = 60.0


class Tab:
    """What a browser does with its messages; a stalled one does nothing."""

    def __init__(self, hub: Hub) -> None:
        self.outlet = Outlet()
        self.seq = 0
        self._hub = hub
        self._task: asyncio.Task[None] | None = None

    def open(self) -> None:
        self._hub.enter(self.outlet)
        self._hub.follow(self.outlet, "counter")

    def read(self) -> None:
        self._task = asyncio.create_task(self._read())

    def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
        self._hub.leave(self.outlet)

    async def _read(self) -> None:
        while True:
            text = await self.outlet.get()
            if text is None:
                self._hub.resend(self.outlet)
            else:
                self.seq = json.loads(text).get("seq") or self.seq


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_SECONDS):
        while not is_so():  # noqa: ASYNC110 - what is waited for sets no event.
            await asyncio.sleep(0.01)


@pytest.fixture
def prompt(monkeypatch: pytest.MonkeyPatch) -> None:
    """Push every change at once, and look at nothing that nobody said had changed."""
    monkeypatch.setattr(hubs, "SECONDS_BETWEEN", 0.0)
    monkeypatch.setattr(hubs, "SECONDS_BETWEEN_PROMPT", 0.0)
    monkeypatch.setattr(hubs, "SECONDS_UNTOLD", WAIT_SECONDS)


@pytest.mark.fault("P10", "R20")
async def test_a_thousand_tabs_of_which_a_hundred_stand_still(redis_url: str, counter: Counter, prompt: None) -> None:
    """All that read see the last state; a stalled one holds no more than its queue, and has a snapshot when it is back."""
    hub = Hub()
    tabs = [Tab(hub) for _ in range(CROWD)]
    stalled = tabs[::10]
    for tab in tabs:
        tab.open()
        if tab not in stalled:
            tab.read()
    for _ in range(QUEUE_MAX + 5):
        seen = counter.computed
        counter.move()
        hub.mark_changed("counter")
        await until(lambda seen=seen: counter.computed > seen)  # type: ignore[misc]
    reading = [tab for tab in tabs if tab not in stalled]
    await until(lambda: all(tab.seq == counter.seq for tab in reading))
    assert all(len(tab.outlet._waiting) <= QUEUE_MAX for tab in stalled)
    for tab in stalled:
        tab.read()
    await until(lambda: all(tab.seq == counter.seq for tab in stalled))

    # The server was away: all of them come back in one moment, and one computation serves them.
    for tab in tabs:
        tab.close()
        tab.seq = 0
    assert (hub._topics, hub._outlets) == ({}, {})
    before = counter.computed
    for tab in tabs:
        tab.outlet = Outlet()
        tab.open()
        tab.read()
    await until(lambda: all(tab.seq == counter.seq for tab in tabs))
    assert counter.computed - before <= 3
    for tab in tabs:
        tab.close()


@pytest.mark.fault("R20")
async def test_sockets_that_come_back_at_once_find_their_places_free(
    connect: Connect, transactional_db: None, counter: Counter, prompt: None
) -> None:
    """The same with real sockets, sessions and limits for each person; as many as a test has time for."""
    browsers: list[Client] = []
    for number in range(2):
        client = Client()
        person = await sync_to_async(User.objects.create)(username=f"person {number}")
        await sync_to_async(client.force_login)(person)
        browsers += [client] * SOCKETS_PER_USER_MAX
    for _ in range(2):
        before = counter.computed
        sockets = await asyncio.gather(*(follow(connect, browser) for browser in browsers))
        await asyncio.gather(*(receive(socket, "snapshot") for socket in sockets))
        assert sorted(open_sockets().values()) == [SOCKETS_PER_USER_MAX] * 2
        assert counter.computed - before <= 3
        await asyncio.gather(*(socket.disconnect() for socket in sockets))
        await until(lambda: not open_sockets())


@pytest.mark.fault("R19")
async def test_no_group_remembers_a_dead_socket(connect: Connect, browser: Client, counter: Counter, redis_url: str) -> None:
    """Sockets join no group of the channel layer, so a killed server leaves none behind that would have to be forgotten."""
    client = redis.Redis.from_url(redis_url)

    def groups() -> list[bytes]:
        return list(client.scan_iter("*:group:*"))

    socket = await follow(connect, browser)
    await receive(socket, "snapshot")
    counter.move()
    await receive(socket, "delta")
    assert groups() == []
    # So would one show.
    layer = get_channel_layer()
    assert layer is not None
    await layer.group_add("crowd", "specific.socket")
    assert len(groups()) == 1
    await layer.group_discard("crowd", "specific.socket")
