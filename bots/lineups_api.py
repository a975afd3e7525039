"""Addresses of line-ups: what ships, what one would do, carrying one out, and exporting what there is."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from django.http import Http404, HttpRequest
from django.utils import timezone
from ninja import Router, Schema
from pydantic import Field

from bots import lineups
from bots.lineup_view import lineup_view
from bots.services.lineups import UnableToLineUp, apply_lineup, diff_lineup, export_lineup
from marketdata.schemas import Amount, Payload, RowId, shown
from portfolio.models import Account
from portfolio.schemas import PageOut
from portfolio.selectors import lists

router = Router(tags=["line-ups"])
Key = Annotated[str, Field(max_length=32)]


class ShippedOut(Schema):
    """A line-up that ships with the product, as the content of its plan file; `errors` says why it cannot be used."""

    name: str
    plan: dict[str, Any]
    errors: list[str]


class LineupIn(Payload):
    """Which line-up: the name of a shipped one, or the content of a plan file.

    Bots named in `without` are left out and their shares stay unallocated; `version` is that of the shares looked at.
    """

    model_config = shown({"name": "A", "without": ["GRID_TRADING"], "start": False})

    name: Literal["A", "B", ""] = ""
    plan: dict[str, Any] | None = None
    without: Annotated[list[Key], Field(max_length=50)] = []
    account: RowId | None = None
    version: Annotated[int, Field(ge=0, le=2**63 - 1)] | None = None
    start: bool = False


class ChangeOut(Schema):
    """One thing about a bot that a line-up changes."""

    field: str
    before: str
    after: str


class StepOut(Schema):
    """What a line-up does to one bot: create, change, keep or leave."""

    action: str
    key: str
    bot: str
    percent_before: Amount
    percent_after: Amount
    strategy: str
    symbols: list[str]
    changes: list[ChangeOut]


class LineupOut(Schema):
    """What a line-up does, and what is in the way of it."""

    name: str
    is_empty: bool
    obstacles: list[str]
    steps: list[StepOut]


@router.get("/lineups", response=PageOut[ShippedOut])
def shipped(request: HttpRequest) -> dict[str, Any]:
    """List the line-ups that ship with the product."""
    return {"items": [_shipped(name) for name in lineups.SHIPPED]}


@router.get("/lineups/export", response=dict[str, Any])
def export(request: HttpRequest, account: RowId | None = None) -> dict[str, Any]:
    """Return the account's bots and shares as the content of a plan file."""
    return lineups.content_of(export_lineup(_account(account).pk))


@router.post("/lineups/preview", response=LineupOut)
def preview(request: HttpRequest, payload: LineupIn) -> dict[str, Any]:
    """Say what a line-up would do, and change nothing."""
    return lineup_view(diff_lineup(account_id=_account(payload.account).pk, plan=_plan(payload)))


@router.post("/lineups/apply", response=LineupOut)
def apply(request: HttpRequest, payload: LineupIn) -> dict[str, Any]:
    """Create, change and stop bots and set their shares as a line-up says: all of it or nothing."""
    assert request.user.is_authenticated
    done = apply_lineup(
        account_id=_account(payload.account).pk,
        plan=_plan(payload),
        by=request.user,
        now=timezone.now(),
        expected=payload.version,
        is_starting=payload.start,
    )
    return lineup_view(done)


def _plan(payload: LineupIn) -> lineups.Plan:
    """Read the plan asked for; everything that is wrong with it is told at once."""
    try:
        if payload.plan is not None and not payload.name:
            return lineups.plan_of(payload.plan, without=payload.without)
        if payload.name and payload.plan is None:
            path = lineups.SHIPPED[payload.name]
            return lineups.parse(path.read_text(encoding="utf-8"), source=f"Line-up {payload.name}", without=payload.without)
    except lineups.BadPlan as bad:
        raise UnableToLineUp("LINEUP_INVALID", bad.errors) from bad
    raise UnableToLineUp("LINEUP_INVALID", ["Say either the name of a shipped line-up or the content of a plan file."])


def _shipped(name: str) -> dict[str, Any]:
    try:
        return {"name": name, "plan": lineups.content_of(lineups.load(lineups.SHIPPED[name])), "errors": []}
    except lineups.BadPlan as bad:
        return {"name": name, "plan": {}, "errors": list(bad.errors)}


def _account(account_id: int | None) -> Account:
    found = lists.shown_account() if account_id is None else lists.accounts().filter(id=account_id).first()
    if found is None:
        raise Http404("There is no such account.")
    return found
