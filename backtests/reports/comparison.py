"""Lay a comparison of plans out in words: every plan beside the others and beside holding, for page and file alike."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from backtests.comparison_view import comparison_view, hold_name
from backtests.models import ComparedPlan, PlanComparison
from backtests.reports import words
from backtests.schemas import NO_PROMISE
from backtests.selectors import comparisons

# As many as bots have, so that plots and tables agree.
COLOURS: Final = 8


def page_of(found: PlanComparison, *, now: datetime) -> dict[str, Any]:
    """Lay a comparison out for the template that page and file share."""
    view, asked = comparison_view(found, now=now), comparisons.plans(found)
    plans = [_plan(plan, row) for plan, row in zip(view["plans"], asked, strict=True)]
    done = [plan for plan in plans if plan["report"]]
    return {
        "comparison": view,
        "conditions": _conditions(view),
        "is_under_way": found.state in comparisons.UNDER_WAY,
        "plans": plans,
        "done": done,
        "held": _held(asked),
        "refusals": _by_name(done, "refusals"),
        "profits": _by_name(done, "profits"),
        "flowing": [plan for plan in done if plan["flows"]],
        "note": NO_PROMISE,
        "written_at": now,
    }


def _conditions(view: Mapping[str, Any]) -> str:
    rates = (("fee", "fee"), ("half_spread", "half spread"), ("slippage", "slippage"))
    costs = " · ".join(f"{name} {float(view[field]) * 1e4:g} bp" for field, name in rates)
    candles = f"{view['interval']} candles" if view["interval"] else "each bot's own candles"
    rough = words.assumed_frictions(view["participation"], view["frictions"])
    caps = "caps of the day hold" if view["is_limited"] else "without caps of the day"
    stretch = f"{view['begin_at']:%Y-%m-%d} to {view['end_at']:%Y-%m-%d}"
    return f"{stretch} · capital {words.amount(view['capital'])} · {costs} a side · {candles} · {caps}{rough}"


def _plan(plan: dict[str, Any], row: ComparedPlan) -> dict[str, Any]:
    laid_out = {
        **plan,
        "colour": plan["number"] % COLOURS,
        "percent_done": round(plan["done"] * 100),
        "text": json.dumps(row.content, indent=2, ensure_ascii=False),
        "rotation": row.rotation,
    }
    report = plan["report"]
    if not report:
        return laid_out
    return laid_out | {
        "words": _equity_words(report)
        | {
            "final_equity": words.amount(report["final_equity"]),
            "fees": words.amount(report["fees"]),
            "win_rate": words.share(report["win_rate"]),
            "win_rate_interval": words.interval(report["win_rate_low"], report["win_rate_high"], words.share),
            **_trade_words(report),
            "time_in_market": words.share(report["time_in_market"]),
            "invested": words.share(report["invested"]),
            "refused": sum(report["refusals"].values()),
        },
        "flows": _flow_words(report),
        "refusals": report["refusals"],
        "profits": {bot["key"]: words.gain(Decimal(bot["profit"])) for bot in report["bots"]},
    }


def _flow_words(report: Mapping[str, Any]) -> dict[str, Any] | None:
    """Write in money what came and went; None where nothing was to."""
    flows = report.get("flows")
    if not flows or not flows["items"]:
        return None
    unfinished = [item for item in flows["items"] if item["code"] or Decimal(item["waits"])]
    return {
        **{name: words.amount(flows[name]) for name in ("deposits", "withdrawals", "waits")},
        "profit": words.gain(report["profit"]),
        "unfinished": [
            {
                "at": f"{datetime.fromisoformat(item['at']):%Y-%m-%d %H:%M}",
                "amount": words.gain(item["amount"]),
                "waits": words.amount(item["waits"]),
                "code": item["code"],
            }
            for item in unfinished
        ],
    }


def _trade_words(report: Mapping[str, Any]) -> dict[str, str]:
    """Write what plans that were simulated before it was measured do not have as a dash."""
    orders = report.get("orders") or {}
    low, high = report.get("r_expectancy_low"), report.get("r_expectancy_high")
    return {
        "r_expectancy": words.multiple(report.get("r_expectancy")),
        "r_interval": words.interval(low, high, words.multiple),
        "sqn": words.figure(report.get("sqn")),
        "orders_filled": words.share(orders.get("by_count")),
        "quantity_filled": words.share(orders.get("by_quantity")),
    }


def _held(plans: Sequence[ComparedPlan]) -> list[dict[str, Any]]:
    """Lay out what buying and holding would have done, each set of markets once."""
    found = {hold_name(plan.benchmark): plan.benchmark for plan in plans if plan.benchmark}
    return [{"name": name, "words": _equity_words(benchmark)} for name, benchmark in found.items()]


def _equity_words(figures: Mapping[str, Any]) -> dict[str, str]:
    return {
        "total_return": words.change(figures["total_return"]),
        "max_drawdown": words.share(figures["max_drawdown"]),
        "sharpe": words.figure(figures["sharpe"]),
        "sharpe_interval": words.interval(figures["sharpe_low"], figures["sharpe_high"], words.figure),
    }


def _by_name(done: Sequence[dict[str, Any]], field: str) -> list[dict[str, Any]]:
    """Turn a mapping of each plan into rows by name, with a cell for each plan."""
    names = dict.fromkeys(name for plan in done for name in plan[field])
    return [{"name": name, "cells": [plan[field].get(name, words.NONE) for plan in done]} for name in names]
