"""Which deposits and withdrawals of an exchange's history the books lack, and which of them the stream has told already."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import combinations
from typing import Final, NamedTuple

from trading.ledger import ZERO

# Two clocks of one exchange, one of which writes whole seconds.
MARGIN: Final = timedelta(minutes=1)
# More than so many that nobody has told of are not tried in every combination.
_TRIED_MAX: Final = 12
_NEVER: Final = datetime.max.replace(tzinfo=UTC)


class PastFlow(NamedTuple):
    """A deposit above zero, or a withdrawal below, as the history has it; `cleared_at` is empty where nobody says when."""

    name: str
    amount: Decimal
    began_at: datetime
    cleared_at: datetime | None


class ToldFlow(NamedTuple):
    """A flow of the same asset that the books know from the stream, and that belongs to none of the history yet."""

    number: int
    amount: Decimal
    at: datetime


def may_be_one(*, amount: Decimal, at: datetime, flow: PastFlow) -> bool:
    """Say whether what the stream told can be this flow of the history."""
    return amount == flow.amount and flow.began_at - MARGIN <= at <= _end(flow)


def pair(flows: Iterable[PastFlow], told: Iterable[ToldFlow]) -> dict[str, int]:
    """Find for each flow of the history the one that the stream told, if it did; answer numbers by names.

    Equal ones are paired one to one: each telling goes to the flow that has the least time left to be told of.
    """
    alone = list(flows)
    pairs: dict[str, int] = {}
    for telling in sorted(told, key=lambda row: (row.at, row.number)):
        fitting = [flow for flow in alone if may_be_one(amount=telling.amount, at=telling.at, flow=flow)]
        if fitting:
            chosen = min(fitting, key=lambda flow: (_end(flow), flow.began_at, flow.name))
            pairs[chosen.name] = telling.number
            alone.remove(chosen)
    return pairs


def missing(flows: Sequence[PastFlow], told: Iterable[ToldFlow], *, residual: Decimal) -> list[PastFlow]:
    """Return the flows that explain to the last unit what an exchange holds beyond the books; none if they do not.

    The balances have the last word: what they do not call for is in the books, however they came to know of it.
    """
    if residual == ZERO:
        return []
    pairs = pair(flows, told)
    alone = sorted((flow for flow in flows if flow.name not in pairs), key=_end)
    if sum((flow.amount for flow in alone), ZERO) == residual:
        return alone
    # Older ones may have been in the balances from the beginning: the newest are tried first, and as few as will do.
    newest = alone[::-1][:_TRIED_MAX]
    for count in range(1, len(newest)):
        for chosen in combinations(newest, count):
            if sum((flow.amount for flow in chosen), ZERO) == residual:
                return sorted(chosen, key=_end)
    return []


def _end(flow: PastFlow) -> datetime:
    """Return when a flow must have been told of by: a deposit may wait for long after it was first seen."""
    return _NEVER if flow.cleared_at is None else flow.cleared_at + MARGIN
