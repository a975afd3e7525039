"""The pages of trials: begin one, watch it, compare the bots, apply what comes of it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import ensure_csrf_cookie
from django.views.decorators.http import require_safe

from backtests.reports import words
from portfolio.models import Account
from portfolio.selectors.allocations import newest_version
from tradeapp.pages.views import page_context
from trading.trial_choice import CAP_PERCENT, WEIGHTS
from trading.trials import TrialFigures
from trials import selectors
from trials.models import Trial
from trials.schemas import NO_PROMISE
from trials.selectors import Comparison
from trials.selectors.rows import UNDER_WAY
from trials.telling import comparison_view, trial_view

LISTED = 50
TURNS_LISTED = 100
UNKNOWN = "\N{EN DASH}"


@never_cache
@require_safe
@login_required
@ensure_csrf_cookie
def trial_list(request: HttpRequest) -> HttpResponse:
    """Show the form, what is in the way of a trial now, and the trials so far."""
    context, now = page_context(request, "trials"), timezone.now()
    account: Account | None = context["account"]
    if account is not None:
        bots = [line.bot for line in context["lines"]]
        market_at = account.market.market_time_at or now
        context |= {
            "obstacles": selectors.obstacles(account, bots),
            "trials": [trial_view(found, now=now) for found in selectors.newest_trials(limit=LISTED, account_id=account.pk)],
            "begin": max(filter(None, (market_at - timedelta(days=30), selectors.earliest_begin(bots)))),
            "end": market_at,
        }
    return render(request, "pages/trials.html", context)


@never_cache
@require_safe
@login_required
@ensure_csrf_cookie
def trial(request: HttpRequest, trial_id: int) -> HttpResponse:
    """Show one trial: how far it is, the bots beside each other, and the shares it proposes."""
    try:
        found = selectors.trial(trial_id)
    except selectors.NoSuchTrial as error:
        raise Http404(str(error)) from error
    compared, shares = selectors.compare(found), newest_version(found.account_id)
    context = page_context(request, "trials") | {
        "trial": found,
        "view": trial_view(found, now=timezone.now()),
        "is_under_way": found.state in UNDER_WAY,
        "can_cancel": found.state in (Trial.State.QUEUED, Trial.State.RUNNING),
        "can_resume": found.state in (Trial.State.CANCELLED, Trial.State.FAILED),
        "rows": _rows(compared),
        "shares_version": shares.number if shares else 0,
        "compared": compared,
        "drawn": comparison_view(found, compared)["items"],
        "grave": [doubt for doubt in compared.doubts if doubt.is_grave],
        "turns": list(found.legs.order_by("number")[:TURNS_LISTED]),
        "turns_listed": TURNS_LISTED,
        "weights": {name.replace("_", " "): round(weight * 100) for name, weight in WEIGHTS.items()},
        "cap": CAP_PERCENT,
        "note": NO_PROMISE,
    }
    return render(request, "pages/trial.html", context)


def _rows(compared: Comparison) -> list[dict[str, Any]]:
    rows = []
    for row in compared.rows:
        figures = row.figures
        ratio = UNKNOWN
        if figures.sharpe is not None and figures.sharpe_low is not None and figures.sharpe_high is not None:
            ratio = f"{figures.sharpe:.2f} ({figures.sharpe_low:.1f} to {figures.sharpe_high:.1f})"
        rows.append(
            {
                "row": row,
                "figures": figures,
                "total_return": _percent(figures.total_return),
                "max_drawdown": _percent(figures.max_drawdown),
                "win_rate": _percent(figures.win_rate),
                "interval": f"{_percent(figures.win_rate_low)} to {_percent(figures.win_rate_high)}"
                if figures.trades
                else UNKNOWN,
                "break_even": _percent(figures.break_even_win_rate),
                "sharpe": ratio,
                "consistency": _percent(figures.consistency),
                "fit": _percent(figures.fit),
                "exposure": _percent(figures.exposure),
                "is_gain": figures.pnl > 0,
                **_trade_words(figures),
            }
        )
    return rows


def _trade_words(figures: TrialFigures) -> dict[str, str]:
    """Write results in R and orders filled; a dash where a turn is older than these figures."""
    in_r, orders = figures.in_r, figures.orders
    low, high = (in_r.r_expectancy_low, in_r.r_expectancy_high) if in_r else (None, None)
    return {
        "r_expectancy": words.multiple(in_r.r_expectancy if in_r else None),
        "r_interval": words.interval(low, high, words.multiple),
        "r_note": _why_no_r(figures),
        "sqn": words.figure(in_r.sqn if in_r else None),
        "orders_filled": words.share(orders.by_count if orders else None),
        "quantity_filled": words.share(orders.by_quantity if orders else None),
    }


def _why_no_r(figures: TrialFigures) -> str:
    if figures.in_r is None:
        return "older than this figure"
    if figures.trades and not figures.in_r.r_trades:
        return "no stop, no R"
    return f"{figures.in_r.r_less} without a stop" if figures.in_r.r_less else ""


def _percent(share: float | None) -> str:
    return UNKNOWN if share is None else f"{share * 100:,.1f} %"
