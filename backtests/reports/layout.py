"""Lay a report out in words: sections of figures, each with its interval and the value at which it means nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from backtests.reports import words
from backtests.reports.rows import Json, Row, in_r, joined, orders_filled

MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def tiles(content: Json) -> list[Row]:
    """Lay out the figures that stand first."""
    returns, trades, falls, held = content["returns"], content["trades"], content["falls"], content["held"]
    holding = f"holding {words.change(held['total'])}"
    win_note = joined(words.interval(trades["win_rate_low"], trades["win_rate_high"], words.share), _even(trades))
    return [
        Row("Return", words.change(returns["total"]), holding, words.tone(returns["total"])),
        Row("Deepest fall", words.share(falls["deepest"]), f"holding {words.share(held['deepest'])}"),
        Row("Sharpe ratio", words.figure(returns["sharpe"]), _sharpe_note(returns)),
        Row("Win rate", words.share(trades["win_rate"]), win_note),
        Row("Trades", f"{trades['trades']:,}", f"{words.figure(trades['a_day'])} a day"),
        Row("Fees", words.amount(content["costs"]["fees"]), f"{words.share(content['costs']['fee_share'])} of what wins earned"),
    ]


def sections(content: Json, *, luck: Json | None) -> list[dict[str, Any]]:
    """Lay out all figures by subject."""
    return [
        {"title": "Return and risk", "rows": _returns(content, luck), "is_held": True},
        {"title": "Trades", "rows": _trades(content["trades"]), "is_held": False},
        {"title": "Beside holding", "rows": _beside(content), "is_held": False},
        {"title": "Exposure and costs", "rows": _costs(content), "is_held": False},
    ]


def falls(content: Json) -> list[dict[str, str]]:
    """Lay out the deepest falls."""
    return [
        {
            "depth": words.share(one["depth"]),
            "peak": words.day(one["peak_at"]),
            "trough": words.day(one["trough_at"]),
            "recovered": "not yet" if one["recovered_at"] is None else words.day(one["recovered_at"]),
            "falls": words.span(one["falls_ms"]),
            "lasts": words.span(one["lasts_ms"]),
        }
        for one in content["falls"]["listed"]
    ]


def months(content: Json) -> list[dict[str, Any]]:
    """Lay out the table of months; each cell with how strong its colour is, in five steps."""
    every = [abs(one) for year in content["months"] for one in year["months"] if one is not None]
    largest = max(every, default=0.0)
    return [
        {
            "year": year["year"],
            "cells": [{"text": _month(one), "tone": _strength(one, largest)} for one in year["months"]],
            "whole": words.change(year["whole"]),
            "tone": words.tone(year["whole"]),
        }
        for year in content["months"]
    ]


def trades(rows: Sequence[Json]) -> list[dict[str, str]]:
    """Lay out single trades."""
    return [
        {
            "opened": words.minute(row["opened"]),
            "held": words.span(row["closed"] - row["opened"]),
            "symbol": row["symbol"],
            "profit": words.gain(row["profit"]),
            "part": words.change(row["part"], 2),
            "adverse": words.share(row["adverse"], 2),
            "favourable": words.share(row["favourable"], 2),
            "multiple": words.multiple(row.get("multiple")),
            "reason": row["reason"].replace("_", " ").capitalize(),
            "tone": words.tone(row["part"]),
        }
        for row in rows
    ]


def _returns(content: Json, luck: Json | None) -> list[Row]:
    returns, found, held = content["returns"], content["falls"], content["held"]
    days = f"{returns['days']} daily returns"
    lucky = [] if luck is None else [Row("More than luck", words.share(luck["deflated"]), luck["note"])]
    rho, corrected = returns["autocorrelation"], returns["sharpe_correlated"]
    depends = "" if rho is None else f"a day goes with the one before by {words.figure(rho)}"
    return [
        Row(
            "Total return",
            words.change(returns["total"], 2),
            "break-even 0",
            words.tone(returns["total"]),
            words.change(held["total"], 2),
        ),
        Row("A year", words.change(returns["growth"], 2), _annual(returns), "", words.change(held["growth"], 2)),
        Row("Volatility a year", words.share(returns["volatility"]), days),
        Row("Sharpe ratio", words.figure(returns["sharpe"]), _sharpe_note(returns), "", words.figure(held["sharpe"])),
        Row(
            "… as shares are quoted",
            words.figure(returns["sharpe_in_sessions"]),
            "252 days a year",
            "",
            words.figure(held["sharpe_in_sessions"]),
        ),
        Row("… corrected for dependent days", words.figure(corrected), depends if corrected is None else f"{depends}; Lo"),
        Row("Chance that it is above 0", words.share(returns["sharpe_is_positive"]), "of one trial, made once"),
        *lucky,
        Row("Sortino ratio", words.figure(returns["sortino"]), "break-even 0"),
        Row("Calmar ratio", words.figure(returns["calmar"]), "growth a year over deepest fall", "", words.figure(held["calmar"])),
        Row("Deepest fall", words.share(found["deepest"], 2), "", "", words.share(held["deepest"], 2)),
        Row("Longest fall", words.span(found["longest_ms"]), "from peak to recovery, or to the end"),
        Row(
            "Average fall, ulcer index",
            f"{words.share(found['average'], 2)}, {words.share(found['ulcer'], 2)}",
            f"{found['count']:,} falls",
        ),
        Row(
            "Worst day in twenty",
            words.share(returns["value_at_risk"], 2),
            f"mean of those {words.share(returns['expected_shortfall'], 2)}",
        ),
    ]


def _trades(found: Json) -> list[Row]:
    rate = words.interval(found["win_rate_low"], found["win_rate_high"], words.share)
    mean = words.interval(found["expectancy_low"], found["expectancy_high"], words.gain)
    return [
        Row("Closed trades", f"{found['trades']:,}", f"{found['wins']:,} won; nothing earned counts as lost"),
        Row("Win rate", words.share(found["win_rate"]), joined(rate, _even(found))),
        Row("Profit factor", words.figure(found["profit_factor"]), "break-even 1"),
        Row("Mean win, mean loss", f"{words.amount(found['mean_win'])}, {words.amount(found['mean_loss'])}"),
        Row("Payoff", words.figure(found["payoff"]), f"break-even {words.figure(found['payoff_break_even'])} at this win rate"),
        Row("Mean of a trade", words.gain(found["expectancy"]), joined(mean, "break-even 0")),
        Row("… as a part of what was paid", words.change(found["mean_part"], 3), "break-even 0"),
        *in_r(found),
        Row("Best, worst", f"{words.gain(found['best'])}, {words.gain(found['worst'])}"),
        Row("Most losses in a row", f"{found['losses_in_a_row']:,}"),
        Row(
            "Held on average",
            words.span(found["mean_holding_ms"]),
            f"half of them under {words.span(found['median_holding_ms'])}",
        ),
        Row(
            "Went against, went for",
            f"{words.share(found['mean_adverse'], 2)}, {words.share(found['mean_favourable'], 2)}",
            "mean of the worst and the best on the way",
        ),
        Row("Kelly share", words.share(found["kelly"]), "for reading, never for sizing"),
    ]


def _beside(content: Json) -> list[Row]:
    beside, held = content["beside"], content["held"]
    name = f"of {', '.join(held['symbols'])}"
    if beside["beta"] is None:
        alpha, beta = "", "it takes 30 days"
    else:
        alpha = words.interval(beside["alpha_low"], beside["alpha_high"], words.change)
        beta = words.interval(beside["beta_low"], beside["beta_high"], words.figure)
    return [
        Row("Beyond holding", words.change(content["returns"]["total"] - held["total"], 2), "break-even 0"),
        Row("Alpha a year", words.change(beside["alpha"]), joined(alpha, "break-even 0")),
        Row("Beta", words.figure(beside["beta"]), joined(beta, name)),
        Row("Information ratio", words.figure(beside["information_ratio"]), "break-even 0"),
        Row("Part of rising days", words.share(beside["capture_up"]), "mean return over the market's"),
        Row("Part of falling days", words.share(beside["capture_down"]), "less is better"),
    ]


def _costs(content: Json) -> list[Row]:
    costs, exposure = content["costs"], content["exposure"]
    return [
        Row("Time in the market", words.share(exposure["time"])),
        Row("Invested", words.share(exposure["gross"]), f"mean share of equity; at most {words.share(exposure['most'])}"),
        Row("Turned over a year", words.figure(costs["turnover"]), "times the mean equity, one way"),
        Row("Traded", words.amount(costs["traded"]), f"{costs['fills']:,} fills"),
        *orders_filled(content.get("orders")),
        Row("Fees", words.amount(costs["fees"]), f"{words.share(costs['fee_share'])} of what winning trades earned"),
        Row(
            "Paid beyond the last close",
            f"{words.figure(costs['slippage_bps'])} bp",
            f"mean of {costs['takers']:,} fills at the market, gaps included",
        ),
    ]


def _sharpe_note(returns: Json) -> str:
    if returns["sharpe"] is None:
        return f"{returns['days']} days; it takes 30"
    return joined(words.interval(returns["sharpe_low"], returns["sharpe_high"], words.figure), "break-even 0")


def _annual(returns: Json) -> str:
    return "not annualised under 90 days" if returns["growth"] is None else "break-even 0"


def _even(found: Json) -> str:
    return f"break-even {words.share(found['break_even_win_rate'])}" if found["break_even_win_rate"] is not None else ""


def _month(value: float | None) -> str:
    return "" if value is None else words.change(value).removesuffix(" %")


def _strength(value: float | None, largest: float) -> str:
    if not value or not largest:
        return ""
    return f"{words.tone(value)}-{min(5, 1 + int(abs(value) / largest * 4.999))}"
