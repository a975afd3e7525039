"""Addresses of modes: who trades when, and what a change would do."""

from __future__ import annotations

from typing import Any

from django.http import Http404, HttpRequest
from django.utils import timezone
from ninja import Router

from bots import services
from bots.mode_schemas import ModeIn, ModeOut, PreviewOut, RotationIn, RotationOut, RotationReadIn, RotationReadOut
from bots.mode_view import earned_rows, mode_view
from bots.selectors import bots as bots_of
from marketdata.schemas import RowId
from portfolio.models import Account
from portfolio.selectors import lists
from trading.rotation import Policy

router = Router(tags=["modes"])


@router.get("/mode", response=ModeOut)
def mode(request: HttpRequest, account: RowId | None = None) -> dict[str, Any]:
    """Say how the account is shared, who may enter now, and who comes next."""
    return mode_view(_account(account))


@router.put("/mode", response=ModeOut)
def replace_mode(request: HttpRequest, payload: ModeIn) -> dict[str, Any]:
    """Share the account in another way; the mode in force again changes nothing."""
    return _switch(request, payload.account, _wish(payload), payload.reason)


@router.post("/mode", response=ModeOut)
def set_mode(request: HttpRequest, payload: ModeIn) -> dict[str, Any]:
    """Share the account in another way, once per Idempotency-Key."""
    return _switch(request, payload.account, _wish(payload), payload.reason)


@router.post("/mode/preview", response=PreviewOut)
def preview_mode(request: HttpRequest, payload: ModeIn) -> Any:
    """Show what a switch would do to holdings and orders, and what is wrong with a rotation; change nothing."""
    return services.preview_switch(account_id=_account(payload.account).pk, wish=_wish(payload), now=timezone.now())


@router.get("/rotation", response=RotationOut)
def rotation(request: HttpRequest, account: RowId | None = None) -> dict[str, Any]:
    """Return the slots as text, the next switches, and what each bot has earned by hour of the day."""
    found = _account(account)
    view = mode_view(found)
    rows = earned_rows(found, list(bots_of(found.pk)), zone=view["zone"])
    return view | {"earned": [{"bot": row.bot.name, "hours": row.hours, "total": row.total} for row in rows]}


@router.post("/rotation/read", response=RotationReadOut)
def read_rotation(request: HttpRequest, payload: RotationReadIn) -> dict[str, Any]:
    """Read slots as text and say what is wrong with them; change nothing."""
    read = services.read_rotation(account_id=_account(payload.account).pk, text=payload.rotation)
    slots = [
        {
            "days": sorted(slot.days),
            "begin_minute": slot.begin_minute,
            "end_minute": slot.end_minute,
            "bot": slot.bot,
            "policy": str(slot.policy),
            "wait_minutes": slot.wait_minutes,
        }
        for slot in read.rotation.slots
    ]
    facts = {"zone": read.rotation.zone, "is_gap_idle": read.rotation.is_gap_idle}
    return facts | {"rotation": read.text, "slots": slots, "findings": read.findings}


@router.put("/rotation", response=ModeOut)
def replace_rotation(request: HttpRequest, payload: RotationIn) -> dict[str, Any]:
    """Have the bots take turns in these slots."""
    return _switch(request, payload.account, _turns(payload), payload.reason)


@router.post("/rotation", response=ModeOut)
def set_rotation(request: HttpRequest, payload: RotationIn) -> dict[str, Any]:
    """Have the bots take turns in these slots, once per Idempotency-Key."""
    return _switch(request, payload.account, _turns(payload), payload.reason)


def _switch(request: HttpRequest, account_id: int | None, wish: services.Wish, reason: str) -> dict[str, Any]:
    account = _account(account_id)
    key = request.headers.get("Idempotency-Key", "")[:64]
    now = timezone.now()
    services.switch_mode(account_id=account.pk, wish=wish, by=request.user, now=now, reason=reason, request_id=key)  # type: ignore[arg-type]
    return mode_view(_account(account.pk))


def _wish(payload: ModeIn) -> services.Wish:
    return services.Wish(
        mode=payload.mode,
        bot=payload.bot or "",
        budget=payload.budget,
        policy=Policy(payload.policy),
        wait_minutes=payload.wait_minutes,
        rotation=payload.rotation or "",
    )


def _turns(payload: RotationIn) -> services.Wish:
    return services.Wish(
        mode="rotation",
        budget=payload.budget,
        policy=Policy(payload.policy),
        wait_minutes=payload.wait_minutes,
        rotation=payload.rotation,
    )


def _account(account_id: int | None) -> Account:
    found = lists.shown_account() if account_id is None else lists.accounts().filter(id=account_id).first()
    if found is None:
        raise Http404("There is no such account.")
    return found
