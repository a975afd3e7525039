"""Simulate plans of a whole account, and lay out side by side what came of them; no table is touched."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from decimal import Decimal, DecimalException
from types import MappingProxyType
from typing import Any, Final

import numpy as np

from backtests import selectors
from backtests.account_spec import AccountAsked, PlanFile, account_plan, first_candle, intervals, plan_of, symbols_of
from backtests.comparison_spec import BadComparison, ComparisonSpec, source_of
from backtests.curves import curve
from strategies import registry
from trading.accounts.plan import AccountPlan
from trading.accounts.result import AccountResult, BotResult
from trading.accounts.simulation import simulate
from trading.allocations import PlanRefused
from trading.bars import Candles, Floats, Times, interval_milliseconds
from trading.benchmarks import hold_with_flows
from trading.fill_ratios import fill_ratio
from trading.instruments import Instrument
from trading.ledger import ZERO, plain
from trading.metrics import (
    break_even_win_rate,
    daily_returns,
    max_drawdown,
    sharpe,
    sharpe_interval,
    time_weighted,
    wilson_interval,
)
from trading.round_trips import RoundTrip, closed_trips
from trading.trade_figures import risk_figures

NO_FLOWS: Final[Mapping[int, float]] = MappingProxyType({})


def run(
    file: PlanFile, asked: AccountAsked, *, folder: str, base_interval: str, instruments: Mapping[str, Instrument]
) -> AccountResult:
    """Simulate one plan on candles from a folder, or from the database."""
    candles = load(file, asked, folder=folder, base_interval=base_interval)
    return simulate(account_plan(file, asked, candles=candles, instruments=instruments))


def put_together(spec: ComparisonSpec, number: int) -> AccountPlan:
    """Put one plan of a comparison together with its candles and filters, or raise why it cannot be simulated."""
    content, source = spec.plans[number].content, source_of(number)
    file, asked = plan_of(content, source=source), spec.asked(number)
    try:
        candles = load(file, asked, folder=spec.folder, base_interval=spec.base_interval)
        symbols = {symbol for bot in file.bots for symbol in symbols_of(bot)}
        instruments = {symbol: selectors.known_instrument(symbol) for symbol in sorted(symbols)}
        return account_plan(file, asked, candles=candles, instruments=instruments)
    except (PlanRefused, DecimalException) as error:
        raise BadComparison(f"{source}: {error}") from error


def load(file: PlanFile, asked: AccountAsked, *, folder: str, base_interval: str) -> dict[str, tuple[Candles, ...]]:
    """Load the base candles of every market of every bot, from its warm-up on."""
    of_bots = intervals(file, asked)
    base = base_interval or min(of_bots.values(), key=interval_milliseconds)
    return {
        bot.key: tuple(
            selectors.load_candles(
                folder=folder,
                symbol=symbol,
                interval=base,
                begin_at=datetime.fromtimestamp(first_candle(bot, of_bots[bot.key], asked.begin_at) / 1000, tz=UTC),
                end_at=asked.end_at,
            )
            for symbol in symbols_of(bot)
        )
        for bot in file.bots
    }


def data_fingerprint(plan: AccountPlan) -> str:
    """Identify what a plan was simulated on: candle by candle, and the filters of the markets."""
    hashed = hashlib.sha256()
    for bot in plan.bots:
        for instrument, candles in zip(bot.instruments, bot.candles, strict=True):
            hashed.update(f"{bot.key} {instrument!r} {candles.interval_ms}".encode())
            hashed.update(np.ascontiguousarray(candles.times).tobytes())
            hashed.update(np.ascontiguousarray(candles.values).tobytes())
    return hashed.hexdigest()


def report(result: AccountResult) -> dict[str, Any]:
    """Say what came of an account: JSON values, amounts as strings, unknown figures as None."""
    trips = [trip for bot in result.bots for trip in _trips(bot)]
    growth = result.growth
    return {
        "name": result.name,
        "mode": str(result.mode),
        "from": _moment_text(int(result.times[0])),
        "to": _moment_text(int(result.times[-1])),
        "capital": plain(result.capital),
        "final_equity": plain(result.final_equity),
        "unallocated": plain(result.unallocated),
        "profit": plain(result.profit),
        "flows": _of_flows(result),
        "total_return": float(growth[-1] / growth[0] - 1) if result.payments else float(result.final_equity / result.capital - 1),
        **_of_equity(result.times, growth),
        **_of_trips(trips),
        **asdict(risk_figures(trips)),
        "orders": _of_orders(result),
        "fills": sum(len(bot.fills) for bot in result.bots),
        "fees": plain(result.fees),
        "refusals": dict(sorted(sum((Counter(bot.refusals) for bot in result.bots), Counter[str]()).items())),
        "decisions": result.decisions,
        "switches": len(result.switches),
        "hard_stops": [{"at": at.isoformat(), "of": key or "account"} for at, key in result.hard_stops],
        "time_in_market": float(result.is_in_market.mean()),
        "invested": float(np.mean(_part(result.invested, result.worths))),
        "bots": [_bot_report(bot) for bot in result.bots],
    }


def curve_of(result: AccountResult) -> dict[str, Any]:
    """Return the points of an account to plot, and what came and went."""
    places = result.paid
    marks = [
        {"at": int(result.times[place]), "amount": round(moved, 8), "equity": round(float(result.worths[place]) + moved, 2)}
        for place, moved in sorted(places.items())
    ]
    return {**curve(result.times, result.worths, growth=result.growth), "flows": marks}


def benchmark(plan: AccountPlan, times: Times, flows: Mapping[int, float] = NO_FLOWS) -> dict[str, Any]:
    """Buy all markets of a plan in equal parts at the beginning, at its costs, and hold them; `flows` by place among the times.

    What came to the account or left it comes and goes here at the same moments, as far as there is so much.
    """
    markets = {
        instrument.symbol: candles for bot in plan.bots for instrument, candles in zip(bot.instruments, bot.candles, strict=True)
    }
    kept = (1.0 - float(plan.costs.taker_fee)) / (1.0 + float(plan.costs.half_spread) + float(plan.costs.slippage))
    held = hold_with_flows(list(markets.values()), times, capital=float(plan.capital), cost_rate=1.0 - kept, flows=flows)
    growth = time_weighted(held.worths, held.flows)
    return {
        "symbols": sorted(markets),
        # Of plans with the same markets each holds its own: other money came and went.
        "flows_of": plan.name if flows else "",
        "total_return": float(growth[-1] / growth[0]) - 1.0,
        **_of_equity(times, growth),
        "curve": curve(times, held.worths, growth=growth),
    }


def _of_flows(result: AccountResult) -> dict[str, Any]:
    """Say what came to the account from outside and what left it, in money: none of it is in a return."""
    done = [one.done for one in result.flows]
    return {
        "deposits": plain(sum((max(one, ZERO) for one in done), ZERO)),
        "withdrawals": plain(-sum((min(one, ZERO) for one in done), ZERO)),
        "waits": plain(sum((one.waits for one in result.flows), ZERO)),
        "refused": sum(1 for one in result.flows if one.code),
        "items": [
            {
                "asked_at": one.asked_at.isoformat(),
                "at": one.at.isoformat(),
                "amount": plain(one.amount),
                "done": plain(one.done),
                "waits": plain(one.waits),
                "code": one.code,
            }
            for one in result.flows
        ],
    }


def _part(of: Floats, whole: Floats) -> Floats:
    """Divide, where there is something: an account that gave everything back is worth nothing."""
    return np.divide(of, whole, out=np.zeros_like(of), where=whole > 0.0)


def _of_equity(times: Times, worths: Floats) -> dict[str, Any]:
    daily = daily_returns(times, worths)
    low, high = sharpe_interval(daily)
    return {"max_drawdown": max_drawdown(worths), "sharpe": sharpe(daily), "sharpe_low": low, "sharpe_high": high}


def _of_trips(trips: Sequence[RoundTrip]) -> dict[str, Any]:
    wins = sum(1 for trip in trips if trip.profit > 0)
    low, high = wilson_interval(wins, len(trips))
    return {
        "trades": len(trips),
        "wins": wins,
        "win_rate": wins / len(trips) if trips else None,
        "win_rate_low": low,
        "win_rate_high": high,
        "break_even_win_rate": break_even_win_rate(trips),
    }


def _of_orders(result: AccountResult) -> dict[str, Any]:
    prices = {held.symbol: held.mark for bot in result.bots for held in bot.holdings}
    return asdict(fill_ratio([tally for bot in result.bots for tally in bot.tallies], prices))


def _trips(bot: BotResult) -> list[RoundTrip]:
    """Count a bot's closed trades; what another bot handed on to it was bought by nobody, so its sale closes no trade."""
    lot_sizes = {held.symbol: held.lot_size for held in bot.holdings}
    return closed_trips(bot.fills, lot_sizes, is_grid=registry.is_grid(bot.strategy))


def _bot_report(bot: BotResult) -> dict[str, Any]:
    return {
        "key": bot.key,
        "strategy": bot.strategy,
        "symbol": ", ".join(held.symbol for held in bot.holdings),
        "equity": plain(bot.equity),
        "profit": plain(bot.profit),
        "fills": len(bot.fills),
        "trades": len(_trips(bot)),
        "traded": plain(sum((fill.quantity * fill.price for fill in bot.fills), Decimal(0))),
        "fees": plain(bot.fees),
        "held": " ".join(plain(held.quantity) for held in bot.holdings),
        "refusals": dict(bot.refusals),
    }


def as_text(reports: list[dict[str, Any]]) -> str:
    """Write reports as a table, a column for each plan, the bots below."""
    rows: list[tuple[str, list[str]]] = [
        ("", [row["name"] for row in reports]),
        ("final equity", [f"{Decimal(row['final_equity']):.2f}" for row in reports]),
        ("return", [f"{row['total_return']:+.2%}" for row in reports]),
        *_flow_rows(reports),
        ("drawdown", [f"{row['max_drawdown']:.2%}" for row in reports]),
        ("Sharpe", [_sharpe_text(row) for row in reports]),
        ("trades", [str(row["trades"]) for row in reports]),
        ("mean in R", [_in_r_text(row) for row in reports]),
        ("SQN", ["-" if row["sqn"] is None else f"{row['sqn']:.2f}" for row in reports]),
        ("orders filled", [_filled_text(row["orders"]) for row in reports]),
        ("fills", [str(row["fills"]) for row in reports]),
        ("fees", [f"{Decimal(row['fees']):.2f}" for row in reports]),
        ("in the market", [f"{row['time_in_market']:.0%}" for row in reports]),
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


def _flow_rows(reports: list[dict[str, Any]]) -> list[tuple[str, list[str]]]:
    """Say in money what came and went, where anything was to."""
    if not any(row["flows"]["items"] for row in reports):
        return []
    told = [("profit", [f"{Decimal(row['profit']):+.2f}" for row in reports])]
    told += [(name, [f"{Decimal(row['flows'][name]):.2f}" for row in reports]) for name in ("deposits", "withdrawals", "waits")]
    codes = sorted({item["code"] for row in reports for item in row["flows"]["items"] if item["code"]})
    told += [
        (f"flows {code}", [str(sum(item["code"] == code for item in row["flows"]["items"])) for row in reports]) for code in codes
    ]
    return told


def _sharpe_text(row: Mapping[str, Any]) -> str:
    if row["sharpe"] is None:
        return "-"
    return f"{row['sharpe']:.2f} ({row['sharpe_low']:.2f} to {row['sharpe_high']:.2f})"


def _in_r_text(row: Mapping[str, Any]) -> str:
    return "-" if row["r_expectancy"] is None else f"{row['r_expectancy']:+.3f} in {row['r_trades']} trades"


def _filled_text(orders: Mapping[str, Any]) -> str:
    return "-" if orders["by_count"] is None else f"{orders['by_count']:.1%} of {orders['orders']}"


def _bot_text(row: Mapping[str, Any], key: str) -> str:
    bot = next((bot for bot in row["bots"] if bot["key"] == key), None)
    return "-" if bot is None else f"{Decimal(bot['profit']):+.2f} in {bot['fills']} fills"


def _moment_text(at: int) -> str:
    return datetime.fromtimestamp(at / 1000, tz=UTC).isoformat()
