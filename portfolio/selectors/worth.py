"""An account's figures as of one moment, with the number of that moment: what pages, API and stream show alike."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

from django.db import connection, transaction

from marketdata.models import Mark
from portfolio.models import Account
from portfolio.selectors.numbers import AccountOverview, PositionNumbers, account_overview, positions

_COUNTED_FROM: Final = datetime(2020, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Worth:
    """Everything an account is worth at one `seq`: the same number always means the same figures."""

    seq: int
    account: Account
    overview: AccountOverview
    positions: tuple[PositionNumbers, ...]
    marked_at: datetime | None
    marks: dict[str, Decimal]


@contextmanager
def consistent_read() -> Iterator[None]:
    """Let all reads inside see one moment of the database. Inside a transaction, that one decides."""
    if connection.in_atomic_block:
        yield
        return
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        yield


def worth(account_id: int) -> Worth:
    """Return an account's figures; Account.DoesNotExist if there is none."""
    with consistent_read():
        account = Account.objects.select_related("market").get(id=account_id)
        marks = list(
            Mark.objects.filter(instrument__market=account.market_id).select_related("instrument").order_by("instrument")
        )
        # Parts that only grow: a larger sum is a later moment, and equal sums are the same moment.
        seq = account.version + sum(int((mark.received_at - _COUNTED_FROM).total_seconds() * 1000) for mark in marks)
        return Worth(
            seq=seq,
            account=account,
            overview=account_overview(account_id),
            positions=tuple(positions(account_id)),
            marked_at=max((mark.market_at for mark in marks), default=None),
            marks={mark.instrument.symbol: mark.price for mark in marks},
        )
