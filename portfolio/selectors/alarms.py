"""Read what a person must have seen."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from portfolio.models import Alarm

# A critical alarm that nobody has acknowledged for so long stops entries (O13).
PATIENCE: Final = timedelta(minutes=15)


def count_open() -> tuple[int, int]:
    """Count the alarms of all accounts that nobody has acknowledged, and those among them that are critical.

    An account that is in use no longer counts too: nothing vanishes because its books were closed.
    """
    critical = list(Alarm.objects.filter(acknowledged_at=None).values_list("is_critical", flat=True))
    return len(critical), sum(critical)


def differences(account_id: int) -> list[Alarm]:
    """Return one alarm for each asset in which ledger and exchange differ now, with the interval in which that began."""
    return list(Alarm.objects.filter(account=account_id, source=Alarm.Source.RESIDUAL, cleared_at=None).order_by("subject"))


def overdue(account_id: int, *, now: datetime) -> bool:
    """Say whether a critical alarm has waited too long for a person."""
    rows = Alarm.objects.filter(account=account_id, acknowledged_at=None, is_critical=True)
    return rows.filter(raised_at__lte=now - PATIENCE).exists()
