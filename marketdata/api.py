"""Addresses that tell of market data."""

from __future__ import annotations

from typing import Annotated, Any

from django.http import Http404, HttpRequest
from ninja import Router
from pydantic import Field

from marketdata import selectors
from marketdata.models import Instrument
from marketdata.schemas import CandleOut, CoverageOut, InstrumentOut, Moment

router = Router(tags=["market data"])


@router.get("/history/coverage", response=dict[str, list[CoverageOut]])
def history_coverage(request: HttpRequest) -> dict[str, Any]:
    """List what is stored of each followed interval, and its gaps."""
    return {"items": selectors.coverage()}


@router.get("/instruments", response=dict[str, list[InstrumentOut]])
def instruments(request: HttpRequest) -> dict[str, Any]:
    """List the instruments of the markets that enabled accounts trade on."""
    found = Instrument.objects.filter(market__in=selectors.markets_to_feed()).order_by("market_id", "symbol")
    return {"items": list(found)}


@router.get("/candles", response=dict[str, list[CandleOut]])
def candles(
    request: HttpRequest,
    symbol: Annotated[str, Field(max_length=32)],
    interval: Annotated[str, Field(max_length=4)],
    until: Moment | None = None,
    limit: Annotated[int, Field(ge=1, le=1500)] = 500,
) -> dict[str, Any]:
    """List the newest closed candles, oldest first."""
    instrument = Instrument.objects.filter(market__in=selectors.markets_to_feed(), symbol=symbol).order_by("id").last()
    if instrument is None:
        raise Http404("There is no such symbol.")
    return {"items": selectors.candles(instrument_id=instrument.pk, interval=interval, end_at=until, bars=limit)}
