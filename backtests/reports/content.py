"""Measure a backtest for its report: figures, curves, months, trades and candles as plain JSON values."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from decimal import Decimal
from typing import Any, Final

import numpy as np

from backtests import curves
from backtests.runs import Outcome, fees_in_quote
from backtests.spec import BacktestSpec
from trading import metrics
from trading.bars import Candles, Floats, Times, interval_milliseconds
from trading.benchmarks import capture, hold, information_ratio, regress
from trading.drawdowns import average_drawdown, deepest, drawdowns, ulcer_index
from trading.instruments import Instrument
from trading.kernels.backtest import BacktestResult
from trading.kernels.panel_backtest import PanelResult
from trading.ledger import plain
from trading.months import monthly_returns
from trading.round_trips import ZERO, RoundTrip
from trading.strategy import CLOSE, OrderKind
from trading.trade_figures import (
    Excursion,
    annual_turnover,
    cost_share,
    excursions,
    risk_figures,
    slippage_bps,
    trade_figures,
    traded_amount,
)

SCHEMA: Final = 2
# As many as a plot can show apart; figures are of all.
TRADES_DRAWN: Final = 1_500
LISTED: Final = 10
BINS_MAX: Final = 40
# They take what is there and say what it cost beyond the price that was known.
TAKERS: Final = (OrderKind.ENTRY.name, OrderKind.EXIT.name)
Result = BacktestResult | PanelResult


def report(
    spec: BacktestSpec, outcome: Outcome, *, candles: Sequence[Candles], instruments: Sequence[Instrument]
) -> dict[str, Any]:
    """Measure what came of a backtest."""
    result = outcome.result
    markets = {instrument.symbol: one for instrument, one in zip(instruments, candles, strict=True)}
    interval_ms = interval_milliseconds(spec.interval)
    # What was worth how much when its candle closed; the last candle is not stepped, only valued.
    times = np.append(result.times[:-1] + interval_ms, int(max(one.times[-1] + one.interval_ms for one in candles)))
    equity = np.append(result.equity[:-1], float(result.final_equity))
    kept = (1.0 - float(spec.mean_taker_fee)) / (1.0 + float(spec.half_spread) + float(spec.slippage))
    held = hold(candles, times, capital=float(result.allocation), cost_rate=1.0 - kept)
    invested = np.append(_invested(result, candles, times[:-1]) / result.equity[:-1], _open_value(result) / equity[-1])
    ways = excursions(outcome.trips, markets)
    found: dict[str, Any] = {
        "schema": SCHEMA,
        "from": int(result.times[0]),
        "to": int(times[-1]),
        "bars": len(result.times),
        "base_candles": sum(len(one) for one in candles),
        **_returns(result, equity, held[:-1], times),
        "falls": _falls(times, equity),
        "trades": _trades(outcome, ways),
        "orders": outcome.metrics["orders"],
        "costs": _costs(result, outcome.trips, equity, times, markets),
        "exposure": {"time": outcome.metrics["exposure"], "gross": float(np.mean(invested)), "most": float(np.max(invested))},
        "curve": {
            **curves.curve(times, equity),
            "held": curves.picked(held),
            "held_drawdown": curves.curve(times, held)["drawdown"],
            "invested": curves.averaged(invested),
        },
        "months": [one._asdict() for one in monthly_returns(times, equity)],
        "candles": {symbol: curves.thinned(one, interval_ms=interval_ms) for symbol, one in markets.items()},
        "fills": _fills(result),
    }
    return {**found, "held": _held(held, times, result.times[:-1], list(markets))}


def _returns(result: Result, equity: Floats, held: Floats, times: Times) -> dict[str, Any]:
    # The same points as the figures of the run: sampled at the candles that open at midnight.
    daily = metrics.daily_returns(result.times[:-1], result.equity[:-1])
    market = metrics.daily_returns(result.times[:-1], held)
    total = float(equity[-1] / equity[0] - 1.0)
    growth = metrics.annual_growth(total, int(times[-1] - times[0]))
    line = regress(daily, market)
    return {
        "returns": {
            "total": total,
            "growth": growth,
            "calmar": metrics.calmar(growth, metrics.max_drawdown(equity)),
            "volatility": metrics.volatility(daily),
            **_sharpe(daily),
            "sortino": metrics.sortino(daily),
            "value_at_risk": metrics.value_at_risk(daily),
            "expected_shortfall": metrics.expected_shortfall(daily),
            "days": len(daily),
        },
        "beside": {
            **(asdict(line) if line else dict.fromkeys(("alpha", "beta"))),
            "information_ratio": information_ratio(daily, market),
            "capture_up": capture(daily, market, is_up=True),
            "capture_down": capture(daily, market, is_up=False),
        },
    }


def _sharpe(daily: Floats) -> dict[str, float | None]:
    ratio = metrics.sharpe(daily)
    low, high = metrics.sharpe_interval(daily)
    return {
        "sharpe": ratio,
        "sharpe_low": low,
        "sharpe_high": high,
        "sharpe_in_sessions": metrics.in_sessions(ratio),
        "autocorrelation": metrics.autocorrelation(daily),
        "sharpe_correlated": metrics.correlated_sharpe(daily),
        "sharpe_is_positive": metrics.probabilistic_sharpe(daily),
        # Of one day: what the luck of many trials is taken off from.
        "sharpe_daily": metrics.sharpe(daily, 1),
        "sharpe_error": None if ratio is None else metrics.sharpe_error(daily, ratio / math.sqrt(metrics.DAYS_PER_YEAR)),
    }


def _falls(times: Times, equity: Floats) -> dict[str, Any]:
    found, end = drawdowns(times, equity), int(times[-1])
    longest = max((one.lasts(end) for one in found), default=0)
    return {
        "deepest": metrics.max_drawdown(equity),
        "average": average_drawdown(found),
        "ulcer": ulcer_index(equity),
        "longest_ms": longest,
        "count": len(found),
        "listed": [{**one._asdict(), "lasts_ms": one.lasts(end), "falls_ms": one.falls} for one in deepest(found)],
    }


def _trades(outcome: Outcome, ways: Sequence[Excursion]) -> dict[str, Any]:
    trips, figures = outcome.trips, asdict(trade_figures(outcome.trips))
    rows: list[dict[str, Any]] = [
        {
            "opened": trip.opened,
            "closed": trip.closed,
            "symbol": trip.symbol,
            "profit": plain(trip.profit),
            "part": round(trip.part, 6),
            "adverse": round(way.adverse, 6),
            "favourable": round(way.favourable, 6),
            "multiple": None if trip.multiple is None else round(trip.multiple, 4),
            "reason": trip.reason,
        }
        for trip, way in zip(trips, ways, strict=True)
    ]
    ranked = sorted(rows, key=lambda row: Decimal(row["profit"]), reverse=True)
    names = ("trades", "wins", "win_rate", "win_rate_low", "win_rate_high", "break_even_win_rate", "profit_factor")
    days = (outcome.result.times[-1] - outcome.result.times[0]) / metrics.DAY_MS
    return {
        **{name: outcome.metrics[name] for name in names},
        **{name: plain(value) if isinstance(value, Decimal) else value for name, value in figures.items()},
        **asdict(risk_figures(trips)),
        "a_day": len(trips) / float(days) if days else None,
        "mean_adverse": float(np.mean([way.adverse for way in ways])) if ways else None,
        "mean_favourable": float(np.mean([way.favourable for way in ways])) if ways else None,
        "drawn": [rows[place] for place in curves.evenly(len(rows), TRADES_DRAWN)],
        "best_of": ranked[:LISTED],
        "worst_of": ranked[::-1][: min(LISTED, max(0, len(ranked) - LISTED))],
        "distribution": _distribution([trip.part for trip in trips]),
        "reasons": dict(Counter(trip.reason for trip in trips).most_common()),
    }


def _distribution(parts: Sequence[float]) -> dict[str, list[float]]:
    if not parts:
        return {"edges": [], "counts": []}
    counts, edges = np.histogram(parts, bins=min(BINS_MAX, max(5, math.ceil(2 * len(parts) ** (1 / 2)))))
    return {"edges": [round(float(edge), 6) for edge in edges], "counts": counts.tolist()}


def _costs(
    result: Result, trips: Sequence[RoundTrip], equity: Floats, times: Times, markets: dict[str, Candles]
) -> dict[str, Any]:
    fees, traded = fees_in_quote(result), traded_amount(result.fills)
    worse = [
        slippage_bps([fill for fill in result.fills if fill.symbol == symbol and fill.kind in TAKERS], one)
        for symbol, one in markets.items()
    ]
    taken = np.concatenate(worse)
    return {
        "fees": plain(fees),
        "traded": plain(traded),
        "fee_share": cost_share(fees, trips),
        "turnover": annual_turnover(traded, mean_equity=float(np.mean(equity)), elapsed_ms=int(times[-1] - times[0])),
        "slippage_bps": float(np.mean(taken)) if len(taken) else None,
        "takers": len(taken),
        "fills": len(result.fills),
    }


def _invested(result: Result, candles: Sequence[Candles], times: Times) -> Floats:
    """Value what is held at the closes of the strategy's candles."""
    positions = result.positions if isinstance(result, PanelResult) else result.position[np.newaxis]
    value = np.zeros(len(times))
    for held, one in zip(positions, candles, strict=True):
        before = np.maximum(np.searchsorted(one.times, times) - 1, 0)
        value += held[:-1] * one.values[CLOSE, before]
    return value


def _open_value(result: Result) -> float:
    if isinstance(result, PanelResult):
        return float(sum((base * price for base, price in zip(result.base, result.last_prices, strict=True)), ZERO))
    return float(result.base * result.last_price)


def _held(held: Floats, times: Times, opened: Times, symbols: list[str]) -> dict[str, Any]:
    total = float(held[-1] / held[0] - 1.0)
    growth = metrics.annual_growth(total, int(times[-1] - times[0]))
    return {
        "symbols": symbols,
        "total": total,
        "growth": growth,
        "deepest": metrics.max_drawdown(held),
        "calmar": metrics.calmar(growth, metrics.max_drawdown(held)),
        **{name: value for name, value in _sharpe(metrics.daily_returns(opened, held[:-1])).items() if name.startswith("sharpe")},
    }


def _fills(result: Result) -> list[dict[str, Any]]:
    picked = (result.fills[place] for place in curves.evenly(len(result.fills), 2 * TRADES_DRAWN))
    return [
        {"time": fill.time, "side": fill.side, "price": float(fill.price), "symbol": fill.symbol, "reason": fill.reason}
        for fill in picked
    ]
