"""What a topic looks like right now: providers are registered from above, because the stream knows no business."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The whole of a topic at one version; `data` is made of what JSON knows."""

    seq: int
    data: dict[str, Any]


# A provider is given the topic's full name. It answers None for something that does not exist.
Provider = Callable[[str], Snapshot | None]

_providers: dict[str, Provider] = {}


def register(prefix: str, provider: Provider) -> None:
    """Answer for the topic `prefix` and for every `prefix:something`."""
    _providers[prefix] = provider


def provider_of(topic: str) -> Provider | None:
    """Return who answers for a topic."""
    return _providers.get(topic.partition(":")[0])
