"""The socket of one browser tab: checks who is there, follows topics, passes messages on."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from contextlib import suppress
from functools import partial
from typing import Any, Final

import structlog
from channels.generic.websocket import AsyncWebsocketConsumer
from django.db import DatabaseError, InterfaceError
from django.utils import timezone

from stream.computing import compute
from stream.hub import current_hub
from stream.messages import FRAME_BYTES_MAX, MESSAGES_PER_SECOND, TOPICS_MAX, Allowance, BadMessage, Request, message, parse
from stream.outlets import Outlet
from stream.watch import signed_in

HEARTBEAT_SECONDS: Final = 10.0
# A socket must close within five seconds of a logout.
WATCH_SECONDS: Final = 3.0
SOCKETS_PER_USER_MAX: Final = 10

SIGNED_OUT: Final = 4401
TOO_MANY: Final = 4429
TOO_LARGE: Final = 1009
NOT_TEXT: Final = 1003

log = structlog.get_logger(__name__)
_open_sockets: Counter[int] = Counter()


class StreamConsumer(AsyncWebsocketConsumer):
    """Push snapshots and deltas of the topics a browser follows."""

    async def connect(self) -> None:
        """Accept a signed-in user's socket; another one is accepted and closed with the reason."""
        self.user_id: int | None = None
        self.tasks: list[asyncio.Task[None]] = []
        self.outlet = Outlet()
        await self.accept()
        user, session = self.scope["user"], self.scope["session"]
        assert user is not None, "AuthMiddlewareStack stands in front of this consumer."
        key = session.session_key
        if user.pk is None or key is None:
            await self.close(SIGNED_OUT)
            return
        if _open_sockets[user.pk] >= SOCKETS_PER_USER_MAX:
            await self.close(TOO_MANY)
            return
        self.user_id = user.pk
        _open_sockets[user.pk] += 1
        self.session_key = key
        self.allowance = Allowance(MESSAGES_PER_SECOND, now=time.monotonic())
        self.hub = current_hub()
        self.hub.enter(self.outlet)
        self.tasks = [asyncio.create_task(work()) for work in (self._send_all, self._beat, self._watch)]

    async def disconnect(self, code: int) -> None:  # noqa: ARG002 - Channels names it.
        """Leave everything behind."""
        for task in self.tasks:
            task.cancel()
        if self.user_id is not None:
            self.hub.leave(self.outlet)
            _open_sockets[self.user_id] -= 1
            if not _open_sockets[self.user_id]:
                del _open_sockets[self.user_id]
            self.user_id = None

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:  # noqa: ARG002
        """Take a request of the browser."""
        if self.user_id is None:
            return
        if text_data is None:
            await self.close(NOT_TEXT)
        elif len(text_data) > FRAME_BYTES_MAX:
            await self.close(TOO_LARGE)
        elif not self.allowance.take(now=time.monotonic()):
            await self.close(TOO_MANY)
        else:
            try:
                self._obey(parse(text_data))
            except BadMessage as refusal:
                self.outlet.put(message("error", at=timezone.now(), data={"code": refusal.code, "message": str(refusal)}))

    def _obey(self, request: Request) -> None:
        if request.kind == "snapshot":
            self.hub.resend(self.outlet, set(request.topics))
            return
        if request.kind == "unsubscribe":
            for topic in request.topics:
                self.hub.unfollow(self.outlet, topic)
            return
        if len(self.hub.followed(self.outlet) | set(request.topics)) > TOPICS_MAX:
            raise BadMessage("TOPICS_TOO_MANY", f"At most {TOPICS_MAX} topics.")
        for topic in request.topics:
            self.hub.follow(self.outlet, topic)

    async def _send_all(self) -> None:
        while True:
            text = await self.outlet.get()
            if text is None:
                log.info("stream.slow_reader", user=self.user_id)
                self.hub.resend(self.outlet)
            else:
                await self.send(text)

    async def _beat(self) -> None:
        while True:
            self.outlet.put(message("heartbeat", at=timezone.now(), data={"versions": self.hub.versions(self.outlet)}))
            await asyncio.sleep(HEARTBEAT_SECONDS)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            # Without a database nobody can have signed out; the hub says that it is away.
            with suppress(DatabaseError, InterfaceError):
                found = await compute(partial(signed_in, {self.session_key}, now=timezone.now()))
                if self.session_key not in found:
                    await self.close(SIGNED_OUT)
                    return


def open_sockets() -> dict[int, int]:
    """Return how many sockets each user has open here."""
    return dict(_open_sockets)


application: Any = StreamConsumer.as_asgi()
