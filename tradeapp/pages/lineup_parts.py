"""The part that shows what a line-up would do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from django.http import Http404, HttpRequest

from bots import lineups
from bots.lineup_view import lineup_view
from bots.services.lineups import diff_lineup
from portfolio.selectors.allocations import newest_version
from portfolio.services import UnableToAllocate


def _lineup(request: HttpRequest, context: dict[str, Any]) -> None:
    name = request.GET.get("name", "")
    if name not in lineups.SHIPPED:
        raise Http404("There is no such line-up.")
    account = context["account"]
    version = newest_version(account.pk)
    context |= {"name": name, "version": version.number if version else 0, "without": [], "errors": [], "lineup": None}
    text = lineups.SHIPPED[name].read_text(encoding="utf-8")
    try:
        plan = lineups.parse(text, source=f"Line-up {name}")
        # A bot between exchanges is left out where there is one exchange only; its share stays unallocated.
        context["without"] = [bot.key for bot in plan.bots if set(bot.exchanges) - {account.market.exchange}]
        plan = lineups.parse(text, source=f"Line-up {name}", without=context["without"])
        context["lineup"] = lineup_view(diff_lineup(account_id=account.pk, plan=plan))
    except lineups.BadPlan as bad:
        context["errors"] = list(bad.errors)
    except UnableToAllocate as refused:
        context["errors"] = [str(refused)]


PARTS: Final[Mapping[str, Callable[[HttpRequest, dict[str, Any]], None]]] = {"lineup": _lineup}
