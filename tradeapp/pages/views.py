"""The pages: each gathers what it shows and hands it to a template."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import ensure_csrf_cookie
from django.views.decorators.http import require_safe

from bots.drift_view import drift_view
from bots.selectors import other_sides, remembered
from portfolio import selectors
from portfolio.models import Account
from portfolio.risk_view import risk_view
from portfolio.selectors import lists
from portfolio.selectors.alarms import differences
from portfolio.selectors.gates import state_remedy
from portfolio.selectors.risk import history, newest_limits, values_of
from portfolio.selectors.trades import trades
from tradeapp import readiness, tokens
from tradeapp.models import ApiToken
from tradeapp.pages import (
    activity,
    alarm_parts,
    bot_results,
    coordinator_parts,
    family_parts,
    formats,
    history_jobs,
    lineup_parts,
    market_data,
    pair_parts,
    reading,
    security_parts,
)
from tradeapp.pages.reading import BotLine

ROWS = 50
_DRIFT_ROWS = 20


@never_cache
@require_safe
@login_required
@ensure_csrf_cookie
def overview(request: HttpRequest) -> HttpResponse:
    """Show the account at a glance."""
    return _page(request, "overview")


@never_cache
@require_safe
@login_required
@ensure_csrf_cookie
def bot(request: HttpRequest, bot_id: int) -> HttpResponse:
    """Show one bot: its chart, its equity, its decisions and trades."""
    context = page_context(request, "bot", bot_id=bot_id)
    line = _line(context["lines"], bot_id)
    context |= {
        "line": line,
        "state": remembered(line.bot),
        "other_side": other_sides([bot_id]).get(bot_id),
        "stream_topics": f"{context['stream_topics']} bot:{bot_id}",
        "decisions": lists.decisions(book_id=line.bot.book_id, cursor=None, limit=1).items,
    }
    return render(request, "pages/bot.html", context)


@never_cache
@require_safe
@login_required
@ensure_csrf_cookie
def orders(request: HttpRequest) -> HttpResponse:
    """Show orders and fills."""
    return _page(request, "orders")


@never_cache
@require_safe
@login_required
@ensure_csrf_cookie
def reconcile(request: HttpRequest) -> HttpResponse:
    """Show that the ledger equals the exchange."""
    return _page(request, "reconcile")


@never_cache
@require_safe
@login_required
@ensure_csrf_cookie
def risk(request: HttpRequest) -> HttpResponse:
    """Show what may still be lost today, and the limits."""
    return _page(request, "risk")


@never_cache
@require_safe
@login_required
@ensure_csrf_cookie
def system(request: HttpRequest) -> HttpResponse:
    """Show processes, tokens and the audit log."""
    return _page(request, "system")


@never_cache
@require_safe
@login_required
def part(request: HttpRequest, name: str) -> HttpResponse:
    """Return one part of a page, as it is now."""
    if name not in PARTS:
        raise Http404("There is no such part.")
    bot_id = _number(request, "bot")
    context = page_context(request, "", bot_id=bot_id)
    if bot_id is not None:
        context["line"] = _line(context["lines"], bot_id)
    if context["account"] is not None or name in OF_ALL:
        PARTS[name](request, context)
    return render(request, f"pages/parts/{name}.html", context)


def _page(request: HttpRequest, name: str) -> HttpResponse:
    return render(request, f"pages/{name}.html", page_context(request, name))


def page_context(request: HttpRequest, page: str, *, bot_id: int | None = None) -> dict[str, Any]:
    """Gather what every page shows: the account (of a bot, if one is named), its figures, its bots and the health bar."""
    account = reading.chosen_account(_number(request, "account"), bot_id=bot_id)
    now = timezone.now()
    context: dict[str, Any] = {"page": page, "account": account, "lines": [], "figures": {}, "signs": readiness.signs(now=now)}
    context["figures"] = reading.health_figures(account, context["signs"], now=now)
    if account is not None:
        worth, figures = reading.account_figures(account.pk)
        lines = reading.bot_lines(account.pk)
        context["figures"] |= figures | reading.bots_figures(lines)
        context |= {"worth": worth, "lines": lines, "books": {line.bot.book_id: line for line in lines}}
    context["stream_topics"] = "portfolio orders bots allocation health events"
    return context


def _line(lines: list[BotLine], bot_id: int) -> BotLine:
    for line in lines:
        if line.bot.pk == bot_id:
            return line
    raise Http404("There is no such bot.")


def _number(request: HttpRequest, name: str) -> int | None:
    text = request.GET.get(name, "")
    if text and not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise Http404("That is not a number.")
    return int(text) if text else None


def _book(context: dict[str, Any]) -> int | None:
    return context["line"].bot.book_id if "line" in context else None


def _positions(_request: HttpRequest, context: dict[str, Any]) -> None:
    context["positions"] = selectors.positions(context["account"].pk, book_id=_book(context))


def _orders(_request: HttpRequest, context: dict[str, Any]) -> None:
    context["orders"] = selectors.open_orders(context["account"].pk, book_id=_book(context))


def _past_orders(request: HttpRequest, context: dict[str, Any]) -> None:
    context["orders_page"] = lists.orders(
        account_id=context["account"].pk, book_id=_book(context), status="", cursor=_number(request, "cursor"), limit=ROWS
    )


def _fills(request: HttpRequest, context: dict[str, Any]) -> None:
    limit = 12 if request.GET.get("few") else ROWS
    context["fills_page"] = lists.fills(
        account_id=context["account"].pk, book_id=_book(context), cursor=_number(request, "cursor"), limit=limit
    )


def _decisions(request: HttpRequest, context: dict[str, Any]) -> None:
    is_acting = request.GET.get("acting") == "1"
    context["is_acting"] = is_acting
    context["decisions_page"] = lists.decisions(
        book_id=_book(context) or 0, cursor=_number(request, "cursor"), limit=ROWS, is_acting=is_acting
    )


def _trades(_request: HttpRequest, context: dict[str, Any]) -> None:
    context["trades"] = trades(account_id=context["account"].pk, book_id=_book(context))[:ROWS]


def _drift(_request: HttpRequest, context: dict[str, Any]) -> None:
    if "line" not in context:
        raise Http404("Whose fills?")
    context["drift"] = drift_view(context["line"].bot, orders=_DRIFT_ROWS)


def _activity(_request: HttpRequest, context: dict[str, Any]) -> None:
    context["events"] = activity.latest(limit=20)


def _reconciliations(request: HttpRequest, context: dict[str, Any]) -> None:
    account: Account = context["account"]
    context["latest"] = selectors.latest_reconciliation(account.pk)
    context["suspense"] = selectors.residuals(account.pk)
    context["remedy"] = state_remedy(account)
    context["differences"] = differences(account.pk)
    context["reconciliations"] = lists.reconciliations(account_id=account.pk, cursor=_number(request, "cursor"), limit=ROWS)


def _audit(request: HttpRequest, context: dict[str, Any]) -> None:
    context["audit"] = lists.audit(cursor=_number(request, "cursor"), limit=ROWS)


def _tokens(request: HttpRequest, context: dict[str, Any]) -> None:
    context["tokens"] = list(ApiToken.objects.filter(user=request.user.pk).order_by("-id"))
    context["scopes"] = sorted(tokens.scopes_of(request.user)) if request.user.is_authenticated else []


def _risk(_request: HttpRequest, context: dict[str, Any]) -> None:
    account: Account = context["account"]
    view = risk_view(account.pk, now=timezone.now())
    own = {row.book_id: values_of(row) for row in newest_limits(account.pk)}
    rows = [
        {**row, "fields": formats.limit_fields(own.get(row["book"], {}), row["limits"])}
        for row in (view["total"], *view["books"])
    ]
    context |= {"risk": view, "risk_rows": rows, "history": history(account.pk, limit=20)}


def _history_jobs(_request: HttpRequest, context: dict[str, Any]) -> None:
    context |= history_jobs.facts()


def _nothing(_request: HttpRequest, _context: dict[str, Any]) -> None:
    """Everything is in the context already."""


PARTS = {
    "bots": _nothing,
    "bot_state": _nothing,
    "positions": _positions,
    "orders": _orders,
    "past_orders": _past_orders,
    "fills": _fills,
    "decisions": _decisions,
    "trades": _trades,
    "drift": _drift,
    "activity": _activity,
    "reconciliations": _reconciliations,
    "audit": _audit,
    "risk": _risk,
    "tokens": _tokens,
    **bot_results.PARTS,
    **market_data.PARTS,
    **security_parts.PARTS,
    **alarm_parts.PARTS,
    **coordinator_parts.PARTS,
    **lineup_parts.PARTS,
    **family_parts.PARTS,
    **pair_parts.PARTS,
    "processes": _nothing,
    "history_jobs": _history_jobs,
}
# What is there without an account, too.
OF_ALL = {"history_jobs", *alarm_parts.PARTS, *market_data.PARTS, *security_parts.PARTS}
