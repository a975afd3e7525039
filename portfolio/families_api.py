"""Addresses of a master and its sub-accounts: seen together, money moved between them, evened out."""

from __future__ import annotations

from typing import Any

from django.http import Http404, HttpRequest
from django.utils import timezone
from ninja import Router

from marketdata.schemas import Cursor, Limit, RowId
from portfolio import services
from portfolio.families_view import family_view, preview_view, proposals_view, transfer_view
from portfolio.models import Account
from portfolio.schemas import PageOut
from portfolio.schemas.families import (
    ExecuteIn,
    FamilyOut,
    ProposalsOut,
    TargetsIn,
    TransferIn,
    TransferLimitsIn,
    TransferOut,
    TransferPreviewOut,
)
from portfolio.selectors import lists
from portfolio.selectors.families import transfers_of
from trading.rebalancing import Move

router = Router(tags=["sub-accounts"])


@router.get("/subaccounts", response=FamilyOut)
def subaccounts(request: HttpRequest, account: RowId | None = None) -> dict[str, Any]:
    """Tell of a master and its sub-accounts together, and of the newest transfers between them."""
    return family_view(_account(account), now=timezone.now())


@router.get("/subaccounts/transfers", response=PageOut[TransferOut])
def transfers(
    request: HttpRequest, account: RowId | None = None, cursor: Cursor | None = None, limit: Limit = 50
) -> dict[str, Any]:
    """List the transfers of a family, newest first, with what became of each."""
    rows = transfers_of(_master(account), cursor=None if cursor is None else int(cursor), limit=limit + 1)
    more = str(rows[limit - 1].pk) if len(rows) > limit else None
    return {"items": [transfer_view(row) for row in rows[:limit]], "next_cursor": more}


@router.post("/subaccounts/transfers/preview", response=TransferPreviewOut)
def preview_transfer(request: HttpRequest, payload: TransferIn) -> dict[str, Any]:
    """Show what a transfer would do now, or why it would be refused; change nothing."""
    return preview_view(services.preview_transfer(_wish(payload), now=timezone.now()))


@router.post("/subaccounts/transfers", response=TransferOut)
def transfer(request: HttpRequest, payload: TransferIn) -> dict[str, Any]:
    """Have money moved between two accounts of a family, once per Idempotency-Key; the master's trader carries it."""
    wish = _wish(payload)
    row = services.request_transfer(
        sender_id=wish.sender_id,
        receiver_id=wish.receiver_id,
        asset=wish.asset,
        amount=wish.amount,
        recall=wish.recall,
        reason=wish.reason,
        **_asked(request),
    )
    return transfer_view(row)


@router.post("/subaccounts/limits", response=FamilyOut)
def set_transfer_limits(request: HttpRequest, payload: TransferLimitsIn) -> dict[str, Any]:
    """Set how much may move at once and in 24 hours. Lowering is the operator's, raising the administrator's."""
    services.set_transfer_limits(
        account_id=_master(payload.account),
        per_transfer=payload.per_transfer,
        per_day=payload.per_day,
        may_raise="admin" in getattr(request, "scopes", ()),
        **_asked(request),
    )
    return family_view(_account(payload.account), now=timezone.now())


@router.post("/subaccounts/targets", response=ProposalsOut)
def set_targets(request: HttpRequest, payload: TargetsIn) -> dict[str, Any]:
    """Set the shares that sub-accounts should have of what the family is worth; moves nothing."""
    percents = {target.account: target.percent for target in payload.targets}
    if len(percents) < len(payload.targets):
        raise services.UnableToTransfer("TARGET_TWICE", "An account is named twice.")
    master_id = _master(payload.account)
    services.set_targets(master_id=master_id, percents=percents, band_percent=payload.band_percent, **_asked(request))
    return proposals_view(services.propose_transfers(master_id, now=timezone.now()))


@router.get("/subaccounts/rebalancing", response=ProposalsOut)
def proposals(request: HttpRequest, account: RowId | None = None) -> dict[str, Any]:
    """Say which transfers would bring the family back to its shares, within its limits and what is free."""
    return proposals_view(services.propose_transfers(_master(account), now=timezone.now()))


@router.post("/subaccounts/rebalancing", response=PageOut[TransferOut])
def execute_proposals(request: HttpRequest, payload: ExecuteIn) -> dict[str, Any]:
    """Send proposed transfers, all or none; refused where they would not even out any more."""
    rows = services.execute_proposals(
        master_id=_master(payload.account),
        moves=[Move(sender_id=move.sender, receiver_id=move.receiver, amount=move.amount) for move in payload.moves],
        reason=payload.reason,
        **_asked(request),
    )
    return {"items": [transfer_view(row) for row in rows]}


def _wish(payload: TransferIn) -> services.TransferWish:
    return services.TransferWish(
        sender_id=payload.sender,
        receiver_id=payload.receiver,
        asset=payload.asset,
        amount=payload.amount,
        recall=payload.recall,
        reason=payload.reason,
    )


def _account(account_id: int | None) -> Account:
    found = lists.shown_account() if account_id is None else lists.accounts().filter(id=account_id).first()
    if found is None:
        raise Http404("There is no such account.")
    return found


def _master(account_id: int | None) -> int:
    found = _account(account_id)
    return found.master_id or found.pk


def _asked(request: HttpRequest) -> dict[str, Any]:
    return {"by": request.user, "now": timezone.now(), "request_id": request.headers.get("Idempotency-Key", "")[:64]}
