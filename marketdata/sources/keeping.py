"""The tables of sources: what was said and when it could be known. Rows of observations are written once and never changed."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.db import transaction

from marketdata.models import Observation, SourceState
from marketdata.sources.plugin import Observation as Said
from marketdata.sources.registry import SOURCES, source_named

# So many failures in a row open the circuit; the pause doubles to a day.
FAILURES_MAX: Final = 3
_PAUSE: Final = timedelta(minutes=5)
_PAUSE_MAX: Final = timedelta(days=1)
# Their clock may be a little ahead of ours; what claims to come from later is nonsense.
CLOCKS_APART: Final = timedelta(minutes=1)
MESSAGE_MAX: Final = 200


@dataclass(frozen=True, slots=True)
class Known:
    """What a decision may know of a source at a moment."""

    source: str
    entity: str
    value: float
    event_at: datetime
    available_at: datetime


def keep(source: str, said: Iterable[Said], *, raw_hash: str, now: datetime) -> int:
    """Store what is new, and answer how much; a restated value becomes known when it is seen, not before."""
    added = 0
    with transaction.atomic():
        for one in said:
            if one.event_at > now + CLOCKS_APART:
                continue
            event_at = min(one.event_at, now)
            moment = {"source": source, "entity": one.entity[:16], "event_at": event_at, "key": one.key[:64]}
            newest = Observation.objects.filter(**moment).order_by("-available_at", "-id").first()
            if newest is not None and newest.value == one.value:
                continue
            # Whoever restates knows better today; yesterday nobody did.
            available = now if newest is not None or one.available_at is None else max(one.available_at, event_at)
            facts = {"value": one.value, "reference": one.reference[:200], "raw_hash": raw_hash, "ingested_at": now}
            _row, is_new = Observation.objects.get_or_create(**moment, available_at=available, defaults=facts)
            added += is_new
    return added


def known_at(source: str, entity: str, at: datetime) -> Known | None:
    """Answer the newest word of a source that could be known at a moment; None when it is too old to mean anything."""
    rows = Observation.objects.filter(source=source, entity=entity, available_at__lte=at, value__isnull=False)
    row = rows.order_by("-event_at", "-available_at").first()
    if row is None or row.value is None or at - row.event_at > source_named(source).max_age:
        return None
    return Known(source, entity, row.value, row.event_at, row.available_at)


def feature_at(source: str, entity: str, at: datetime) -> float:
    """Answer the same as a number for decisions: NaN is "no opinion", never yesterday's value."""
    known = known_at(source, entity, at)
    return math.nan if known is None else known.value


def mood_at(source: str, entity: str, at: datetime) -> float:
    """Answer the mean of everything that a source of words said within its age limit, as known at a moment."""
    since = at - source_named(source).max_age
    rows = Observation.objects.filter(source=source, entity=entity, available_at__lte=at, event_at__gt=since, value__isnull=False)
    # The last word on each event: votes change, and a voice that changed its mind is still one voice.
    newest = {(row.event_at, row.key): row.value for row in rows.order_by("available_at")}
    values = [value for value in newest.values() if value is not None]
    return math.fsum(values) / len(values) if values else math.nan


def state_of(name: str) -> SourceState:
    """Return the state of a source; one that nobody has switched on is off."""
    source_named(name)
    return SourceState.objects.get_or_create(name=name)[0]


def switch(name: str, *, is_enabled: bool) -> bool:
    """Switch a source on or off, and answer whether that changed it; switched on, it is asked again at once."""
    state = state_of(name)
    row = SourceState.objects.filter(id=state.pk)
    return row.exclude(is_enabled=is_enabled).update(is_enabled=is_enabled, failures=0, retry_at=None, asked_at=None) == 1


def let_go(name: str) -> None:
    """Ask a source that is left alone again at once."""
    state = state_of(name)
    SourceState.objects.filter(id=state.pk).update(failures=0, retry_at=None, asked_at=None)


def due(now: datetime) -> list[str]:
    """List the enabled sources whose time has come."""
    found = []
    for state in SourceState.objects.filter(is_enabled=True, name__in=SOURCES):
        is_rested = state.retry_at is None or state.retry_at <= now
        if is_rested and (state.asked_at is None or now - state.asked_at >= SOURCES[state.name].cadence):
            found.append(state.name)
    return found


def claim(name: str, *, now: datetime) -> bool:
    """Take a source that is due; false when somebody else has."""
    state = state_of(name)
    return SourceState.objects.filter(id=state.pk, asked_at=state.asked_at).update(asked_at=now) == 1


def note_answer(name: str, *, added: int, now: datetime) -> None:
    """Write down that a source answered."""
    message = f"{added} new"
    SourceState.objects.filter(name=name).update(answered_at=now, failures=0, retry_at=None, message=message)


def note_failure(name: str, reason: str, *, now: datetime) -> None:
    """Count a failure; after some in a row the source is left alone, ever longer."""
    state = state_of(name)
    failures = state.failures + 1
    over = failures - FAILURES_MAX
    retry_at = now + min(_PAUSE * 2 ** min(over, 12), _PAUSE_MAX) if over >= 0 else None
    SourceState.objects.filter(id=state.pk).update(failures=failures, retry_at=retry_at, message=reason[:MESSAGE_MAX])
