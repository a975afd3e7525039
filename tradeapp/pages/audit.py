"""The audit page: who changed what, when, from where and by which request."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import ensure_csrf_cookie
from django.views.decorators.http import require_safe

from portfolio.selectors.audit import AuditFilter, audit_actions, audit_entries
from tradeapp.pages.views import page_context

ROWS: Final = 100
_TEXTS: Final = ("actor", "action", "subject", "request_id")
_LENGTH_MAX: Final = 150


@never_cache
@require_safe
@ensure_csrf_cookie
def audit(request: HttpRequest) -> HttpResponse:
    """Show the audit, narrowed down by what the address says."""
    texts = {name: _text(request, name) for name in _TEXTS}
    days = {name: _text(request, name) for name in ("since", "until")}
    wanted = AuditFilter(**texts, since=_day(days["since"]), until=_day(days["until"]))
    items, next_cursor = audit_entries(wanted, cursor=_cursor(request), limit=ROWS)
    older = request.GET.copy()
    older["cursor"] = next_cursor or ""
    context: dict[str, Any] = page_context(request, "audit")
    context |= {"entries": items, "older": older.urlencode() if next_cursor else "", "actions": audit_actions()}
    context |= {"wanted": texts | days, "is_narrowed": any((texts | days).values())}
    return render(request, "pages/audit.html", context)


def _text(request: HttpRequest, name: str) -> str:
    return "".join(letter for letter in request.GET.get(name, "") if letter.isprintable()).strip()[:_LENGTH_MAX]


def _day(text: str) -> datetime | None:
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC) if text else None
    except ValueError:
        return None


def _cursor(request: HttpRequest) -> int | None:
    text = request.GET.get("cursor", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else None
