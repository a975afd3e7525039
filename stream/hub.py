"""One hub per web process: one Redis subscription, one computation per topic, any number of sockets."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict, deque
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Final
from weakref import WeakKeyDictionary

import redis.asyncio
import structlog
from django.conf import settings
from django.db import DatabaseError, InterfaceError
from django.utils import timezone
from redis.exceptions import RedisError

from stream import deltas, snapshots
from stream.computing import compute
from stream.messages import message
from stream.outlets import Outlet
from stream.snapshots import Snapshot

# A person reads no more than a few updates a second ...
SECONDS_BETWEEN: Final = 0.25
# ... but what happens after a quiet moment is shown at once: so many updates of a second may follow as closely as this.
SECONDS_BETWEEN_PROMPT: Final = 0.05
PROMPT_PER_SECOND: Final = 4
# Delivery is best effort, so a topic somebody follows is looked at again even if nobody said it changed.
SECONDS_UNTOLD: Final = 1.0
SECONDS_BEFORE_RETRY: Final = 1.0

log = structlog.get_logger(__name__)
_hubs: WeakKeyDictionary[asyncio.AbstractEventLoop, Hub] = WeakKeyDictionary()


@dataclass(slots=True, eq=False)
class _Topic:
    """What the hub knows of a topic that somebody follows."""

    name: str
    outlets: set[Outlet] = field(default_factory=set)
    snapshot: Snapshot | None = None
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    hurry: asyncio.Event = field(default_factory=asyncio.Event)
    computed_at: deque[float] = field(default_factory=lambda: deque(maxlen=PROMPT_PER_SECOND))
    task: asyncio.Task[None] | None = None


class Hub:
    """Fan out: sockets join topics, and each topic's snapshot is computed once for all of them."""

    def __init__(self) -> None:
        self.troubles: dict[str, str] = {}
        self._topics: dict[str, _Topic] = {}
        self._listening: asyncio.Task[None] | None = None
        self._outlets: defaultdict[Outlet, set[str]] = defaultdict(set)

    def enter(self, outlet: Outlet) -> None:
        """Take a socket in."""
        self._outlets[outlet] = set()
        if self._listening is None:
            self._listening = asyncio.create_task(self._listen(), name="stream listener")
        if self.troubles:
            outlet.put(self._status())

    def leave(self, outlet: Outlet) -> None:
        """Let a socket go; a topic without followers is no longer computed, and an empty hub hears nothing."""
        for name in list(self._outlets.get(outlet, ())):
            self.unfollow(outlet, name)
        self._outlets.pop(outlet, None)
        if not self._outlets and self._listening is not None:
            self._listening.cancel()
            self._listening = None

    def follow(self, outlet: Outlet, name: str) -> None:
        """Have a socket follow a topic: its snapshot first, then deltas."""
        topic = self._topics.get(name) or _Topic(name)
        self._topics[name] = topic
        topic.outlets.add(outlet)
        self._outlets[outlet].add(name)
        if topic.snapshot is not None:
            outlet.put(_snapshot_message(topic.name, topic.snapshot))
        if topic.task is None:
            topic.changed.set()
            topic.task = asyncio.create_task(self._keep(topic), name=f"stream topic {name}")

    def unfollow(self, outlet: Outlet, name: str) -> None:
        """Have a socket leave a topic."""
        self._outlets[outlet].discard(name)
        topic = self._topics.get(name)
        if topic is None:
            return
        topic.outlets.discard(outlet)
        if not topic.outlets and topic.task is not None:
            topic.task.cancel()
            del self._topics[name]

    def resend(self, outlet: Outlet, names: set[str] | None = None) -> None:
        """Send a socket whole snapshots again."""
        for name in sorted(self._outlets[outlet] if names is None else names & self._outlets[outlet]):
            topic = self._topics[name]
            if topic.snapshot is not None:
                outlet.put(_snapshot_message(name, topic.snapshot))

    def followed(self, outlet: Outlet) -> set[str]:
        """Return what a socket follows."""
        return set(self._outlets[outlet])

    def versions(self, outlet: Outlet) -> dict[str, int]:
        """Return the current version of every topic that a socket follows."""
        found = {name: self._topics[name].snapshot for name in sorted(self._outlets[outlet])}
        return {name: snapshot.seq for name, snapshot in found.items() if snapshot is not None}

    def mark_changed(self, name: str, *, can_wait: bool = False) -> None:
        """Note that something changed: `portfolio` concerns `portfolio:7` as well."""
        for topic in self._topics.values():
            if topic.name == name or topic.name.startswith(f"{name}:"):
                topic.changed.set()
                if not can_wait:
                    topic.hurry.set()

    async def _keep(self, topic: _Topic) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(SECONDS_UNTOLD):
                    await topic.changed.wait()
            await _wait_for_turn(topic)
            topic.changed.clear()
            topic.hurry.clear()
            topic.computed_at.append(asyncio.get_running_loop().time())
            try:
                await self._refresh(topic)
            except Exception:
                # The outermost loop of a topic: a fault in one provider must not silence the others, nor end its own.
                log.exception("stream.topic_failed", topic=topic.name)
                self._note(topic.name, "failed")
            else:
                self._clear(topic.name)

    async def _refresh(self, topic: _Topic) -> None:
        provider = snapshots.provider_of(topic.name)
        try:
            fresh = None if provider is None else await compute(partial(provider, topic.name))
        except (DatabaseError, InterfaceError) as error:
            self._note("database", str(error).strip())
            return
        self._clear("database")
        if fresh is None:
            self._refuse(topic)
            return
        before, topic.snapshot = topic.snapshot, fresh
        text = _difference(topic.name, before, fresh)
        if text is not None:
            for outlet in topic.outlets:
                outlet.put(text)

    def _refuse(self, topic: _Topic) -> None:
        """Tell everybody who asked for it that there is no such topic (any more)."""
        data = {"code": "TOPIC_UNKNOWN", "message": f"There is no topic {topic.name}."}
        text = message("error", topic=topic.name, at=timezone.now(), data=data)
        for outlet in list(topic.outlets):
            outlet.put(text)
            self.unfollow(outlet, topic.name)

    async def _listen(self) -> None:
        while True:
            try:
                await self._hear()
            except (RedisError, OSError) as error:
                self._note("redis", str(error))
                await asyncio.sleep(SECONDS_BEFORE_RETRY)

    async def _hear(self) -> None:
        # Without a read timeout: nothing may happen for longer than any default.
        client = redis.asyncio.Redis.from_url(settings.REDIS_URL, socket_timeout=None, socket_connect_timeout=2)
        try:
            async with client.pubsub() as channel:
                await channel.psubscribe("stream:*")
                self._clear("redis")
                # Whatever was told before this moment was told to nobody.
                for topic in self._topics.values():
                    topic.changed.set()
                    topic.hurry.set()
                async for heard in channel.listen():
                    if heard["type"] == "pmessage":
                        name, can_wait = _change_of(heard["data"], heard["channel"])
                        self.mark_changed(name, can_wait=can_wait)
        finally:
            await client.aclose()

    def _note(self, part: str, reason: str) -> None:
        if part not in self.troubles:
            log.warning("stream.degraded", part=part, reason=reason)
            self.troubles[part] = reason
            self._broadcast_status()

    def _clear(self, part: str) -> None:
        if self.troubles.pop(part, None) is not None:
            log.info("stream.recovered", part=part)
            self._broadcast_status()

    def _broadcast_status(self) -> None:
        for outlet in self._outlets:
            outlet.put(self._status())

    def _status(self) -> str:
        data = {"degraded": bool(self.troubles), "parts": sorted(self.troubles)}
        return message("status", at=timezone.now(), data=data)


def current_hub() -> Hub:
    """Return the hub of the running event loop."""
    loop = asyncio.get_running_loop()
    if loop not in _hubs:
        _hubs[loop] = Hub()
    return _hubs[loop]


def _difference(name: str, before: Snapshot | None, after: Snapshot) -> str | None:
    if before is None or after.seq < before.seq:
        return _snapshot_message(name, after)
    delta = deltas.between(before.data, after.data)
    if deltas.is_empty(delta) and before.seq == after.seq:
        return None
    # `base` is the version a delta builds on: a browser that has another one has missed something.
    return message("delta", topic=name, seq=after.seq, at=timezone.now(), data=delta, base=before.seq)


def _snapshot_message(name: str, snapshot: Snapshot) -> str:
    return message("snapshot", topic=name, seq=snapshot.seq, at=timezone.now(), data=snapshot.data)


def _change_of(content: bytes, channel: bytes) -> tuple[str, bool]:
    """Return which topic a message is about, and whether it may wait for the topic's next turn."""
    try:
        told = json.loads(content)
        return str(told["topic"]), bool(told.get("can_wait"))
    except (ValueError, KeyError, TypeError, AttributeError):
        return channel.decode(errors="replace").removeprefix("stream:"), False


async def _wait_for_turn(topic: _Topic) -> None:
    """Wait until a topic may be computed again: soon after something happened, calmly for anything else."""
    if not topic.computed_at:
        return
    clock = asyncio.get_running_loop().time
    last = topic.computed_at[-1]
    calm_at = last + SECONDS_BETWEEN
    try:
        async with asyncio.timeout_at(calm_at):
            await topic.hurry.wait()
    except TimeoutError:
        return
    prompt_at = last + SECONDS_BETWEEN_PROMPT
    if len(topic.computed_at) == PROMPT_PER_SECOND:
        prompt_at = max(prompt_at, topic.computed_at[0] + 1.0)
    await asyncio.sleep(min(calm_at, prompt_at) - clock())
