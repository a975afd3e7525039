"""Which transfers bring the accounts of a family back to their shares: proposed here, sent by nobody without a person."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from trading.allocations import HUNDRED, PlanRefused, target_of
from trading.ledger import CENT, ZERO, exactly, floor_to, plain

GRAIN: Final = Decimal("0.0001")
# Why an account moves less than it is off, or nothing.
IN_BAND: Final = "in_band"
TIED_UP: Final = "CAPITAL_INSUFFICIENT"
OVER_ONE: Final = "TRANSFER_LIMIT"
OVER_DAY: Final = "TRANSFER_LIMIT_DAY"


@dataclass(frozen=True, slots=True, kw_only=True)
class Purse:
    """An account as a proposal looks at it, in quote: what it is worth, what could leave it, what share it should have."""

    account_id: int
    equity: Decimal
    free: Decimal
    percent: Decimal
    is_reachable: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """A transfer that would bring both ends closer to their shares."""

    sender_id: int
    receiver_id: int
    amount: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Evened:
    """What should move, what each account should be worth, and why some move less than they are off."""

    moves: tuple[Move, ...]
    targets: Mapping[int, Decimal]
    held_back: Mapping[int, str]


@exactly
def check_percents(percents: Mapping[int, Decimal], band: Decimal) -> None:
    """Refuse shares of a family that cannot be kept: what they leave is the master's."""
    for what, percent in [("The band", band), *((f"The share of account {number}", one) for number, one in percents.items())]:
        if not percent.is_finite() or not ZERO <= percent <= HUNDRED or percent % GRAIN != ZERO:
            raise PlanRefused("TARGET_PERCENT", f"{what} must lie between 0 and 100 with at most four decimals, not {percent}.")
    total = sum(percents.values(), ZERO)
    if total > HUNDRED:
        raise PlanRefused("TARGET_SUM", f"The shares add up to {plain(total)} %: more than there is.")


@exactly
def even_out(purses: Sequence[Purse], *, band_percent: Decimal, per_transfer: Decimal, per_day: Decimal) -> Evened:
    """Match accounts that have too much with those that have too little, the largest differences first.

    Whoever is inside the band moves only to meet somebody who is not. No move is above `per_transfer`, and all together are
    not above `per_day`; nobody gives more than is free.
    """
    total = sum((purse.equity for purse in purses), ZERO)
    targets = {purse.account_id: target_of(total, purse.percent) for purse in purses}
    band = max(total, ZERO) * band_percent / HUNDRED
    off = {purse.account_id: purse.equity - targets[purse.account_id] for purse in purses}
    inside = {account_id for account_id, difference in off.items() if abs(difference) <= band}
    held_back = {account_id: IN_BAND for account_id in inside if abs(off[account_id]) >= CENT}
    gives = {purse.account_id: _cents(min(off[purse.account_id], purse.free)) for purse in purses if purse.is_reachable}
    for purse in purses:
        if purse.account_id not in inside and purse.free < off[purse.account_id]:
            held_back[purse.account_id] = TIED_UP
    takes = {purse.account_id: _cents(-off[purse.account_id]) for purse in purses if purse.is_reachable}
    moves, capped = [], dict[int, str]()
    left_today = per_day
    for sender, receiver in _pairs(gives, takes, inside):
        wanted = min(gives[sender], takes[receiver])
        amount = _cents(min(wanted, per_transfer, left_today))
        if amount < wanted:
            capped[receiver] = OVER_ONE if amount == _cents(per_transfer) else OVER_DAY
        if amount <= ZERO:
            continue
        moves.append(Move(sender_id=sender, receiver_id=receiver, amount=amount))
        gives[sender] -= amount
        takes[receiver] -= amount
        left_today -= amount
    # Whom one could not fill the next one may have.
    held_back |= {account_id: why for account_id, why in capped.items() if takes[account_id] > ZERO}
    return Evened(moves=tuple(moves), targets=targets, held_back=held_back)


def _pairs(gives: Mapping[int, Decimal], takes: Mapping[int, Decimal], inside: set[int]) -> list[tuple[int, int]]:
    """List who could give to whom, the largest first; what an earlier pair used up is nothing for a later one."""
    senders = sorted((number for number in gives if gives[number] > ZERO), key=lambda number: (-gives[number], number))
    receivers = sorted((number for number in takes if takes[number] > ZERO), key=lambda number: (-takes[number], number))
    return [(one, other) for one in senders for other in receivers if not (one in inside and other in inside)]


def _cents(amount: Decimal) -> Decimal:
    return floor_to(max(amount, ZERO), CENT)
