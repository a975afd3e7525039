"""Addresses of trials: ask for one, watch it, end it, go on with it, compare, apply what it proposes."""

from __future__ import annotations

from typing import Annotated, Any

from django.http import Http404, HttpRequest
from django.utils import timezone
from ninja import Body, Router, Status

from backtests import folders
from marketdata.schemas import ItemsOut, Limit, Nothing, RowId
from portfolio.selectors import lists
from trials import selectors, services
from trials.models import Trial
from trials.schemas import TrialApplyIn, TrialComparisonOut, TrialIn, TrialOut, TrialPlanOut, TurnOut
from trials.telling import comparison_view, plan_view, trial_view

router = Router(tags=["trials"])
Empty = Annotated[Nothing | None, Body()]


@router.post("/trials", response={201: TrialOut})
def request_trial(request: HttpRequest, payload: TrialIn) -> Status[dict[str, Any]]:
    """Have each bot trade alone for some hours, one after another; refused with everything that is in the way."""
    folders.demand_right(request, payload.folder)
    account = lists.shown_account() if payload.account is None else lists.accounts().filter(id=payload.account).first()
    if account is None:
        raise Http404("There is no such account.")
    trial = services.request_trial(account_id=account.pk, spec=payload.to_spec(), **_asked(request))
    return Status(201, trial_view(trial, now=timezone.now()))


@router.get("/trials", response=ItemsOut[TrialOut])
def newest_trials(request: HttpRequest, limit: Limit = 50) -> dict[str, Any]:
    """List the trials, newest first."""
    now = timezone.now()
    return {"items": [trial_view(trial, now=now) for trial in selectors.newest_trials(limit=limit)]}


@router.get("/trials/{trial_id}", response=TrialOut)
def trial(request: HttpRequest, trial_id: RowId) -> dict[str, Any]:
    """Return a trial: what it tries and how far it is."""
    return trial_view(_found(trial_id), now=timezone.now())


@router.get("/trials/{trial_id}/turns", response=ItemsOut[TurnOut])
def turns(request: HttpRequest, trial_id: RowId) -> dict[str, Any]:
    """List the turns of a trial in order."""
    rows = _found(trial_id).legs.order_by("number")
    return {"items": [_turn(row) for row in rows]}


@router.get("/trials/{trial_id}/comparison", response=TrialComparisonOut)
def comparison(request: HttpRequest, trial_id: RowId) -> dict[str, Any]:
    """Compare the bots on their finished turns, propose shares, and say what the sample cannot tell."""
    found = _found(trial_id)
    return comparison_view(found, selectors.compare(found))


@router.post("/trials/{trial_id}/cancel", response=TrialOut)
def cancel_trial(request: HttpRequest, trial_id: RowId, payload: Empty = None) -> dict[str, Any]:
    """End a trial; finished turns stay, and the account goes back to the mode it had."""
    _found(trial_id)
    return trial_view(services.cancel_trial(trial_id=trial_id, **_asked(request)), now=timezone.now())


@router.post("/trials/{trial_id}/resume", response=TrialOut)
def resume_trial(request: HttpRequest, trial_id: RowId, payload: Empty = None) -> dict[str, Any]:
    """Go on with a trial that was cancelled or failed; the turn that was cut short begins anew."""
    _found(trial_id)
    return trial_view(services.resume_trial(trial_id=trial_id, **_asked(request)), now=timezone.now())


@router.post("/trials/{trial_id}/preview", response=TrialPlanOut)
def preview_proposal(request: HttpRequest, trial_id: RowId, payload: Empty = None) -> dict[str, Any]:
    """Show what applying the proposal would do to the shares; change nothing."""
    found = _found(trial_id)
    return plan_view(found, services.preview_proposal(trial_id=trial_id))


@router.post("/trials/{trial_id}/apply", response=TrialPlanOut)
def apply_proposal(request: HttpRequest, trial_id: RowId, payload: TrialApplyIn) -> dict[str, Any]:
    """Make the proposal the shares: a new version, as if an operator had set them."""
    found = _found(trial_id)
    plan = services.apply_proposal(
        trial_id=trial_id, despite_doubts=payload.despite_doubts, expected=payload.version, **_asked(request)
    )
    return plan_view(found, plan)


def _asked(request: HttpRequest) -> dict[str, Any]:
    return {"by": request.user, "now": timezone.now(), "request_id": request.headers.get("Idempotency-Key", "")[:64]}


def _found(trial_id: int) -> Trial:
    try:
        return selectors.trial(trial_id)
    except selectors.NoSuchTrial as error:
        raise Http404(str(error)) from error


def _turn(row: Any) -> dict[str, Any]:
    names = ("number", "state", "begin_at", "end_at", "pnl", "note")
    return {name: getattr(row, name) for name in names} | {"bot": row.name, "regime": row.outcome.get("regime", "")}
