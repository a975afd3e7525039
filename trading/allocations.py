"""Shares of an account: which plans are allowed, what they come to in money, and what is still to be moved."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from trading.ledger import CENT, ZERO, exactly, floor_to, plain

HUNDRED: Final = Decimal(100)
# A share has at most four decimals.
GRAIN: Final = Decimal("0.0001")
# Schedules are counted in whole hours from a Monday, so that 168 hours are a week as people count it.
_MONDAY: Final = datetime(2018, 1, 1, tzinfo=UTC)

LOCKED: Final = "locked"
IN_BAND: Final = "in_band"
UNCHANGED: Final = "unchanged"


class PlanRefused(Exception):
    """Raised when percentages make no plan; carries a reason code and what would help."""

    def __init__(self, code: str, message: str, **facts: Any) -> None:
        super().__init__(message)
        self.code = code
        self.facts = facts


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What holds for every plan of an account, in percent of its worth.

    The reserve is never dealt out; a re-base leaves a book alone that is off its target by no more than the band.
    """

    reserve_percent: Decimal = ZERO
    band_percent: Decimal = ZERO
    rebase_hours: int = 0
    rebases_after_flows: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """What a book has before a plan: its share, its worth in quote and the cash it could give back."""

    book_id: int
    percent: Decimal
    equity: Decimal
    cash_free: Decimal
    name: str = ""
    target: Decimal = ZERO
    is_locked: bool = False
    pending: Decimal = ZERO

    @property
    def label(self) -> str:
        """Return what a person calls it."""
        return self.name or f"Book {self.book_id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is asked of a plan; a book that is not named keeps its share.

    `rebase` deals gains and losses of the named books out anew. A locked share changes only if it is unlocked.
    """

    percents: Mapping[int, Decimal]
    locks: Mapping[int, bool] = field(default_factory=dict)
    rebase: bool = False
    overrides_locks: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What a plan does to one book: the target, what it moves now, and what the book is then worth."""

    book_id: int
    percent: Decimal
    target: Decimal
    moved: Decimal
    funded: Decimal
    is_locked: bool = False
    is_dealt: bool = True

    @property
    def missing(self) -> Decimal:
        """Return what is still to be moved: above zero it waits for cash, below zero for capital in use to come free."""
        return self.target - self.funded

    @property
    def sized_by(self) -> Decimal:
        """Return what the book's next orders are sized by: never more than it should have, nor than it has."""
        return min(self.target, self.funded)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The shares that change, why the others stay, and what is not given to anybody."""

    shares: tuple[Share, ...]
    left_alone: Mapping[int, str]
    percents: Mapping[int, Decimal]
    remainder: Decimal
    even: Mapping[int, Decimal]


@exactly
def plan_shares(
    *, holders: Sequence[Holder], wanted: Wanted, unallocated: Decimal, total: Decimal, policy: Policy = Policy()
) -> Plan:
    """Plan new shares of an account worth `total`: first books give back free cash, then others receive."""
    check_policy(policy)
    percents = _checked(holders, wanted, policy)
    locks = {holder.book_id: wanted.locks.get(holder.book_id, holder.is_locked) for holder in holders}
    targets = {book_id: target_of(total, percent) for book_id, percent in percents.items()}
    left_alone = _left_alone(holders, wanted, locks, {**targets}, band=total * policy.band_percent / HUNDRED)
    dealt = [holder for holder in holders if holder.book_id not in left_alone]
    reserve = target_of(total, policy.reserve_percent)
    shares = []
    # Gives before receives: what one book frees may fund the next.
    for holder in sorted(dealt, key=lambda holder: targets[holder.book_id] - holder.equity):
        difference = targets[holder.book_id] - holder.equity
        moved = _moved(difference, cash_free=holder.cash_free, to_give=max(unallocated - reserve, ZERO))
        unallocated -= moved
        shares.append(_share(holder, percents, locks, target=targets[holder.book_id], moved=moved))
    shares += [
        _share(holder, percents, locks, target=holder.target, moved=ZERO, is_dealt=False)
        for holder in holders
        if holder.book_id in left_alone and locks[holder.book_id] != holder.is_locked
    ]
    room = HUNDRED - policy.reserve_percent
    return Plan(
        shares=tuple(shares),
        left_alone=left_alone,
        percents=percents,
        remainder=room - sum(percents.values(), ZERO),
        even=normalised(percents, locked={book_id for book_id, is_locked in locks.items() if is_locked}, whole=room),
    )


@exactly
def settle_pending(*, holders: Sequence[Holder], unallocated: Decimal, reserve: Decimal) -> dict[int, Decimal]:
    """Say what can be moved now of what older plans still have to move: gives first, then receives.

    Takes cash that is free, never what an order has reserved; gives what is unallocated beyond the reserve.
    """
    moves: dict[int, Decimal] = {}
    for holder in sorted(holders, key=lambda holder: (holder.pending > ZERO, holder.book_id)):
        moved = _moved(holder.pending, cash_free=holder.cash_free, to_give=max(unallocated - reserve, ZERO))
        if moved != ZERO:
            moves[holder.book_id] = moved
            unallocated -= moved
    return moves


@exactly
def normalised(percents: Mapping[int, Decimal], *, locked: Collection[int], whole: Decimal = HUNDRED) -> dict[int, Decimal]:
    """Stretch or shrink the shares that are not locked so that all add up to the whole, to the last 0.0001."""
    free = {book_id: max(percent, ZERO) for book_id, percent in percents.items() if book_id not in locked}
    room, old = whole - sum((percents[book_id] for book_id in locked if book_id in percents), ZERO), sum(free.values(), ZERO)
    if old <= ZERO or room < ZERO:
        return dict(percents)
    result = {book_id: percent * room // (old * GRAIN) * GRAIN for book_id, percent in free.items()}
    # What the rounding left goes to the largest shares, a grain each.
    left = int((room - sum(result.values(), ZERO)) / GRAIN)
    for book_id in sorted(result, key=lambda book_id: (-result[book_id], book_id))[:left]:
        result[book_id] += GRAIN
    return {book_id: result.get(book_id, percent) for book_id, percent in percents.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """A book's share in one version of the plan."""

    percent: Decimal
    is_locked: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """How a book's share differs between two versions; None where it has none."""

    book_id: int
    before: Slice | None
    after: Slice | None


def differences(before: Mapping[int, Slice], after: Mapping[int, Slice]) -> list[Difference]:
    """List the books whose share or lock differs."""
    return [
        Difference(book_id=book_id, before=before.get(book_id), after=after.get(book_id))
        for book_id in sorted({*before, *after})
        if before.get(book_id) != after.get(book_id)
    ]


def rebase_slot(at: datetime, hours: int) -> datetime:
    """Return when the slot of a schedule began that a market time lies in."""
    length = timedelta(hours=hours)
    return _MONDAY + (at - _MONDAY) // length * length


def check_policy(policy: Policy) -> None:
    """Refuse a policy that cannot be kept."""
    for what, percent in (("reserve", policy.reserve_percent), ("band", policy.band_percent)):
        _check_percent(f"The {what}", percent)
    if not 0 <= policy.rebase_hours <= 24 * 366:
        raise PlanRefused("ALLOCATION_SCHEDULE", f"Re-base every 1 to 8784 hours, or 0 for never, not {policy.rebase_hours}.")


def target_of(total: Decimal, percent: Decimal) -> Decimal:
    """Return what a share comes to in quote; an account below zero has nothing to share."""
    return floor_to(max(total, ZERO) * percent / HUNDRED, CENT)


def _moved(difference: Decimal, *, cash_free: Decimal, to_give: Decimal) -> Decimal:
    if difference > ZERO:
        return min(difference, to_give)
    return -min(-difference, max(cash_free, ZERO))


def _share(
    holder: Holder,
    percents: Mapping[int, Decimal],
    locks: Mapping[int, bool],
    *,
    target: Decimal,
    moved: Decimal,
    is_dealt: bool = True,
) -> Share:
    return Share(
        book_id=holder.book_id,
        percent=percents[holder.book_id],
        is_locked=locks[holder.book_id],
        target=target,
        moved=moved,
        funded=holder.equity + moved,
        is_dealt=is_dealt,
    )


def _left_alone(
    holders: Sequence[Holder], wanted: Wanted, locks: Mapping[int, bool], targets: Mapping[int, Decimal], *, band: Decimal
) -> dict[int, str]:
    """Say why books stay as they are: a share that changes is always dealt out, one that stays by a re-base alone."""
    found = {}
    for holder in holders:
        if wanted.percents.get(holder.book_id, holder.percent) != holder.percent:
            continue
        if not wanted.rebase or holder.book_id not in wanted.percents:
            found[holder.book_id] = LOCKED if locks[holder.book_id] else UNCHANGED
        elif locks[holder.book_id]:
            found[holder.book_id] = LOCKED
        elif abs(targets[holder.book_id] - holder.equity) <= band:
            found[holder.book_id] = IN_BAND
    return found


def _checked(holders: Sequence[Holder], wanted: Wanted, policy: Policy) -> dict[int, Decimal]:
    """Return the share of every book as the plan would have it, or refuse."""
    known = {holder.book_id: holder for holder in holders}
    for book_id in (*wanted.percents, *wanted.locks):
        if book_id not in known:
            raise PlanRefused("ALLOCATION_UNKNOWN_BOOK", f"There is no book {book_id} on this account.")
    for book_id, percent in wanted.percents.items():
        holder = known[book_id]
        _check_percent(holder.label, percent)
        stays_locked = holder.is_locked and wanted.locks.get(book_id, True)
        if percent != holder.percent and stays_locked and not wanted.overrides_locks:
            raise PlanRefused(
                "ALLOCATION_LOCKED",
                f"The share of {holder.label} is locked at {plain(holder.percent)} %: unlock it to set {plain(percent)} %.",
                book=book_id,
            )
    percents = {holder.book_id: wanted.percents.get(holder.book_id, holder.percent) for holder in holders}
    locked = {holder.book_id for holder in holders if wanted.locks.get(holder.book_id, holder.is_locked)}
    _check_sum(known, percents, locked, policy)
    return percents


def _check_sum(known: Mapping[int, Holder], percents: Mapping[int, Decimal], locked: set[int], policy: Policy) -> None:
    room, total = HUNDRED - policy.reserve_percent, sum(percents.values(), ZERO)
    if total <= room:
        return
    even = normalised(percents, locked=locked, whole=room)
    beside = f" beside a reserve of {plain(policy.reserve_percent)} %" if policy.reserve_percent else ""
    fits = sum(even.values(), ZERO) <= room
    listed = ", ".join(f"{known[book_id].label} {plain(percent)}" for book_id, percent in even.items())
    remedy = f" Scaled to fit: {listed}." if fits else " Unlock a share or lower the reserve."
    raise PlanRefused(
        "ALLOCATION_ABOVE_TOTAL",
        f"The shares would add up to {plain(total)} percent; {plain(room)} is all there is{beside}.{remedy}",
        sum=plain(total),
        room=plain(room),
        even={str(book_id): plain(percent) for book_id, percent in even.items()} if fits else {},
    )


def _check_percent(what: str, percent: Decimal) -> None:
    if not percent.is_finite() or not ZERO <= percent <= HUNDRED:
        raise PlanRefused("ALLOCATION_OUT_OF_RANGE", f"{what}: a share must be between 0 and 100 percent, not {percent}.")
    if percent % GRAIN != ZERO:
        raise PlanRefused("ALLOCATION_TOO_FINE", f"{what}: a share has at most four decimals, not {percent}.")
