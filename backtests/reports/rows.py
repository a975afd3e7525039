"""Rows of figures in words, those of R and of orders among them: the same of backtests, live bots and trials."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from backtests.reports import words

Json = Mapping[str, Any]
_OLDER: Final = "not measured when this ran: run it again"
_KINDS: Final = {"ENTRY": "entries at the market", "LIMIT": "resting at a limit", "EXIT": "sales at the market"}


@dataclass(frozen=True, slots=True)
class Row:
    """A figure: what it is called, what it says, what holding the market says, and what to read beside it."""

    label: str
    text: str
    note: str = ""
    tone: str = ""
    held: str = ""


def in_r(found: Json) -> list[Row]:
    """Lay out results as multiples of the initial risk; a report of before they were measured says so."""
    if "r_trades" not in found:
        return [Row("Mean of a trade in R", words.NONE, _OLDER)]
    mean = words.interval(found["r_expectancy_low"], found["r_expectancy_high"], words.multiple)
    return [
        Row("Mean of a trade in R", words.multiple(found["r_expectancy"]), joined(mean, "break-even 0", _with_stop(found))),
        Row(
            "Best, worst in R", f"{words.multiple(found['r_best'])}, {words.multiple(found['r_worst'])}", "R is the initial risk"
        ),
        Row("System quality (SQN)", words.figure(found["sqn"]), _quality_note(found)),
    ]


def _with_stop(found: Json) -> str:
    if not found["trades"]:
        return ""
    if not found["r_trades"]:
        return "no stop, no R: no entry came with one"
    less = f"; {found['r_less']:,} without a stop have no R" if found["r_less"] else ""
    return f"{found['r_trades']:,} trades with a stop{less}"


def _quality_note(found: Json) -> str:
    if found["sqn"] is None:
        return "it takes 5 trades with a stop that differ in R"
    return "break-even 0; mean over deviation of R, times the root of the trades, of 100 at most"


def orders_filled(found: Json | None) -> list[Row]:
    """Lay out how much of what was ordered was filled."""
    if found is None:
        return [Row("Orders filled", words.NONE, _OLDER)]
    rows = [_filled("Orders filled", found)]
    if len(found["kinds"]) > 1:
        rows += [_filled(f"… {_KINDS[one['kind']]}", one) for one in found["kinds"]]
    stops = Row("Stops that sold", f"{found['stops_filled']:,} of {found['stops']:,}", "each level it was moved to; in no ratio")
    return [*rows, stops]


def _filled(label: str, found: Json) -> Row:
    counted = f"{found['filled']:,} of {found['orders']:,} whole"
    rate = words.interval(found["by_count_low"], found["by_count_high"], words.share)
    return Row(label, words.share(found["by_count"]), joined(rate, counted, f"by quantity {words.share(found['by_quantity'])}"))


def joined(*parts: str) -> str:
    """Join what is known, with semicolons."""
    return "; ".join(part for part in parts if part)
