"""Keep the accounts of a family at their shares: shares set by a person, transfers proposed, and sent at one word."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from django.db import transaction

from portfolio.models import Account, AccountTransfer
from portfolio.selectors import families
from portfolio.services.transfers import TransferWish, UnableToTransfer, left_today, request_transfers
from portfolio.writers import accounts, audit
from trading.allocations import HUNDRED, PlanRefused
from trading.ledger import ZERO, exactly, plain
from trading.rebalancing import Move, Purse, check_percents, even_out

if TYPE_CHECKING:
    from django.contrib.auth.models import User

REASON = "even out"


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Where one account stands: the share it should have, what that comes to, what it has, and why less is moved."""

    account_id: int
    name: str
    percent: Decimal
    target: Decimal
    equity: Decimal
    held_back: str = ""

    @property
    def off(self) -> Decimal:
        """Return what it has too much (above zero) or too little."""
        return self.equity - self.target


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposals:
    """What should move; with a code nothing can be proposed now."""

    master_id: int
    band_percent: Decimal
    standings: tuple[Standing, ...]
    moves: tuple[Move, ...]
    code: str = ""
    message: str = ""


@exactly
def set_targets(
    *,
    master_id: int,
    percents: Mapping[int, Decimal | None],
    by: User | None,
    now: datetime,
    band_percent: Decimal | None = None,
    request_id: str = "",
) -> None:
    """Set the shares that sub-accounts should have of what the family is worth; the rest is the master's. Moves nothing.

    A share of None takes an account out of it; accounts that are not named keep theirs.
    """
    with transaction.atomic():
        master = accounts.lock(master_id)
        if master.master_id is not None:
            raise UnableToTransfer("TRANSFER_NOT_MASTER", f"{master.name} is a sub-account: shares belong to its master.")
        subs = {row.pk: row for row in Account.objects.select_for_update().filter(master=master).order_by("id")}
        unknown = sorted(percents.keys() - subs.keys())
        if unknown:
            raise UnableToTransfer("ACCOUNT_UNKNOWN", f"{master.name} has no sub-account {unknown[0]}.")
        band = master.target_band_percent if band_percent is None else band_percent
        before = {account_id: row.target_percent for account_id, row in subs.items()}
        after = before | dict(percents)
        _demand_shares({account_id: one for account_id, one in after.items() if one is not None}, band)
        for account_id, row in subs.items():
            if before[account_id] != after[account_id]:
                row.target_percent = after[account_id]
                accounts.changed(row, "target_percent")
        was_band, master.target_band_percent = master.target_band_percent, band
        accounts.changed(master, "target_band_percent")
        audit.record(
            action="transfer.targets",
            subject=f"account:{master.pk}",
            actor=by,
            before=_words(before, was_band),
            after=_words(after, band),
            now=now,
            request_id=request_id,
        )


@exactly
def propose_transfers(master_id: int, *, now: datetime) -> Proposals:
    """Say which transfers would bring the family back to its shares, within its limits and what is free."""
    rows = families.accounts_of(master_id)
    master = rows[0]
    members = {member.account_id: member for member in families.family(master_id, now=now).members}
    given = {row.pk: row.target_percent for row in rows[1:] if row.target_percent is not None}
    percents = {master.pk: HUNDRED - sum(given.values(), ZERO)} | given
    purses = [
        Purse(
            account_id=number,
            equity=members[number].equity,
            free=members[number].free,
            percent=percent,
            is_reachable=members[number].is_enabled and not members[number].residuals,
        )
        for number, percent in percents.items()
    ]
    per_transfer, per_day = master.transfer_max or ZERO, left_today(master, now=now) or ZERO
    found = even_out(purses, band_percent=master.target_band_percent, per_transfer=per_transfer, per_day=per_day)
    code, message = _why_not(master, given)
    return Proposals(
        master_id=master.pk,
        band_percent=master.target_band_percent,
        standings=tuple(
            Standing(
                account_id=number,
                name=members[number].name,
                percent=percent,
                target=found.targets[number],
                equity=members[number].equity,
                held_back=found.held_back.get(number, ""),
            )
            for number, percent in percents.items()
        ),
        moves=() if code else found.moves,
        code=code,
        message=message,
    )


@exactly
def execute_proposals(
    *, master_id: int, moves: Sequence[Move], by: User | None, now: datetime, reason: str = "", request_id: str = ""
) -> list[AccountTransfer]:
    """Send what was proposed and looked at, all or none; refused where it would not even out any more."""
    with transaction.atomic():
        # Nobody changes limits, shares or transfers of the family between the look and the recording.
        accounts.lock(master_id)
        proposed = propose_transfers(master_id, now=now)
        if proposed.code:
            raise UnableToTransfer(proposed.code, proposed.message)
        _demand_useful(moves, proposed)
        wishes = [
            TransferWish(
                sender_id=move.sender_id,
                receiver_id=move.receiver_id,
                asset=Account.objects.values_list("quote_asset", flat=True).get(id=master_id),
                amount=move.amount,
                recall=True,
                reason=(reason or REASON)[:200],
            )
            for move in moves
        ]
        return request_transfers(wishes, by=by, now=now, request_id=request_id)


def _why_not(master: Account, given: Mapping[int, Decimal]) -> tuple[str, str]:
    if not given:
        return "TARGETS_UNSET", "No sub-account has a share of the family yet: set shares first."
    if master.transfer_max is None or master.transfer_max_day is None:
        return "TRANSFER_LIMIT_UNSET", f"{master.name} has no limits for transfers: set them first."
    if families.is_moving(master.pk):
        return "TRANSFER_UNDER_WAY", "Transfers are under way: what is still needed is known when they have ended."
    return "", ""


def _demand_useful(moves: Sequence[Move], proposed: Proposals) -> None:
    """Refuse moves that would overshoot: prices have gone on since somebody looked at them."""
    if not moves:
        raise UnableToTransfer("PROPOSALS_NONE", "Name at least one of the proposed transfers.")
    total = sum((standing.equity for standing in proposed.standings), ZERO)
    slack = max(total, ZERO) * proposed.band_percent / HUNDRED
    off = {standing.account_id: standing.off for standing in proposed.standings}
    for move in moves:
        off[move.sender_id] = off.get(move.sender_id, ZERO) - move.amount
        off[move.receiver_id] = off.get(move.receiver_id, ZERO) + move.amount
    was = {standing.account_id: standing.off for standing in proposed.standings}
    for number in sorted({number for move in moves for number in (move.sender_id, move.receiver_id)}):
        if number not in was or _is_worse(was[number], off[number], slack):
            raise UnableToTransfer(
                "PROPOSAL_STALE", "The proposals are not what they were: prices or shares have changed. Look at them again."
            )


def _is_worse(was: Decimal, becomes: Decimal, slack: Decimal) -> bool:
    """Say whether an account would be further off, or off to the other side, by more than the band."""
    return abs(becomes) > slack and (was * becomes <= ZERO or abs(becomes) > abs(was))


def _demand_shares(percents: Mapping[int, Decimal], band: Decimal) -> None:
    try:
        check_percents(percents, band)
    except PlanRefused as refused:
        raise UnableToTransfer(refused.code, str(refused)) from refused


def _words(percents: Mapping[int, Decimal | None], band: Decimal) -> dict[str, str]:
    shares = {f"account:{number}": "none" if one is None else plain(one) for number, one in sorted(percents.items())}
    return shares | {"band": plain(band)}
