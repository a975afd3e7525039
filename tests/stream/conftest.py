"""A real socket of a signed-in user, over a real Valkey and a real database."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from channels.testing import WebsocketCommunicator
from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client

from stream import snapshots
from stream.snapshots import Snapshot

ORIGIN = (b"origin", b"http://localhost")


class Counter:
    """A topic with a number that a test moves."""

    def __init__(self) -> None:
        self.seq = 1
        self.value = 0
        self.computed = 0
        self.error: Exception | None = None

    def move(self) -> None:
        self.seq += 1
        self.value += 1

    def provide(self, topic: str) -> Snapshot | None:
        self.computed += 1
        if self.error is not None:
            raise self.error
        if topic.endswith(":404"):
            return None
        return Snapshot(self.seq, {"value": self.value, "odd": {str(self.value): True} if self.value % 2 else {}})


@pytest.fixture
def counter() -> Iterator[Counter]:
    """Return a topic named `counter`."""
    made = Counter()
    snapshots.register("counter", made.provide)
    yield made
    snapshots._providers.pop("counter")


@pytest.fixture
def person(transactional_db: None) -> User:
    """Return somebody who may sign in."""
    return User.objects.create_user("ada", password="a long enough password")


@pytest.fixture
def browser(person: User) -> Client:
    """Return a signed-in browser."""
    client = Client()
    client.force_login(person)
    return client


Connect = Callable[..., Awaitable[WebsocketCommunicator]]


@pytest.fixture
async def connect(redis_url: str, transactional_db: None) -> AsyncIterator[Connect]:
    """Open sockets as a browser does, and close them all at the end."""
    from tradeapp.asgi import application

    opened: list[WebsocketCommunicator] = []

    async def open_socket(client: Client | None, *, origin: tuple[bytes, bytes] | None = ORIGIN) -> WebsocketCommunicator:
        headers = [(b"host", b"localhost")]
        if client is not None:
            key = client.cookies[settings.SESSION_COOKIE_NAME].value
            headers.append((b"cookie", f"{settings.SESSION_COOKIE_NAME}={key}".encode()))
        if origin is not None:
            headers.append(origin)
        socket = WebsocketCommunicator(application, "/ws/stream/", headers=headers)
        opened.append(socket)
        return socket

    yield open_socket
    for socket in opened:
        # A socket that was waited for in vain is cancelled; raised here, that would keep the database from being emptied.
        with suppress(asyncio.CancelledError):
            await socket.disconnect()
    await sync_to_async(_close_connections)()


def _close_connections() -> None:
    from django.db import connections

    connections.close_all()


async def receive(socket: WebsocketCommunicator, kind: str, *, at_most: int = 20, seconds: float = 20) -> dict[str, Any]:
    """Return the next message of a kind."""
    for _ in itertools.repeat(None, at_most):
        found: dict[str, Any] = await socket.receive_json_from(timeout=seconds)
        if found["type"] == kind:
            return found
    raise AssertionError(f"No {kind} among {at_most} messages.")
