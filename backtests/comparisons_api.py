"""Addresses of comparisons: ask what plans would have done, watch, stop, and look at them side by side."""

from __future__ import annotations

from typing import Annotated, Any

from django.http import Http404, HttpRequest, HttpResponse
from django.utils import timezone
from ninja import Body, Router, Status
from ninja.errors import HttpError

from backtests import folders, services
from backtests.comparison_view import comparison_view, curves_view
from backtests.models import ComparedPlan, PlanComparison
from backtests.reports import document
from backtests.schemas import PlanComparisonIn, PlanComparisonOut, PlanComparisonsOut, PlanCurvesOut
from backtests.selectors import comparisons
from marketdata.schemas import Limit, Nothing, RowId

router = Router(tags=["comparisons"])
Empty = Annotated[Nothing | None, Body()]


@router.post("/simulations", response={201: PlanComparisonOut})
def request_comparison(request: HttpRequest, payload: PlanComparisonIn) -> Status[dict[str, Any]]:
    """Ask what plans of a whole account would have done; workers simulate them one by one."""
    assert request.user.is_authenticated
    folders.demand_right(request, payload.folder)
    try:
        found = services.request_comparison(spec=payload.to_spec(), by=request.user, now=timezone.now())
    except (ValueError, LookupError) as error:
        raise HttpError(422, str(error)) from error
    return Status(201, comparison_view(found, now=timezone.now()))


@router.get("/simulations", response=PlanComparisonsOut)
def newest_comparisons(request: HttpRequest, limit: Limit = 50) -> dict[str, Any]:
    """List the comparisons, newest first."""
    now = timezone.now()
    return {"items": [comparison_view(found, now=now) for found in comparisons.newest_comparisons(limit=limit)]}


@router.get("/simulations/{comparison_id}", response=PlanComparisonOut)
def comparison(request: HttpRequest, comparison_id: RowId) -> dict[str, Any]:
    """Return a comparison: its plans, how far they are, and what came of those that are done."""
    return comparison_view(_found(comparison_id), now=timezone.now())


@router.get("/simulations/{comparison_id}/curves", response=PlanCurvesOut)
def curves(request: HttpRequest, comparison_id: RowId) -> dict[str, Any]:
    """Return equity and drawdown of every plan that is done, and of buying and holding."""
    return {"items": curves_view(_found(comparison_id))}


@router.get("/simulations/{comparison_id}/file", openapi_extra=document.DESCRIBED)
def comparison_file(request: HttpRequest, comparison_id: RowId) -> HttpResponse:
    """Return the plans that are done as one file that opens anywhere and asks nobody for anything."""
    found = _found(comparison_id)
    if not any(plan.state == ComparedPlan.State.DONE for plan in comparisons.plans(found)):
        raise Http404(f"No plan of comparison {comparison_id} is done")
    return document.download_comparison(found, now=timezone.now())


@router.post("/simulations/{comparison_id}/cancel", response=PlanComparisonOut)
def cancel_comparison(
    request: HttpRequest, comparison_id: RowId, payload: Annotated[Nothing | None, Body()] = None
) -> dict[str, Any]:
    """Stop a comparison; the plans that are done stay."""
    _found(comparison_id)
    found = services.cancel_comparison(comparison_id=comparison_id, now=timezone.now())
    return comparison_view(found, now=timezone.now())


def _found(comparison_id: int) -> PlanComparison:
    try:
        return comparisons.comparison(comparison_id)
    except comparisons.NoSuchComparison as error:
        raise Http404(str(error)) from error
