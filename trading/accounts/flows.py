"""Deposits and withdrawals that a plan of a whole account asks for: once, or at the beginning of every week or month."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Final

from trading.ledger import UNIT, ZERO

# More of one plan, or more money in one account, is a slip of the pen; the second would not fit into whole units either.
FLOWS_MAX: Final = 2_000
MONEY_MAX: Final = Decimal(10) ** 10
# A withdrawal of more than the account is worth.
INSUFFICIENT: Final = "CAPITAL_INSUFFICIENT"
_WEEK: Final = timedelta(days=7)


class Every(StrEnum):
    """How often a flow comes again: each Monday, or each first of a month, at midnight UTC."""

    WEEK = "week"
    MONTH = "month"


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """Quote that comes to the account from outside (above zero) or leaves it, at the first base candle from a moment on."""

    at: datetime
    amount: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowOutcome:
    """What came of a flow: when it was looked at, how much has come or gone, and why nothing did."""

    asked_at: datetime
    at: datetime
    amount: Decimal
    done: Decimal
    code: str = ""

    @property
    def waits(self) -> Decimal:
        """Return what a withdrawal still takes, above zero: what bots have in use leaves when it comes free."""
        return ZERO if self.code else self.done - self.amount


def amount_fault(amount: Decimal) -> str:
    """Say why an amount is none of a flow; empty where it is one."""
    if amount.is_finite() and ZERO < abs(amount) <= MONEY_MAX and not amount % UNIT:
        return ""
    return f"a deposit is above zero, a withdrawal below, at most {MONEY_MAX:,} and a whole number of {UNIT}, not {amount}"


def repeated(every: Every, amount: Decimal, *, begin_at: datetime, last_at: datetime) -> Iterator[Flow]:
    """Repeat a flow after the beginning, which has the capital, up to a moment."""
    at = begin_at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    at = at - timedelta(days=at.weekday()) if every == Every.WEEK else at.replace(day=1)
    while at <= last_at:
        if at > begin_at:
            yield Flow(at=at, amount=amount)
        at = at + _WEEK if every == Every.WEEK else _next_month(at)


def _next_month(first: datetime) -> datetime:
    return (first + timedelta(days=31)).replace(day=1)
