"""Set limits and let go of latches: what a person may ask of risk, one transaction each."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from django.db import transaction

from portfolio import asking
from portfolio.jobs import risk as risk_jobs
from portfolio.jobs.risk_preview import Forecast, foresee
from portfolio.models import Book, RiskLimits
from portfolio.selectors.risk import LIMIT_NAMES, latched_codes, limits_in_force, newest_limits, values_of
from portfolio.writers import accounts, audit, risk
from trading.risk import HARD_STOP, LimitsInvalid, overlay, raised

if TYPE_CHECKING:
    from django.contrib.auth.models import User

    from trading.risk import Limits


class UnableToLimit(Exception):
    """Raised when limits or a release are refused; carries a reason code."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def set_limits(
    *,
    account_id: int,
    book_id: int | None = None,
    changes: Mapping[str, Any],
    reason: str,
    may_raise: bool,
    by: User | None,
    now: datetime,
    request_id: str = "",
) -> RiskLimits:
    """Set limits of an account or a book as a new version; the next order is held against it.

    Whoever may operate may lower; raising takes `may_raise` and says in the audit that it was one.
    """
    unknown = sorted(set(changes) - set(LIMIT_NAMES))
    if unknown:
        raise UnableToLimit("LIMIT_UNKNOWN", f"There is no limit {unknown[0]}. Known: {', '.join(LIMIT_NAMES)}.")
    with transaction.atomic():
        account = accounts.lock(account_id)
        if book_id is not None and not Book.objects.filter(account=account, id=book_id).exists():
            raise UnableToLimit("BOOK_UNKNOWN", f"Account {account.name} has no book {book_id}.")
        before, values = _before(account_id, book_id)
        try:
            after = overlay(before, changes)
        except LimitsInvalid as error:
            raise UnableToLimit("LIMIT_INVALID", str(error)) from error
        lifted = raised(before, after)
        if lifted and not may_raise:
            raise UnableToLimit("RISK_RAISE_NEEDS_ADMIN", f"Only an administrator may raise {', '.join(lifted)}.")
        if lifted:
            asking.demand_confirmation(f"raise {', '.join(lifted)}")
        values |= {name: value for name, value in changes.items() if value not in (None, "")}
        row = risk.record_limits(account, book_id=book_id, values=values, by=by, reason=reason, now=now)
        changed = [name for name in LIMIT_NAMES if getattr(before, name) != getattr(after, name)]
        audit.record(
            action="risk.raise_limits" if lifted else "risk.lower_limits",
            subject=f"account:{account.pk}" if book_id is None else f"book:{book_id}",
            actor=by,
            before={name: _text(getattr(before, name)) for name in changed},
            after={name: _text(getattr(after, name)) for name in changed} | {"reason": reason, "version": row.version},
            now=now,
            request_id=request_id,
        )
        accounts.changed(account)
        return row


def preview_limits(*, account_id: int, changes: Mapping[int | None, Mapping[str, Any]], now: datetime) -> Forecast:
    """Say what these limits would do now; nothing is set, and nobody needs to be allowed to set them."""
    for book_id in changes:
        if book_id is not None and not Book.objects.filter(account=account_id, id=book_id).exists():
            raise UnableToLimit("BOOK_UNKNOWN", f"The account has no book {book_id}.")
    _before(account_id, None)
    try:
        return foresee(account_id, changes, now=now)
    except LimitsInvalid as error:
        raise UnableToLimit("LIMIT_INVALID", str(error)) from error


def release_latches(
    *, account_id: int, book_id: int | None = None, reason: str, by: User | None, now: datetime, request_id: str = ""
) -> list[str]:
    """Let a book, or the account itself, enter again; refused while today's loss is still beyond the hard cap."""
    with transaction.atomic():
        account = accounts.lock(account_id)
        if latched_codes(account_id).get(book_id) is None:
            return []
        standing = risk_jobs.look(account_id, now=now).standings.get(book_id)
        if standing is not None and standing.is_beyond_hard:
            raise UnableToLimit(
                HARD_STOP,
                f"Today's loss of {standing.loss:.2f} is still beyond the hard cap of {standing.hard_cap:.2f}: "
                "it would be sold and shut again at once. A new day of market time begins a new account of losses.",
            )
        return risk.release(account, book_id=book_id, by=by, reason=reason, now=now, request_id=request_id)


def _before(account_id: int, book_id: int | None) -> tuple[Limits, dict[str, Any]]:
    """Return the limits in force, and what the newest row of this very book or account says."""
    limits, of_books = limits_in_force(account_id)
    if limits is None:
        raise UnableToLimit("RISK_LIMITS_MISSING", "The account has no limits yet; it was never opened.")
    rows = {row.book_id: values_of(row) for row in newest_limits(account_id)}
    in_force = limits if book_id is None else of_books.get(book_id, limits)
    return in_force, rows.get(book_id, {})


def _text(value: object) -> str:
    return f"{value.normalize():f}" if isinstance(value, Decimal) else str(value)
