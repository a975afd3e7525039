"""Who changed what: the audit, narrowed down."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.db.models import Q, QuerySet

from portfolio.models import AuditEntry


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """What somebody looks for; what is empty narrows nothing."""

    actor: str = ""
    action: str = ""
    subject: str = ""
    request_id: str = ""
    since: datetime | None = None
    until: datetime | None = None

    @property
    def condition(self) -> Q:
        """Return it as the database reads it: actions and subjects by their beginning, for example `bot.` or `account:1`."""
        found = Q()
        if self.actor:
            found &= Q(actor_name__iexact=self.actor)
        if self.action:
            found &= Q(action__startswith=self.action)
        if self.subject:
            found &= Q(subject=self.subject) | Q(subject__startswith=f"{self.subject}:")
        if self.request_id:
            found &= Q(request_id=self.request_id)
        if self.since is not None:
            found &= Q(at__gte=self.since)
        if self.until is not None:
            found &= Q(at__lt=self.until)
        return found


def audit_entries(wanted: AuditFilter, *, cursor: int | None, limit: int) -> tuple[list[AuditEntry], str | None]:
    """Return a page of entries, newest first, and where the next page begins."""
    rows: QuerySet[AuditEntry] = AuditEntry.objects.filter(wanted.condition)
    if cursor is not None:
        rows = rows.filter(pk__lt=cursor)
    found = list(rows.order_by("-pk")[: limit + 1])
    items = found[:limit]
    return items, str(items[-1].pk) if len(found) > limit else None


def audit_actions() -> list[str]:
    """Return every action that was ever taken."""
    return sorted(set(AuditEntry.objects.order_by().values_list("action", flat=True).distinct()))
