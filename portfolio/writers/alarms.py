"""Raise alarms and clear them, inside the transaction that changed what they are about; only a person acknowledges."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from django.db.models import F, Q, QuerySet

from portfolio.models import Account, Alarm, LedgerAccount, Reconciliation
from portfolio.writers import audit
from trading.ledger import plain

if TYPE_CHECKING:
    from django.contrib.auth.models import User

Source = Alarm.Source
ALARM_UNACKNOWLEDGED: Final = "ALARM_UNACKNOWLEDGED"
RECONCILE_RESIDUAL: Final = "RECONCILE_RESIDUAL"
POSITION_UNPROTECTED: Final = "POSITION_UNPROTECTED"
# What passes by itself, or a person has just done: worth knowing, no reason to stop everything.
_MILD: Final = frozenset({
    "CLOCK_OFF", "CODE_DIFFERS", "FILTERS_OLD", "DATA_STALE", "FEE_POOL_LOW", "FEE_PENDING", "LOOP_LAGS", "ORDER_UNKNOWN",
    "RESTORED",
})  # fmt: skip
# Told by other alarms (each asset's difference), or by the page that a person is on.
_TOLD_ELSEWHERE: Final = frozenset({RECONCILE_RESIDUAL, ALARM_UNACKNOWLEDGED, "BOOKS_CLOSED"})


class Cause(NamedTuple):
    """What an alarm is about; the same cause is the same alarm as long as it lasts or nobody has looked."""

    source: str
    code: str
    book_id: int | None = None
    subject: str = ""


def raise_alarm(account_id: int, cause: Cause, *, facts: Mapping[str, Any] | None = None, now: datetime) -> bool:
    """Raise an alarm, or count one that came back before anybody looked; answer whether that is news."""
    row = _of(account_id, cause).filter(Q(cleared_at=None) | Q(acknowledged_at=None)).first()
    if row is not None and row.cleared_at is None:
        return False
    if row is None:
        Alarm.objects.create(
            account_id=account_id, is_critical=cause.code not in _MILD, facts=dict(facts or {}), raised_at=now, last_at=now,
            **cause._asdict(),
        )  # fmt: skip
    else:
        Alarm.objects.filter(pk=row.pk).update(count=F("count") + 1, last_at=now, cleared_at=None, facts=dict(facts or {}))
    after = {"code": cause.code, "source": cause.source, "subject": cause.subject, "facts": dict(facts or {})}
    audit.record(action="alarm.raise", subject=_subject(account_id, cause.book_id), after=after, now=now)
    return True


def clear(account_id: int, source: str, *, book_id: int | None = None, but: Iterable[str] = (), now: datetime) -> None:
    """Note that causes of a kind are gone, but for those of these subjects; what nobody has seen stays listed."""
    _close(Alarm.objects.filter(account=account_id, source=source, book=book_id).exclude(subject__in=list(but)), now=now)


def clear_all_but(account_id: int, source: str, lasting: Iterable[Cause], *, now: datetime) -> None:
    """Note that every cause of a kind is gone that is not among these."""
    kept = set(lasting)
    rows = Alarm.objects.filter(account=account_id, source=source, cleared_at=None)
    gone = [row.pk for row in rows if Cause(row.source, row.code, row.book_id, row.subject) not in kept]
    _close(Alarm.objects.filter(pk__in=gone), now=now)


def follow_state(account: Account, *, now: datetime) -> None:
    """Have the alarms say what the account's state says."""
    if account.state == Account.State.STARTING:
        return
    reason = "" if account.state == Account.State.ACTIVE else account.state_reason or account.state.upper()
    cause = Cause(Source.STATE, reason)
    clear_all_but(account.pk, Source.STATE, [cause], now=now)
    if reason and reason not in _TOLD_ELSEWHERE:
        raise_alarm(account.pk, cause, facts={"state": account.state}, now=now)
    if reason in ("", RECONCILE_RESIDUAL):
        follow_residuals(account, now=now)


def follow_residuals(account: Account, *, now: datetime) -> None:
    """Have one alarm for each asset of which nobody can say why it differs, with the interval in which that began."""
    rows = LedgerAccount.objects.filter(account=account, kind=LedgerAccount.Kind.SUSPENSE).exclude(balance=0)
    left = dict(rows.values_list("asset", "balance"))
    _close(Alarm.objects.filter(account=account, source=Source.RESIDUAL).exclude(subject__in=list(left)), now=now)
    for asset, amount in sorted(left.items()):
        exact_at = _exact_at(account)
        facts = {"amount": plain(amount), "exact_at": exact_at and exact_at.isoformat(), "found_at": now.isoformat()}
        raise_alarm(account.pk, Cause(Source.RESIDUAL, RECONCILE_RESIDUAL, None, asset), facts=facts, now=now)


def acknowledge(alarm: Alarm, *, by: User | None, reason: str, now: datetime, request_id: str = "") -> bool:
    """Note that a person has seen it and what they found; False when somebody had before."""
    rows = Alarm.objects.filter(pk=alarm.pk, acknowledged_at=None)
    if not rows.update(acknowledged_at=now, acknowledged_by=by, acknowledgement=reason[:200]):
        return False
    audit.record(
        action="alarm.acknowledge",
        subject=_subject(alarm.account_id, alarm.book_id),
        actor=by,
        before={"alarm": alarm.pk, "code": alarm.code, "subject": alarm.subject, "count": alarm.count},
        after={"reason": reason},
        now=now,
        request_id=request_id,
    )
    return True


def _exact_at(account: Account) -> datetime | None:
    exact = Reconciliation.objects.filter(account=account, outcome=Reconciliation.Outcome.EXACT)
    return exact.order_by("-id").values_list("finished_at", flat=True).first()


def _of(account_id: int, cause: Cause) -> QuerySet[Alarm]:
    return Alarm.objects.filter(account=account_id, **cause._asdict())


def _close(rows: QuerySet[Alarm], *, now: datetime) -> None:
    for row in rows.filter(cleared_at=None):
        Alarm.objects.filter(pk=row.pk).update(cleared_at=now)
        after = {"code": row.code, "source": row.source, "subject": row.subject}
        audit.record(action="alarm.clear", subject=_subject(row.account_id, row.book_id), after=after, now=now)


def _subject(account_id: int, book_id: int | None) -> str:
    return f"account:{account_id}" if book_id is None else f"book:{book_id}"
