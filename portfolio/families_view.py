"""A master and its sub-accounts as the API and the command tell of them."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from portfolio.models import Account, AccountTransfer
from portfolio.selectors.families import Member, family, transfers_of
from portfolio.selectors.worth import consistent_read

_TRANSFERS = 20


def family_view(account: Account) -> dict[str, Any]:
    """Tell of the family that an account belongs to, all of one moment, with its newest transfers."""
    master_id = account.master_id or account.pk
    with consistent_read():
        found = family(master_id)
        return {
            "equity": found.equity,
            "pnl": found.pnl,
            "is_exact": found.is_exact,
            "accounts": [_member(member) for member in found.members],
            "transfers": [_transfer(row) for row in transfers_of(master_id, limit=_TRANSFERS)],
        }


def _member(member: Member) -> dict[str, Any]:
    facts = asdict(member)
    return {"account": facts.pop("account_id"), **facts}


def _transfer(row: AccountTransfer) -> dict[str, Any]:
    return {
        "id": row.client_id,
        "sender": row.sender_id,
        "receiver": row.receiver_id,
        "asset": row.asset,
        "amount": row.amount,
        "state": row.state,
        "outcome": row.outcome,
        "recorded_at": row.recorded_at,
        "ended_at": row.ended_at,
    }
