"""Tell the browsers that something changed, after the change is committed."""

from __future__ import annotations

import json
import logging
from functools import cache, partial
from typing import Any, Final

import redis
from django.conf import settings
from django.db import transaction
from django.utils import timezone

from stream.errands import Errands

log = logging.getLogger(__name__)
PUSHES: Final = Errands("pushes")


def publish_on_commit(topic: str, kind: str, data: dict[str, Any], seq: int, *, can_wait: bool = False) -> None:
    """Publish a message once the transaction is committed; the caller never feels a dead Redis, nor a slow one.

    What `can_wait` comes with the topic's next turn: a new price may, a fill may not.
    """
    errand = partial(_publish, topic, kind, data, seq, can_wait=can_wait)
    transaction.on_commit(partial(PUSHES.leave, errand), robust=True)


def _publish(topic: str, kind: str, data: dict[str, Any], seq: int, *, can_wait: bool) -> None:
    message = {"type": kind, "topic": topic, "seq": seq, "at": timezone.now().isoformat(), "data": data, "can_wait": can_wait}
    try:
        _client().publish(f"stream:{topic}", json.dumps(message))
    except redis.RedisError as error:
        log.warning("stream.publish_failed topic=%s error=%s", topic, error)


@cache
def _client() -> redis.Redis:
    return redis.Redis.from_url(settings.REDIS_URL, socket_timeout=1, socket_connect_timeout=1)
