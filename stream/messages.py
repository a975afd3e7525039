"""The messages of the stream: what we say, what we accept, and how much of it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

FRAME_BYTES_MAX: Final = 64 * 1024
TOPICS_MAX: Final = 64
TOPIC_LENGTH_MAX: Final = 64
MESSAGES_PER_SECOND: Final = 20
KINDS: Final = ("subscribe", "unsubscribe", "snapshot")


class BadMessage(Exception):
    """Say why a message of the browser is refused."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Request:
    """What a browser asks: to follow topics, to leave them, or for a fresh snapshot of them."""

    kind: str
    topics: tuple[str, ...]


def parse(text: str) -> Request:
    """Read a browser's message; raise BadMessage for anything that is not one."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        raise BadMessage("MESSAGE_NOT_JSON", "This is not JSON.") from None
    if not isinstance(content, dict) or content.get("type") not in KINDS:
        raise BadMessage("MESSAGE_UNKNOWN", f"Send an object with a type out of: {', '.join(KINDS)}.")
    topics = content.get("topics")
    if set(content) != {"type", "topics"} or not isinstance(topics, list) or not topics:
        raise BadMessage("MESSAGE_INVALID", "Send type and topics, and nothing else.")
    if len(topics) > TOPICS_MAX:
        raise BadMessage("TOPICS_TOO_MANY", f"At most {TOPICS_MAX} topics.")
    if not all(isinstance(topic, str) and _is_name(topic) for topic in topics):
        raise BadMessage("TOPIC_UNKNOWN", "A topic is a short name, for example portfolio or bot:3.")
    return Request(content["type"], tuple(dict.fromkeys(topics)))


def message(kind: str, *, topic: str = "", seq: int = 0, at: datetime, data: Any, **extra: Any) -> str:
    """Write a message of ours."""
    return json.dumps(
        {"type": kind, "topic": topic, "seq": seq, "at": at.isoformat(), "data": data, **extra}, separators=(",", ":")
    )


class Allowance:
    """A bucket of tokens: so many messages a second, with one second's worth at once."""

    def __init__(self, per_second: float, *, now: float) -> None:
        self._per_second = per_second
        self._left = per_second
        self._at = now

    def take(self, *, now: float) -> bool:
        """Take one token if there is one."""
        self._left = min(self._per_second, self._left + (now - self._at) * self._per_second)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


def _is_name(topic: str) -> bool:
    return 0 < len(topic) <= TOPIC_LENGTH_MAX and topic.isascii() and all(c.isalnum() or c in ":_-" for c in topic)
