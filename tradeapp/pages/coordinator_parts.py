"""The parts of the coordinator's page that renew themselves."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from django.http import HttpRequest
from django.utils import timezone

from bots.gates import checklists
from portfolio.coordinator_view import coordinator_view


def _coordinator(_request: HttpRequest, context: dict[str, Any]) -> None:
    context["view"] = coordinator_view(context["worth"])


def _gates(_request: HttpRequest, context: dict[str, Any]) -> None:
    wanted = context.get("line")
    found = checklists(context["account"].pk, now=timezone.now())
    context["checklists"] = [one for one in found if wanted is None or one.bot.pk == wanted.bot.pk]


PARTS: Final[Mapping[str, Callable[[HttpRequest, dict[str, Any]], None]]] = {"coordinator": _coordinator, "gates": _gates}
