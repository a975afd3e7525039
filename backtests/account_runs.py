"""Simulate plans of a whole account, and lay out side by side what came of them; no table is touched."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from backtests import selectors
from backtests.account_spec import AccountAsked, PlanFile, account_plan, first_candle, intervals, the_symbol
from trading.accounts.result import AccountResult, BotResult
from trading.accounts.simulation import simulate
from trading.bars import Candles, interval_milliseconds
from trading.instruments import Instrument
from trading.ledger import plain
from trading.metrics import daily_returns, max_drawdown, sharpe


def run(
    file: PlanFile, asked: AccountAsked, *, folder: str, base_interval: str, instruments: Mapping[str, Instrument]
) -> AccountResult:
    """Simulate one plan on candles from a folder, or from the database."""
    candles = load(file, asked, folder=folder, base_interval=base_interval)
    return simulate(account_plan(file, asked, candles=candles, instruments=instruments))


def load(file: PlanFile, asked: AccountAsked, *, folder: str, base_interval: str) -> dict[str, Candles]:
    """Load the base candles of every bot, from its warm-up on."""
    of_bots = intervals(file, asked)
    base = base_interval or min(of_bots.values(), key=interval_milliseconds)
    return {
        bot.key: selectors.load_candles(
            folder=folder,
            symbol=the_symbol(bot),
            interval=base,
            begin_at=datetime.fromtimestamp(first_candle(bot, of_bots[bot.key], asked.begin_at) / 1000, tz=UTC),
            end_at=asked.end_at,
        )
        for bot in file.bots
    }


def report(result: AccountResult) -> dict[str, Any]:
    """Say what came of an account: JSON values, amounts as strings, unknown figures as None."""
    return {
        "name": result.name,
        "mode": str(result.mode),
        "from": _moment_text(int(result.times[0])),
        "to": _moment_text(int(result.times[-1])),
        "capital": plain(result.capital),
        "final_equity": plain(result.final_equity),
        "unallocated": plain(result.unallocated),
        "total_return": float(result.final_equity / result.capital - 1),
        "max_drawdown": max_drawdown(result.worths),
        "sharpe": sharpe(daily_returns(result.times, result.worths)),
        "fills": sum(len(bot.fills) for bot in result.bots),
        "fees": plain(result.fees),
        "refusals": dict(sorted(sum((Counter(bot.refusals) for bot in result.bots), Counter[str]()).items())),
        "decisions": result.decisions,
        "switches": len(result.switches),
        "hard_stops": [{"at": at.isoformat(), "of": key or "account"} for at, key in result.hard_stops],
        "bots": [_bot_report(bot) for bot in result.bots],
    }


def _bot_report(bot: BotResult) -> dict[str, Any]:
    return {
        "key": bot.key,
        "strategy": bot.strategy,
        "symbol": bot.symbol,
        "equity": plain(bot.equity),
        "profit": plain(bot.profit),
        "fills": len(bot.fills),
        "traded": plain(sum((fill.quantity * fill.price for fill in bot.fills), Decimal(0))),
        "fees": plain(bot.fees),
        "held": plain(bot.quantity),
        "refusals": dict(bot.refusals),
    }


def as_text(reports: list[dict[str, Any]]) -> str:
    """Write reports as a table, a column for each plan, the bots below."""
    rows: list[tuple[str, list[str]]] = [
        ("", [row["name"] for row in reports]),
        ("final equity", [f"{Decimal(row['final_equity']):.2f}" for row in reports]),
        ("return", [f"{row['total_return']:+.2%}" for row in reports]),
        ("drawdown", [f"{row['max_drawdown']:.2%}" for row in reports]),
        ("Sharpe", ["-" if row["sharpe"] is None else f"{row['sharpe']:.2f}" for row in reports]),
        ("fills", [str(row["fills"]) for row in reports]),
        ("fees", [f"{Decimal(row['fees']):.2f}" for row in reports]),
        ("hard stops", [str(len(row["hard_stops"])) for row in reports]),
    ]
    for code in sorted({code for row in reports for code in row["refusals"]}):
        rows.append((code, [str(row["refusals"].get(code, 0)) for row in reports]))
    for key in dict.fromkeys(bot["key"] for row in reports for bot in row["bots"]):
        rows.append((key, [_bot_text(row, key) for row in reports]))
    first = max(len(label) for label, _ in rows)
    widths = [max(len(cells[k]) for _, cells in rows) for k in range(len(reports))]
    lines = []
    for label, cells in rows:
        written = "  ".join(f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=True))
        lines.append(f"{label:{first}}  {written}".rstrip())
    return "\n".join(lines)


def _bot_text(row: Mapping[str, Any], key: str) -> str:
    bot = next((bot for bot in row["bots"] if bot["key"] == key), None)
    return "-" if bot is None else f"{Decimal(bot['profit']):+.2f} in {bot['fills']} fills"


def _moment_text(at: int) -> str:
    return datetime.fromtimestamp(at / 1000, tz=UTC).isoformat()
