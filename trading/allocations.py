"""Shares of an account: which plans are allowed and what they come to in money."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from trading.ledger import CENT, ZERO, exactly, floor_to

HUNDRED: Final = Decimal(100)


class PlanRefused(Exception):
    """Raised when percentages make no plan; carries a reason code."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """What a book has before a plan: its share, its worth in quote and the cash it could give back."""

    book_id: int
    percent: Decimal
    equity: Decimal
    cash_free: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What a plan does to one book: the target, what it moves now, and what the book is then worth."""

    book_id: int
    percent: Decimal
    target: Decimal
    moved: Decimal
    funded: Decimal

    @property
    def missing(self) -> Decimal:
        """Return what the target asks beyond the funds; negative while positions hold more than the target."""
        return self.target - self.funded


@exactly
def plan_shares(
    *, holders: Sequence[Holder], percents: Mapping[int, Decimal], unallocated: Decimal, total: Decimal, rebase: bool
) -> list[Share]:
    """Plan new shares of an account worth `total`: first books give back free cash, then others receive.

    A book whose percentage stays is left alone unless `rebase` asks to deal out its gains as well.
    """
    _check(holders, percents)
    changed = [
        holder for holder in holders if holder.book_id in percents and (rebase or percents[holder.book_id] != holder.percent)
    ]
    targets = {holder.book_id: floor_to(total * percents[holder.book_id] / HUNDRED, CENT) for holder in changed}
    # Gives before receives: what one book frees may fund the next.
    gives = sorted(changed, key=lambda holder: targets[holder.book_id] - holder.equity)
    shares = []
    for holder in gives:
        wanted = targets[holder.book_id] - holder.equity
        moved = min(wanted, unallocated) if wanted > ZERO else -min(-wanted, holder.cash_free)
        unallocated -= moved
        shares.append(
            Share(
                book_id=holder.book_id,
                percent=percents[holder.book_id],
                target=targets[holder.book_id],
                moved=moved,
                funded=holder.equity + moved,
            )
        )
    return shares


def _check(holders: Sequence[Holder], percents: Mapping[int, Decimal]) -> None:
    known = {holder.book_id: holder.percent for holder in holders}
    for book_id, percent in percents.items():
        if book_id not in known:
            raise PlanRefused("ALLOCATION_UNKNOWN_BOOK", f"There is no book {book_id} on this account.")
        if not percent.is_finite() or not ZERO <= percent <= HUNDRED:
            raise PlanRefused("ALLOCATION_OUT_OF_RANGE", f"A share must be between 0 and 100 percent, not {percent}.")
        if percent * 10_000 % 1 != ZERO:
            raise PlanRefused("ALLOCATION_TOO_FINE", f"A share has at most four decimals, not {percent}.")
    total = sum((known | dict(percents)).values(), ZERO)
    if total > HUNDRED:
        raise PlanRefused("ALLOCATION_ABOVE_TOTAL", f"The shares would add up to {total} percent; 100 is all there is.")
