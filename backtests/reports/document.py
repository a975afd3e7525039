"""Write a report as one file: styles, scripts and figures inside, so that it opens from a disk and asks nobody for anything."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, Final

from django.contrib.staticfiles import finders
from django.http import HttpResponse
from django.template.loader import render_to_string
from django.utils.html import escape

from backtests.comparison_view import curves_view
from backtests.models import BacktestReport, BacktestRun, PlanComparison
from backtests.reports import comparison
from backtests.reports.view import page_of, report_view

PLOTTER: Final = "plotly/plotly.min.js"
STYLES: Final = ("tradeapp/app.css", "tradeapp/report.css")
PLOT_STYLE: Final = "tradeapp/charts.css"
# How the API's description names such a file.
DESCRIBED: Final = {
    "responses": {200: {"description": "One page of HTML", "content": {"text/html": {"schema": {"type": "string"}}}}}
}
# In the order in which they name each other; none imports anything else.
_MODULES: Final = ("tradeapp/chart_tools.js", "tradeapp/report_figures.js")
_START: Final = 'drawReport(JSON.parse(document.getElementById("report-data").textContent));'
_COMPARISON_MODULES: Final = ("tradeapp/chart_tools.js", "tradeapp/comparison_figures.js")
_COMPARISON_START: Final = 'drawComparison(JSON.parse(document.getElementById("comparison-data").textContent));'
_IMPORT: Final = re.compile(r"^import .*$", re.MULTILINE)
_EXPORT: Final = re.compile(r"^export (?=function|const)", re.MULTILINE)
# Fonts would have to be fetched; the system's stand in for them.
_FONT: Final = re.compile(r"^@font-face .*$", re.MULTILINE)


def backtest_document(found: BacktestRun, kept: BacktestReport, *, now: datetime) -> str:
    """Write the report of a backtest."""
    context = page_of(report_view(found, kept), now=now)
    title = f"Backtest {found.pk}: {found.strategy} on {context['markets']} {found.interval}"
    return write(title, "pages/parts/report.html", context, modules=_MODULES, start=_START)


def download(found: BacktestRun, kept: BacktestReport, *, now: datetime) -> HttpResponse:
    """Answer with the file; it is saved, never shown inside the product."""
    return attachment(backtest_document(found, kept, now=now), f"backtest-{found.pk}-{found.strategy}.html")


def download_comparison(found: PlanComparison, *, now: datetime) -> HttpResponse:
    """Answer with the file of a comparison, of the plans that are done."""
    return attachment(comparison_document(found, now=now), f"comparison-{found.pk}.html")


def comparison_document(found: PlanComparison, *, now: datetime) -> str:
    """Write a comparison of plans: curves, figures and what each plan said."""
    context = comparison.page_of(found, now=now) | {"drawn": curves_view(found)}
    names = " · ".join(plan["name"] for plan in context["plans"])
    title, template = f"Comparison {found.pk}: {names}", "pages/parts/comparison_file.html"
    return write(title, template, context, modules=_COMPARISON_MODULES, start=_COMPARISON_START)


def attachment(text: str, name: str) -> HttpResponse:
    """Answer with a file to save."""
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "X-Content-Type-Options": "nosniff"}
    return HttpResponse(text, content_type="text/html; charset=utf-8", headers=headers)


def write(title: str, template: str, context: Mapping[str, Any], *, modules: Sequence[str], start: str) -> str:
    """Put a template and its scripts into one page that may run those scripts and load nothing at all."""
    scripts = (_static(PLOTTER), joined(modules, start))
    allowed = " ".join(f"'sha256-{_digest(script)}'" for script in scripts)
    policy = f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data: blob:; base-uri 'none'"
    body = render_to_string(template, {**context, "is_file": True})
    return "\n".join(
        (
            "<!doctype html>",
            '<html lang="en" data-theme="auto"><head><meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="dark light">',
            f"<title>{escape(title)}</title>",
            *(f"<style>{_FONT.sub('', _static(name))}</style>" for name in STYLES),
            # Under this name plotly.js takes what it would otherwise write into the page itself.
            f'<style id="plotly.js-style-global" class="no-inline-styles">{_static(PLOT_STYLE)}</style>',
            f'</head><body class="file"><main><h1>{escape(title)}</h1>',
            body,
            f'</main><script>{scripts[0]}</script><script type="module">{scripts[1]}</script></body></html>',
        )
    )


def joined(modules: Sequence[str], start: str) -> str:
    """Join modules that name each other into one, and begin."""
    texts = (_EXPORT.sub("", _IMPORT.sub("", _static(name))) for name in modules)
    return "\n".join((*texts, start))


def _digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


@cache
def _static(name: str) -> str:
    found = finders.find(name)
    if found is None:
        raise FileNotFoundError(f"There is no static file {name}")
    text = Path(found).read_text(encoding="utf-8")
    # Nothing that is carried along may end the element that carries it.
    assert "</script" not in text, name
    assert "</style" not in text, name
    return text
