"""A master and its sub-accounts as the API, the page and the command tell of them."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Any

from portfolio.models import Account, AccountTransfer
from portfolio.selectors.families import Member, family, transfers_of
from portfolio.selectors.worth import consistent_read
from portfolio.services.rebalancing import Proposals
from portfolio.services.transfers import TransferPreview, left_today

_TRANSFERS = 20


def family_view(account: Account, *, now: datetime) -> dict[str, Any]:
    """Tell of the family that an account belongs to, all of one moment, with its newest transfers."""
    with consistent_read():
        master = Account.objects.get(id=account.master_id or account.pk)
        found = family(master.pk, now=now)
        return {
            "equity": found.equity,
            "funded": found.funded,
            "pnl": found.pnl,
            "is_exact": found.is_exact,
            "limits": {
                "per_transfer": master.transfer_max,
                "per_day": master.transfer_max_day,
                "left_today": left_today(master, now=now),
            },
            "accounts": [_member(member) for member in found.members],
            "transfers": [transfer_view(row) for row in transfers_of(master.pk, limit=_TRANSFERS)],
        }


def transfer_view(row: AccountTransfer) -> dict[str, Any]:
    """Tell of one transfer."""
    return {
        "id": row.client_id,
        "sender": row.sender_id,
        "receiver": row.receiver_id,
        "asset": row.asset,
        "amount": row.amount,
        "recalled": row.recalled,
        "state": row.state,
        "says": row.get_state_display(),
        "outcome": row.outcome,
        "reason": row.reason,
        "requested_by": row.requested_by.get_username() if row.requested_by else "system",
        "recorded_at": row.recorded_at,
        "sent_at": row.sent_at,
        "ended_at": row.ended_at,
    }


def preview_view(preview: TransferPreview) -> dict[str, Any]:
    """Tell what a transfer would do."""
    return {
        "sender": preview.sender.pk,
        "receiver": preview.receiver.pk,
        "asset": preview.asset,
        "amount": preview.amount,
        "value": preview.value,
        "sender_unallocated": preview.free.unallocated,
        "sender_free": preview.free.total,
        "recalled": preview.recalled,
        "sender_after": preview.free.total - (0 if preview.code else preview.amount),
        "receiver_after": preview.receiver_before + (0 if preview.code else preview.amount),
        "left_today": preview.left_today,
        "code": preview.code,
        "message": preview.message,
    }


def proposals_view(proposals: Proposals) -> dict[str, Any]:
    """Tell what should move."""
    return {
        "account": proposals.master_id,
        "band_percent": proposals.band_percent,
        "standings": [
            {
                "account": standing.account_id,
                "name": standing.name,
                "percent": standing.percent,
                "target": standing.target,
                "equity": standing.equity,
                "off": standing.off,
                "held_back": standing.held_back,
            }
            for standing in proposals.standings
        ],
        "moves": [{"sender": move.sender_id, "receiver": move.receiver_id, "amount": move.amount} for move in proposals.moves],
        "code": proposals.code,
        "message": proposals.message,
    }


def _member(member: Member) -> dict[str, Any]:
    facts = asdict(member)
    return {"account": facts.pop("account_id"), **facts}
