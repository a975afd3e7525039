"""Write the record of who changed what."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from portfolio import asking
from portfolio.models import AuditEntry

if TYPE_CHECKING:
    from django.contrib.auth.models import User


def record(
    *,
    action: str,
    subject: str,
    now: datetime,
    actor: User | None = None,
    actor_name: str = "",
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
    request_id: str = "",
) -> AuditEntry:
    """Record one state change in the transaction that makes it (I-50), with the request behind it."""
    request = asking.current()
    asking.note_recorded(action)
    return AuditEntry.objects.create(
        at=now,
        actor=actor,
        actor_name=actor_name or (actor.get_username() if actor else "system"),
        action=action,
        subject=subject,
        before=dict(before or {}),
        after=dict(after or {}),
        request_id=request.request_id or request_id,
        address=request.address,
    )
