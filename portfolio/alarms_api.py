"""Addresses of alarms: what a person must have seen, and saying that one has."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.utils import timezone
from ninja import Router

from marketdata.schemas import Cursor, Limit, RowId
from portfolio.models import Alarm
from portfolio.schemas.accounts import PageOut
from portfolio.schemas.alarms import AcknowledgeIn, AlarmOut, AlarmState
from portfolio.selectors import lists
from portfolio.services.alarms import acknowledge_alarm

router = Router(tags=["alarms"])


@router.get("/alarms", response=PageOut[AlarmOut])
def alarms(
    request: HttpRequest,
    account: RowId | None = None,
    state: AlarmState = "unacknowledged",
    cursor: Cursor | None = None,
    limit: Limit = 50,
) -> dict[str, Any]:
    """List alarms, newest first: those that nobody has acknowledged, or all; of one account or of all."""
    found = lists.alarms(
        account_id=account, is_open=state == "unacknowledged", cursor=None if cursor is None else int(cursor), limit=limit
    )
    return {"items": found.items, "next_cursor": found.next_cursor}


@router.post("/alarms/{alarm_id}/acknowledge", response=AlarmOut)
def acknowledge(request: HttpRequest, alarm_id: RowId, payload: AcknowledgeIn) -> Alarm:
    """Say that a person has looked at an alarm and what they found; it is done once."""
    assert request.user.is_authenticated
    return acknowledge_alarm(alarm_id=alarm_id, by=request.user, reason=payload.reason, now=timezone.now())
