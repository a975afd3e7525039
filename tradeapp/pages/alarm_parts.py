"""The list of alarms, which renews itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from django.http import HttpRequest

from bots.selectors.drift import open_drifts
from portfolio.selectors import lists

_ROWS: Final = 50


def _alarms(request: HttpRequest, context: dict[str, Any]) -> None:
    cursor, is_all = request.GET.get("cursor", ""), request.GET.get("all") == "1"
    number = int(cursor) if cursor.isascii() and cursor.isdigit() and len(cursor) <= 18 else None
    context["is_all"] = is_all
    context["alarms"] = lists.alarms(account_id=None, is_open=not is_all, cursor=number, limit=_ROWS)
    context["drifts"] = open_drifts() if number is None else []


PARTS: Final[Mapping[str, Callable[[HttpRequest, dict[str, Any]], None]]] = {"alarms": _alarms}
