"""What a source is: how often it speaks, how long its word is good, and how to read it. Pure: somebody else fetches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Protocol

MARKET: Final = "market"


class Unreadable(ValueError):
    """Raised for an answer that is not what the source is known to answer."""


class KeyMissing(ValueError):
    """Raised when a source needs a key and has none."""


@dataclass(frozen=True, slots=True)
class Schema:
    """What a value of a source means, and what it can be."""

    unit: str
    lowest: float
    highest: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """One thing a source said about one entity: a coin, or the market."""

    entity: str
    # What it was said of.
    event_at: datetime
    # When anybody could have known it; None when that is the moment we saw it.
    available_at: datetime | None
    value: float | None
    # Names the event among others of the same moment; the same key with another value is a restatement.
    key: str = ""
    # Where to read more: an address or an id, never copied text.
    reference: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What a source is asked for."""

    # None for everything it has.
    since: datetime | None
    until: datetime
    key: str = ""


class SignalSource(Protocol):
    """A plug-in."""

    name: str
    version: str
    # What it tells, in one sentence for people.
    says: str
    cadence: timedelta
    # Older than this it says nothing any more.
    max_age: timedelta
    licence: str
    # The environment variable that holds its key; empty when it needs none.
    key_name: str

    def schema(self) -> Schema:
        """Return what its values are."""

    def addresses(self, question: Question, /) -> list[str]:
        """Name what must be fetched to know what is new; raise KeyMissing without a key that it needs."""

    def parse(self, raw: bytes) -> Sequence[Observation]:
        """Read an answer."""
