"""Sources beyond price over the API: switching them, with the record of it."""

from __future__ import annotations

from typing import Annotated, Any

from django.contrib.auth.models import User
from django.http import Http404, HttpRequest
from django.utils import timezone
from ninja import Router
from pydantic import Field

from marketdata.schemas import SourceOut, SwitchIn
from marketdata.sources import showing
from marketdata.sources.registry import UnknownSource
from tradeapp.sources import switch_source

router = Router(tags=["market data"])


@router.put("/sentiment/{name}", response=SourceOut)
def put_source(request: HttpRequest, name: Annotated[str, Field(max_length=32)], payload: SwitchIn) -> dict[str, Any]:
    """Switch a source on or off; one that was left alone after failures is asked again when it is switched on once more."""
    assert isinstance(request.user, User), "The doorkeeper let only people in."
    now = timezone.now()
    try:
        switch_source(name=name, is_enabled=payload.is_enabled, by=request.user, now=now)
    except UnknownSource as error:
        raise Http404(str(error)) from error
    return next(line for line in showing.lines(now=now) if line["name"] == name)
