"""Addresses that tell of market data."""

from __future__ import annotations

from typing import Annotated, Any

from django.conf import settings
from django.http import Http404, HttpRequest, StreamingHttpResponse
from django.utils import timezone
from ninja import Body, Router, Status
from pydantic import Field

from marketdata import comparisons, downloads, selectors, services
from marketdata.candles import moment
from marketdata.history import catalog, folders, jobs
from marketdata.history.files import UnreadableFile
from marketdata.models import HistoryJob, Instrument
from marketdata.schemas import (
    CalendarOut,
    CandleOut,
    ComparisonOut,
    CoverageOut,
    ExportIn,
    FetchIn,
    FiltersOut,
    HistoryJobOut,
    ImportIn,
    InstrumentOut,
    ItemsOut,
    Limit,
    Moment,
    Nothing,
    RowId,
    SeriesOut,
    SourceOut,
    WaitingFileOut,
)
from marketdata.sources import showing

router = Router(tags=["market data"])


@router.get("/history/coverage", response=ItemsOut[CoverageOut])
def history_coverage(request: HttpRequest) -> dict[str, Any]:
    """List what the feeds keep of each followed interval, and its gaps."""
    return {"items": selectors.coverage()}


@router.get("/history/series", response=ItemsOut[SeriesOut])
def history_series(request: HttpRequest) -> dict[str, Any]:
    """List what the history root holds, and every gap."""
    return {"items": [_described(one) for one in catalog.series(settings.HISTORY_ROOT)]}


@router.get("/history/calendar", response=CalendarOut)
def history_calendar(
    request: HttpRequest,
    symbol: Annotated[str, Field(max_length=32)],
    interval: Annotated[str, Field(max_length=4)],
    exchange: Annotated[str, Field(max_length=32)] = "binance",
) -> dict[str, Any]:
    """Count what is missing of each day of a series."""
    try:
        one = catalog.find(settings.HISTORY_ROOT, exchange=exchange, symbol=symbol, interval=interval)
    except catalog.NoHistory as error:
        raise Http404("There is no such series.") from error
    days = catalog.calendar(one)
    return {
        "exchange": one.exchange,
        "symbol": one.symbol,
        "interval": one.interval,
        "dates": [day.date for day in days],
        "expected": [day.expected for day in days],
        "missing": [day.missing for day in days],
    }


@router.get("/history/fetches", response=ItemsOut[HistoryJobOut])
def history_fetches(request: HttpRequest, limit: Limit = 50) -> dict[str, Any]:
    """List the newest jobs on the history root."""
    return {"items": [jobs.described(job) for job in selectors.history_jobs(limit=limit)]}


@router.post("/history/fetches", response={201: HistoryJobOut})
def request_fetch(request: HttpRequest, payload: FetchIn) -> Status[dict[str, Any]]:
    """Fetch candles into the history root; what is there is skipped."""
    assert request.user.is_authenticated
    words = payload.model_dump()
    job = services.request_fetch(**words, root=settings.HISTORY_ROOT, by=request.user, now=timezone.now())
    return Status(201, jobs.described(job))


@router.post("/history/verifications", response={201: HistoryJobOut})
def request_verification(request: HttpRequest, payload: Annotated[Nothing | None, Body()] = None) -> Status[dict[str, Any]]:
    """Check every file of the history root against its manifest."""
    assert request.user.is_authenticated
    return Status(201, jobs.described(services.request_verify(by=request.user, now=timezone.now())))


@router.get("/history/imports", response=ItemsOut[WaitingFileOut])
def waiting_files(request: HttpRequest) -> dict[str, Any]:
    """List the files that lie in the folder of imports."""
    return {"items": folders.waiting_files(settings.HISTORY_ROOT)}


@router.post("/history/imports", response={201: HistoryJobOut})
def request_import(request: HttpRequest, payload: ImportIn) -> Status[dict[str, Any]]:
    """Take in candles of other programs; every row is judged as an archive's would be."""
    assert request.user.is_authenticated
    words = payload.model_dump()
    names = words.pop("files")
    job = services.request_import(names=names, **words, root=settings.HISTORY_ROOT, by=request.user, now=timezone.now())
    return Status(201, jobs.described(job))


@router.post("/history/exports", response={201: HistoryJobOut})
def request_export(request: HttpRequest, payload: ExportIn) -> Status[dict[str, Any]]:
    """Write a series as another program reads it."""
    assert request.user.is_authenticated
    words = payload.model_dump()
    form = words.pop("format")
    job = services.request_export(form=form, **words, root=settings.HISTORY_ROOT, by=request.user, now=timezone.now())
    return Status(201, jobs.described(job))


@router.get("/history/fetches/{job_id}/file", response=None, openapi_extra=downloads.DESCRIBED)
def exported_file(request: HttpRequest, job_id: RowId) -> StreamingHttpResponse:
    """Download the file that an export wrote."""
    name = _found(job_id).outcome.get("file", "")
    try:
        return downloads.download(folders.file_of(folders.exports(settings.HISTORY_ROOT), name))
    except UnreadableFile as error:
        raise Http404("This job wrote no file, or it was removed.") from error


@router.get("/history/fetches/{job_id}", response=HistoryJobOut)
def history_job(request: HttpRequest, job_id: RowId) -> dict[str, Any]:
    """Return one job and how far it is."""
    return jobs.described(_found(job_id))


@router.post("/history/fetches/{job_id}/cancel", response=HistoryJobOut)
def cancel_history_job(request: HttpRequest, job_id: RowId, payload: Annotated[Nothing | None, Body()] = None) -> dict[str, Any]:
    """Stop a job; what it fetched stays."""
    _found(job_id)
    return jobs.described(services.cancel_history_job(job_id=job_id, now=timezone.now()))


@router.get("/sentiment", response=ItemsOut[SourceOut])
def sources(request: HttpRequest, at: Moment | None = None) -> dict[str, Any]:
    """List the sources beyond price with their newest words, as they could be known now or at a moment."""
    return {"items": showing.lines(now=at or timezone.now())}


@router.get("/instruments", response=ItemsOut[InstrumentOut])
def instruments(request: HttpRequest) -> dict[str, Any]:
    """List the instruments of the markets that enabled accounts trade on."""
    found = Instrument.objects.filter(market__in=selectors.markets_traded()).order_by("market_id", "symbol")
    return {"items": list(found)}


@router.get("/instruments/{instrument_id}/filters", response=ItemsOut[FiltersOut])
def instrument_filters(request: HttpRequest, instrument_id: RowId, at: Moment | None = None) -> dict[str, Any]:
    """List the filters of an instrument with their history, newest first; with `at`, those that held at that moment."""
    if not Instrument.objects.filter(id=instrument_id).exists():
        raise Http404("There is no such instrument.")
    found = selectors.filters_history(instrument_id)
    if at is not None:
        # Before the first ones that were seen, those.
        found = [one for one in found if one.from_at <= at][:1] or found[-1:]
    return {"items": found}


@router.get("/comparisons", response=ItemsOut[ComparisonOut])
def price_comparisons(request: HttpRequest) -> dict[str, Any]:
    """Compare the prices of every coin that two markets are followed for, in the money of the first."""
    return {"items": comparisons.comparisons(now=timezone.now())}


@router.get("/candles", response=ItemsOut[CandleOut])
def candles(
    request: HttpRequest,
    symbol: Annotated[str, Field(max_length=32)],
    interval: Annotated[str, Field(max_length=4)],
    until: Moment | None = None,
    limit: Annotated[int, Field(ge=1, le=1500)] = 500,
    market: RowId | None = None,
) -> dict[str, Any]:
    """List the newest closed candles, oldest first: of a market, or of the first one in use that has the symbol."""
    markets = selectors.markets_traded() if market is None else [market]
    instrument = Instrument.objects.filter(market__in=markets, symbol=symbol).order_by("market_id").first()
    if instrument is None:
        raise Http404("There is no such symbol.")
    return {"items": selectors.candles(instrument_id=instrument.pk, interval=interval, end_at=until, bars=limit)}


def _found(job_id: int) -> HistoryJob:
    job = selectors.history_job(job_id)
    if job is None:
        raise Http404("There is no such job.")
    return job


def _described(one: catalog.Series) -> dict[str, Any]:
    facts = {name: getattr(one, name) for name in ("exchange", "symbol", "interval", "missing", "restated", "refused")}
    gaps = [{"begin_at": moment(begin), "end_at": moment(end)} for begin, end, _count in one.gaps]
    return {**facts, "candles": one.rows, "first_at": moment(one.first), "last_at": moment(one.last), "gaps": gaps}
