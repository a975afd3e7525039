"""Addresses of backtests: ask for one, watch it, read its report, take it along as one file."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from django.http import Http404, HttpRequest, HttpResponse
from django.utils import timezone
from ninja import Body, Router, Status
from ninja.errors import HttpError
from pydantic import Field

from backtests import folders, selectors, services
from backtests.backtest_schemas import BacktestIn, BacktestOut, BacktestReportOut, BacktestsOut, ReportCandlesOut
from backtests.models import BacktestReport, BacktestRun
from backtests.reports import document
from backtests.reports.view import report_view, run_view
from backtests.selectors import reports
from marketdata.schemas import Limit, Moment, Nothing, RowId

router = Router(tags=["backtests"])
Symbol = Annotated[str, Field(max_length=32)]


@router.post("/backtests", response={201: BacktestOut})
def request_backtest(request: HttpRequest, payload: BacktestIn) -> Status[dict[str, Any]]:
    """Ask for a backtest; a worker runs it and writes its report."""
    assert request.user.is_authenticated
    folders.demand_right(request, payload.folder)
    try:
        found = services.request_backtest(spec=payload.to_spec(), by=request.user, now=timezone.now())
    except (ValueError, LookupError) as error:
        raise HttpError(422, str(error)) from error
    return Status(201, run_view(found))


@router.get("/backtests", response=BacktestsOut)
def newest_backtests(request: HttpRequest, limit: Limit = 50) -> dict[str, Any]:
    """List the backtests, newest first."""
    return {"items": [run_view(found) for found in reports.newest_runs(limit=limit)]}


@router.get("/backtests/{run_id}", response=BacktestOut)
def backtest(request: HttpRequest, run_id: RowId) -> dict[str, Any]:
    """Return a backtest: what was asked for, where it stands, and its figures."""
    return run_view(_found(run_id))


@router.post("/backtests/{run_id}/cancel", response=BacktestOut)
def cancel_backtest(request: HttpRequest, run_id: RowId, payload: Annotated[Nothing | None, Body()] = None) -> dict[str, Any]:
    """Stop a backtest that waits or runs; nothing of it is kept."""
    _found(run_id)
    return run_view(services.cancel_backtest(run_id=run_id, now=timezone.now()))


@router.get("/backtests/{run_id}/report", response=BacktestReportOut)
def report(request: HttpRequest, run_id: RowId) -> dict[str, Any]:
    """Return the report of a backtest that is done."""
    return report_view(*_reported(run_id))


@router.get("/backtests/{run_id}/candles", response=ReportCandlesOut)
def candles(request: HttpRequest, run_id: RowId, symbol: Symbol, begin_at: Moment, end_at: Moment) -> dict[str, Any]:
    """Return the candles of a stretch of a backtest, as fine as a plot can show them, and the fills among them."""
    found = _found(run_id)
    begin, end = _within(found, begin_at, end_at)
    if symbol not in (found.symbol, *found.others):
        raise HttpError(422, f"Backtest {run_id} did not trade {symbol}")
    try:
        return reports.candles_between(found, symbol=symbol, begin_at=begin, end_at=end)
    except (ValueError, LookupError) as error:
        raise HttpError(422, str(error)) from error


@router.get("/backtests/{run_id}/file", openapi_extra=document.DESCRIBED)
def report_file(request: HttpRequest, run_id: RowId) -> HttpResponse:
    """Return the report as one file that opens anywhere and asks nobody for anything."""
    return document.download(*_reported(run_id), now=timezone.now())


def _within(found: BacktestRun, begin_at: datetime, end_at: datetime) -> tuple[datetime, datetime]:
    begin, end = max(begin_at, found.begin_at), min(end_at, found.end_at)
    if begin >= end:
        raise HttpError(422, "The stretch lies outside of the backtest")
    return begin, end


def _found(run_id: int) -> BacktestRun:
    try:
        return selectors.run(run_id)
    except selectors.NoSuchRun as error:
        raise Http404(str(error)) from error


def _reported(run_id: int) -> tuple[BacktestRun, BacktestReport]:
    found = _found(run_id)
    kept = reports.report(found)
    if kept is None:
        raise Http404(f"Backtest {run_id} has no report: it is {found.state}")
    return found, kept
