"""Sources as people see them: whether they are on, how they fare, and what they said last."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from django.db.models import QuerySet

from marketdata.models import Observation, SourceState
from marketdata.sources.keeping import FAILURES_MAX
from marketdata.sources.plugin import SignalSource
from marketdata.sources.registry import SOURCES

WORDS_SHOWN: Final = 8


def lines(*, now: datetime, environment: Mapping[str, str] | None = None) -> list[dict[str, Any]]:
    """Describe every source with its state and its newest words, as they could be known at a moment."""
    states = {state.name: state for state in SourceState.objects.all()}
    known = os.environ if environment is None else environment
    return [_line(source, states.get(name) or SourceState(name=name), now, known) for name, source in sorted(SOURCES.items())]


def _line(source: SignalSource, state: SourceState, now: datetime, environment: Mapping[str, str]) -> dict[str, Any]:
    rows = Observation.objects.filter(source=source.name, available_at__lte=now)
    lacks_key = bool(source.key_name) and not environment.get(source.key_name)
    word, tone = _standing(state, now)
    return {
        "name": source.name,
        "says": source.says,
        "version": source.version,
        "licence": source.licence,
        "unit": source.schema().unit,
        "cadence_seconds": source.cadence.total_seconds(),
        "age_seconds_max": source.max_age.total_seconds(),
        "is_enabled": state.is_enabled,
        "state": word,
        "tone": tone,
        # What somebody has to do before it can speak; empty when nothing is in its way.
        "obstacle": f"Set {source.key_name} in the environment and start again." if lacks_key else "",
        "message": state.message,
        "failures": state.failures,
        "asked_at": state.asked_at,
        "answered_at": state.answered_at,
        "retry_at": state.retry_at,
        "observations": rows.count(),
        "words": _words(source, rows.filter(value__isnull=False), now),
    }


def _words(source: SignalSource, rows: QuerySet[Observation], now: datetime) -> list[dict[str, Any]]:
    """Describe the newest word of each entity; one that is too old to mean anything has no value."""
    newest = rows.order_by("entity", "-event_at", "-available_at").distinct("entity")
    found = [
        {
            "entity": row.entity,
            "value": row.value if now - row.event_at <= source.max_age else None,
            "event_at": row.event_at,
            "available_at": row.available_at,
        }
        for row in newest
    ]
    return sorted(found, key=lambda word: (word["event_at"], word["entity"]), reverse=True)[:WORDS_SHOWN]


def _standing(state: SourceState, now: datetime) -> tuple[str, str]:
    if not state.is_enabled:
        return "off", ""
    if state.retry_at is not None and state.retry_at > now:
        return "left alone", "bad"
    return (f"failing, {state.failures} of {FAILURES_MAX}", "warn") if state.failures else ("on", "good")
