"""Write limits, the starts of days and latches: each inside a transaction on a locked account."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from portfolio.models import Account, EquityPoint, RiskDay, RiskLatch, RiskLimits
from portfolio.selectors.numbers import account_overview
from portfolio.writers import accounts, alarms, audit
from portfolio.writers.alarms import Cause, Source
from trading.risk import DayStart, opening_limits

if TYPE_CHECKING:
    from django.contrib.auth.models import User

# So close to midnight the newest marks are the day's start.
_AT_MIDNIGHT: Final = timedelta(minutes=5)
# An older point is of another time: after a long rest the day begins with the first look.
_POINT_AGE_MAX: Final = timedelta(hours=1)


def open_day(account: Account, *, market_at: datetime, now: datetime) -> dict[int | None, DayStart]:
    """Record what account and books are worth at the start of this day of market time; what stands stays.

    It is the equity at the day's first moments. Where nobody looked then, it is the last point of the equity line before
    midnight, so that a restart does not forgive what was lost since; where there is none, it is the equity now.
    """
    midnight = datetime.combine(market_at.astimezone(UTC).date(), time(), UTC)
    overview = account_overview(account.pk)
    worth: dict[int | None, DayStart] = {None: DayStart(overview.equity, overview.net_flows)}
    worth |= {book.book_id: DayStart(book.equity, book.net_flows) for book in overview.books}
    rows = []
    for book_id, now_worth in worth.items():
        start, taken_at = now_worth, market_at
        point = None if market_at - midnight <= _AT_MIDNIGHT else _point_before(midnight, account, book_id)
        if point is not None:
            start, taken_at = DayStart(point.equity, point.net_flows), point.market_at
        rows.append(
            RiskDay(
                account=account,
                book_id=book_id,
                market_date=midnight.date(),
                equity=start.equity,
                net_flows=start.net_flows,
                market_at=taken_at,
                recorded_at=now,
            )
        )
    RiskDay.objects.bulk_create(rows, ignore_conflicts=True)
    return {row.book_id: DayStart(row.equity, row.net_flows) for row in rows}


def open_limits(account: Account, *, equity: Decimal, now: datetime) -> None:
    """Give a new account its limits: there is none without a largest order (G11)."""
    if not RiskLimits.objects.filter(account=account, book=None).exists():
        limits = opening_limits(equity, is_real=account.mode == Account.Mode.LIVE)
        values = {name: getattr(limits, name) for name in limits.__dataclass_fields__}
        RiskLimits.objects.create(account=account, version=1, set_at=now, reason="opening", **values)


def record_limits(
    account: Account, *, book_id: int | None, values: Mapping[str, Any], by: User | None, reason: str, now: datetime
) -> RiskLimits:
    """Add a version of limits; the next order is held against it."""
    newest = RiskLimits.objects.filter(account=account, book=book_id).order_by("-version").first()
    version = newest.version + 1 if newest else 1
    return RiskLimits.objects.create(
        account=account, book_id=book_id, version=version, set_at=now, set_by=by, reason=reason[:200], **values
    )


def latch(
    account: Account, *, book_id: int | None, code: str, facts: Mapping[str, Any], market_at: datetime, now: datetime
) -> bool:
    """Shut a book, or the account, until a person lets go; answer whether that is news."""
    is_new = not RiskLatch.objects.filter(account=account, book=book_id, code=code, released_at=None).exists()
    if is_new:
        RiskLatch.objects.create(
            account=account, book_id=book_id, code=code, facts=dict(facts), market_at=market_at, latched_at=now
        )
        audit.record(action="risk.latch", subject=_subject(account, book_id), after={"code": code, "facts": dict(facts)}, now=now)
        alarms.raise_alarm(account.pk, Cause(Source.LATCH, code, book_id), facts=facts, now=now)
        accounts.changed(account)
    return is_new


def release(
    account: Account, *, book_id: int | None, by: User | None, reason: str, now: datetime, request_id: str = ""
) -> list[str]:
    """Let go of everything latched on a book, or on the account itself; answer the codes."""
    rows = RiskLatch.objects.filter(account=account, book=book_id, released_at=None)
    codes = sorted(rows.values_list("code", flat=True))
    if codes:
        rows.update(released_at=now, released_by=by, release_reason=reason[:200])
        alarms.clear(account.pk, Source.LATCH, book_id=book_id, now=now)
        audit.record(
            action="risk.release",
            subject=_subject(account, book_id),
            actor=by,
            before={"codes": codes},
            after={"reason": reason},
            now=now,
            request_id=request_id,
        )
        accounts.changed(account)
    return codes


def _point_before(midnight: datetime, account: Account, book_id: int | None) -> EquityPoint | None:
    points = EquityPoint.objects.filter(account=account, book=book_id, market_at__lte=midnight)
    return points.filter(market_at__gte=midnight - _POINT_AGE_MAX).order_by("-market_at").first()


def _subject(account: Account, book_id: int | None) -> str:
    return f"account:{account.pk}" if book_id is None else f"book:{book_id}"
