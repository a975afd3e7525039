"""Put a run and its report into the words of the API, which page and file show too."""

from __future__ import annotations

from dataclasses import asdict, fields
from datetime import datetime
from typing import Any, Final

from django.utils import timezone

from backtests import selectors
from backtests.models import BacktestReport, BacktestRun
from backtests.reports import layout, words
from backtests.selectors import reports
from backtests.selectors.reports import Tried
from trading.frictions import FeeIn, Rest, read_frictions
from trading.metrics import deflated_sharpe
from trading.trade_figures import RiskFigures

_FIELDS: Final = (
    "id",
    "strategy",
    "params",
    "interval",
    "base_interval",
    "folder",
    "begin_at",
    "end_at",
    "anchor_at",
    "trade_from_at",
    "allocation",
    "taker_fee",
    "maker_fee",
    "taker_fees",
    "half_spread",
    "slippage",
    "participation",
    "detail_interval",
    "frictions",
    "fingerprint",
    "source_hash",
    "state",
    "error",
    "metrics",
    "reasons",
    "requested_at",
    "started_at",
    "finished_at",
)
_IN_R: Final = tuple(one.name for one in fields(RiskFigures))
_TAKEN_FROM: Final = {FeeIn.RECEIVED: "what is received", FeeIn.QUOTE: "quote"}
_RESTS: Final = {
    Rest.DEEPER: "more of a market order lies half a spread deeper each time",
    Rest.WAIT: "more of a market order waits for the next candles",
    Rest.CANCEL: "more of a market order is called off",
}
_PATH: Final = "open, nearer extreme, other extreme, close; a stop fills from the price that triggers it, a limit a tick beyond"
NO_PROMISE: Final = "A backtest is no promise: the best of many tries looks good by luck alone."


def run_view(found: BacktestRun) -> dict[str, Any]:
    """Say what was asked for and what came of it, in figures."""
    how_far = asdict(selectors.progress(found, now=timezone.now()))
    return {**{name: getattr(found, name) for name in _FIELDS}, **how_far, "symbols": [found.symbol, *found.others]}


def report_view(found: BacktestRun, kept: BacktestReport) -> dict[str, Any]:
    """Return everything that a report says."""
    counted = reports.tried(found)
    return {
        "run": run_view(found),
        "content": kept.content,
        "in_r": {name: kept.content["trades"][name] for name in _IN_R if name in kept.content["trades"]},
        "orders": kept.content.get("orders"),
        "data_hash": kept.data_hash,
        "made_at": kept.made_at,
        "is_synthetic": reports.is_synthetic(found),
        "backtests_tried": counted.backtests,
        "sweep_trials_tried": counted.sweep_trials,
        "luck": luck(kept.content, counted),
    }


def page_of(view: dict[str, Any], *, now: datetime) -> dict[str, Any]:
    """Lay a report out for the template that page and file share."""
    content, run = view["content"], view["run"]
    return {
        "view": view,
        "run": run,
        "markets": ", ".join(run["symbols"]),
        "tiles": layout.tiles(content),
        "sections": layout.sections(content, luck=view["luck"]),
        "falls": layout.falls(content),
        "months": layout.months(content),
        "month_names": layout.MONTHS,
        "trade_tables": [
            ("Best trades", layout.trades(content["trades"]["best_of"])),
            ("Worst trades", layout.trades(content["trades"]["worst_of"])),
        ],
        "stretch": f"{words.minute(content['from'])} to {words.minute(content['to'])} UTC",
        "assumptions": assumptions(view),
        "note": NO_PROMISE,
        "written_at": now,
        "drawn": drawn(content),
    }


def drawn(content: dict[str, Any]) -> dict[str, Any]:
    """Pick what the plots need."""
    names = ("curve", "candles", "fills")
    rows = content["trades"]["drawn"]
    columns = ("opened", "closed", "profit", "part", "adverse", "favourable", "symbol", "reason")
    return {
        **{name: content[name] for name in names},
        "trades": {column: [row[column] for row in rows] for column in columns},
        "distribution": content["trades"]["distribution"],
    }


def luck(content: dict[str, Any], counted: Tried) -> dict[str, Any] | None:
    """Take the luck of the sweeps' trials off the ratio; None without a ratio or without trials that had one."""
    one, error = content["returns"]["sharpe_daily"], content["returns"]["sharpe_error"]
    if one is None or not error or counted.daily_variance is None:
        return None
    found = deflated_sharpe(one, error, trials=counted.trials, variance=counted.daily_variance)
    note = f"deflated by {counted.trials:,} tries on this market and time; 95 % is the usual bar"
    return {"deflated": found, "trials": counted.trials, "note": note}


def assumptions(view: dict[str, Any]) -> list[tuple[str, str]]:
    """Say under which conditions all this came about."""
    run, content, found = view["run"], view["content"], view["run"]["metrics"]
    tries = f"{view['backtests_tried']:,} backtests and {view['sweep_trials_tried']:,} trials of sweeps"
    where = "a folder of Parquet candles" if run["folder"] else "the stored history"
    synthetic = " · SYNTHETIC PRICES" if view["is_synthetic"] else ""
    denied = ", ".join(f"{code} {count:,}" for code, count in sorted(found.get("denials", {}).items())) or "nothing"
    return [
        ("Prices", f"{content['base_candles']:,} candles of {run['base_interval']} from {where}{synthetic}"),
        ("Decisions", f"{content['bars']:,} closed candles of {run['interval']}; carried out at the next open"),
        ("Fees", f"taker {_taker(run)}, maker {_rate(run['maker_fee'])}, taken from {_TAKEN_FROM[_fee_in(run)]}"),
        ("Spread and slippage", f"half spread {_rate(run['half_spread'])}, slippage {_rate(run['slippage'])}"),
        ("Volume", f"{float(run['participation']):.1%} of a candle's for its orders; {_RESTS[_rest(run)]}"),
        ("Frictions", words.frictions(run["frictions"])),
        ("Inside a candle", _PATH),
        ("Ambiguous candles", _ambiguous(found, content["base_candles"], run["detail_interval"])),
        ("Capital", f"{words.amount(run['allocation'])}, no deposits or withdrawals; gaps in the candles stay gaps"),
        ("Filters", f"today's; {found.get('prices_off_grid', 0):,} candles had prices between two ticks and were rounded"),
        ("Denied", denied),
        ("Open at the end", f"{_open(found.get('open_quantity', '0'))}; valued at the last close, counted in no trade"),
        ("Tried", f"{tries} of this strategy on candles of this market and time, so far"),
        ("Fingerprints", f"spec {run['fingerprint'][:12]} · data {view['data_hash'][:12]} · code {run['source_hash'][:12]}"),
    ]


def _taker(run: dict[str, Any]) -> str:
    if not run["taker_fees"]:
        return _rate(run["taker_fee"])
    return ", ".join(f"{_rate(fee)} on {symbol}" for fee, symbol in zip(run["taker_fees"], run["symbols"], strict=True))


def _fee_in(run: dict[str, Any]) -> FeeIn:
    return read_frictions(run["frictions"]).fee_in


def _rest(run: dict[str, Any]) -> Rest:
    return read_frictions(run["frictions"]).rest


def _ambiguous(found: dict[str, Any], candles: int, detail_interval: str) -> str:
    count = int(found.get("ambiguous_bars", 0))
    counted = f"{count:,} ({count / max(candles, 1):.2%}), in which both ends met an order"
    if not detail_interval:
        return counted
    told = f"{found.get('resolved_bars', 0):,} told by their candles of {detail_interval}"
    return f"{counted}; {told}, in the others the low came first"


def _rate(value: Any) -> str:
    return f"{float(value) * 1e4:g} bp"


def _open(quantity: str | dict[str, str]) -> str:
    if isinstance(quantity, dict):
        return ", ".join(f"{amount} {symbol.partition('/')[0]}" for symbol, amount in quantity.items())
    return quantity
