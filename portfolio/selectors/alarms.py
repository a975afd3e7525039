"""Read what a person must have seen."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final, NamedTuple

from portfolio.models import Alarm

# A critical alarm that nobody has acknowledged for so long stops entries (O13).
PATIENCE: Final = timedelta(minutes=15)


def count_open() -> tuple[int, int]:
    """Count the alarms of all accounts that nobody has acknowledged, and those among them that are critical.

    An account that is in use no longer counts too: nothing vanishes because its books were closed.
    """
    critical = list(Alarm.objects.filter(acknowledged_at=None).values_list("is_critical", flat=True))
    return len(critical), sum(critical)


class Difference(NamedTuple):
    """An asset in which ledger and exchange differ, and between which two comparisons that began."""

    asset: str
    amount: str
    exact_at: datetime | None
    found_at: datetime


def differences(account_id: int) -> list[Difference]:
    """Return the assets in which ledger and exchange differ now."""
    rows = Alarm.objects.filter(account=account_id, source=Alarm.Source.RESIDUAL, cleared_at=None).order_by("subject")
    return [_difference(row) for row in rows]


def overdue(account_id: int, *, now: datetime) -> bool:
    """Say whether a critical alarm has waited too long for a person."""
    rows = Alarm.objects.filter(account=account_id, acknowledged_at=None, is_critical=True)
    return rows.filter(raised_at__lte=now - PATIENCE).exists()


def _difference(row: Alarm) -> Difference:
    exact_at = row.facts.get("exact_at")
    return Difference(
        asset=row.subject,
        amount=row.facts["amount"],
        exact_at=datetime.fromisoformat(exact_at) if exact_at else None,
        found_at=datetime.fromisoformat(row.facts["found_at"]),
    )
