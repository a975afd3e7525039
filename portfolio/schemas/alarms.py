"""How alarms look in JSON."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from ninja import Schema
from pydantic import Field

from marketdata.schemas import Payload, Text, shown

AlarmState = Literal["unacknowledged", "all"]


class AlarmOut(Schema):
    """Something that a person must have seen; it is open until `acknowledged_at`, also when its cause is gone."""

    id: int
    account: int = Field(alias="account_id")
    book: int | None = Field(alias="book_id")
    source: str
    code: str
    subject: str
    is_critical: bool
    facts: dict[str, Any]
    count: int
    raised_at: datetime
    last_at: datetime
    cleared_at: datetime | None
    acknowledged_at: datetime | None
    acknowledged_by: str | None
    acknowledgement: str

    @staticmethod
    def resolve_acknowledged_by(alarm: Any) -> str | None:
        """Name the person who has seen it."""
        return None if alarm.acknowledged_by is None else str(alarm.acknowledged_by)


class AcknowledgeIn(Payload):
    """What the person found."""

    model_config = shown({"reason": "a deposit that came before the stream was up; explained"})

    reason: Text
