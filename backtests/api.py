"""Addresses of sweeps: ask for one, watch it, stop it, look at what it found."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

from django.http import Http404, HttpRequest
from django.utils import timezone
from ninja import Body, Router, Status
from ninja.errors import HttpError
from pydantic import Field

from backtests import folders, services
from backtests.models import Sweep
from backtests.schemas import HeatMapOut, SweepIn, SweepOut, SweepsOut, TrialsOut
from backtests.selectors import sweeps
from marketdata.schemas import Limit, Nothing, RowId

router = Router(tags=["sweeps"])
Name = Annotated[str, Field(max_length=64)]


@router.post("/sweeps", response={201: SweepOut})
def request_sweep(request: HttpRequest, payload: SweepIn) -> Status[dict[str, Any]]:
    """Ask for a sweep; workers try it chunk by chunk."""
    assert request.user.is_authenticated
    folders.demand_right(request, payload.folder)
    try:
        sweep = services.request_sweep(spec=payload.to_spec(), by=request.user, now=timezone.now())
    except ValueError as error:
        raise HttpError(422, str(error)) from error
    return Status(201, _shown(sweep))


@router.get("/sweeps", response=SweepsOut)
def newest(request: HttpRequest, limit: Limit = 50) -> dict[str, Any]:
    """List the sweeps, newest first."""
    return {"items": [_shown(sweep) for sweep in sweeps.newest_sweeps(limit=limit)]}


@router.get("/sweeps/{sweep_id}", response=SweepOut)
def sweep(request: HttpRequest, sweep_id: RowId) -> dict[str, Any]:
    """Return a sweep: what it tries and how far it is."""
    return _shown(_found(sweep_id))


@router.post("/sweeps/{sweep_id}/cancel", response=SweepOut)
def cancel(request: HttpRequest, sweep_id: RowId, payload: Annotated[Nothing | None, Body()] = None) -> dict[str, Any]:
    """Stop a sweep; what it found stays."""
    _found(sweep_id)
    return _shown(services.cancel_sweep(sweep_id=sweep_id, now=timezone.now()))


@router.get("/sweeps/{sweep_id}/heatmap", response=HeatMapOut)
def heat_map(request: HttpRequest, sweep_id: RowId, x: Name = "", y: Name = "", figure: Name = "sharpe") -> dict[str, Any]:
    """Lay one figure over two parameters: medians over the others, and the plateaus of neighbours."""
    found = _found(sweep_id)
    axes = sorted(found.grid, key=lambda name: -len(found.grid[name]))
    x, y = x or axes[0], y or axes[-1 if len(axes) < 2 else 1]
    table = sweeps.results(found)
    if table is None:
        raise Http404("No trial is finished yet.")
    try:
        drawn = sweeps.heat_map(table, grid=found.grid, x=x, y=y, figure=figure)
    except sweeps.NoSuchAxis as error:
        raise HttpError(422, str(error)) from error
    return {**asdict(drawn), "trials": table.num_rows}


@router.get("/sweeps/{sweep_id}/trials", response=TrialsOut)
def trials(request: HttpRequest, sweep_id: RowId, figure: Name = "sharpe", limit: Limit = 100) -> dict[str, Any]:
    """List the trials with the highest figure."""
    found = _found(sweep_id)
    table = sweeps.results(found)
    if table is None:
        raise Http404("No trial is finished yet.")
    try:
        items = sweeps.best(table, figure=figure, limit=limit)
    except sweeps.NoSuchAxis as error:
        raise HttpError(422, str(error)) from error
    return {"figure": figure, "parameters": sorted(found.grid), "items": items, "trials": table.num_rows}


def _found(sweep_id: int) -> Sweep:
    try:
        return sweeps.sweep(sweep_id)
    except sweeps.NoSuchSweep as error:
        raise Http404(str(error)) from error


def _shown(found: Sweep) -> dict[str, Any]:
    names = SweepOut.model_fields.keys() - {"trials_done", "trials_per_second", "seconds_left", "note"}
    return {**asdict(sweeps.progress(found, now=timezone.now())), **{name: getattr(found, name) for name in names}}
