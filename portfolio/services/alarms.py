"""Acknowledge alarms: a person has looked and says what they found."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from django.db import transaction

from portfolio.models import Alarm
from portfolio.selectors.alarms import overdue
from portfolio.writers import accounts, alarms
from portfolio.writers.alarms import ALARM_UNACKNOWLEDGED

if TYPE_CHECKING:
    from django.contrib.auth.models import User


class UnableToAcknowledge(Exception):
    """Raised when there is nothing to acknowledge; carries a reason code."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def acknowledge_alarm(*, alarm_id: int, by: User | None, reason: str, now: datetime, request_id: str = "") -> Alarm:
    """Acknowledge one alarm; entries that stopped because nobody looked go on when nothing critical is overdue."""
    found = Alarm.objects.filter(id=alarm_id).first()
    if found is None:
        raise UnableToAcknowledge("ALARM_UNKNOWN", f"There is no alarm {alarm_id}.")
    with transaction.atomic():
        account = accounts.lock(found.account_id)
        if not alarms.acknowledge(found, by=by, reason=reason, now=now, request_id=request_id):
            raise UnableToAcknowledge("ALARM_ACKNOWLEDGED", f"Somebody has acknowledged alarm {alarm_id} already.")
        if account.state_reason == ALARM_UNACKNOWLEDGED and not overdue(account.pk, now=now):
            accounts.lift_halt(account, now=now)
            accounts.wake_trader(account.pk, "kill")
        accounts.changed(account)
    return Alarm.objects.select_related("book", "acknowledged_by").get(id=alarm_id)
