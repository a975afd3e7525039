"""Run one strategy on one market, or on several at once, from the command line."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from backtests import candle_files, jobs, runs, selectors, services
from backtests.account_command import add_account_arguments, compare_accounts
from backtests.friction_arguments import add_friction_arguments, asked_frictions, asked_participation
from backtests.models import BacktestRun
from backtests.reports import document
from backtests.reports.view import report_view
from backtests.selectors import reports
from backtests.spec import BacktestSpec, milliseconds
from backtests.words import decimal_of, described_instrument, moment_of
from trading.allocations import PlanRefused
from trading.bars import interval_milliseconds
from trading.instruments import Instrument
from trading.kernels.backtest import Fill

BASIS_POINT = Decimal("0.0001")


class Command(BaseCommand):
    """Translate the command line into a backtest and its result into text or JSON."""

    help = "Run one strategy on one market or several and show its fills and figures."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Describe the command line."""
        actions = parser.add_subparsers(dest="action", required=True)
        run = actions.add_parser("run", help="run a backtest")
        run.add_argument("--strategy", required=True)
        run.add_argument("--symbol", required=True, nargs="+", help="BTC/USDT, BTC-USDT or BTCUSDT; several share one purse")
        run.add_argument("--interval", default="5m")
        run.add_argument("--base-interval", default="", help="candles to match on; finest of the folder, else --interval")
        run.add_argument("--from", dest="begin", required=True, help="2024-03-01 or 2024-03-01T12:00, UTC")
        run.add_argument("--to", dest="end", required=True)
        run.add_argument("--anchor", default="", help="open of the first bar the indicators see (default: --from)")
        run.add_argument("--trade-from", default="", help="open of the first bar that may trade (default: after warm-up)")
        run.add_argument("--param", action="append", default=[], metavar="NAME=VALUE")
        run.add_argument("--allocation", default="1976.46")
        run.add_argument("--fee-rate", default=["0.001"], nargs="+", help="both sides; several: a taker's, one for each market")
        run.add_argument("--maker-fee-rate", default="")
        run.add_argument("--half-spread-bps", default="0.5")
        run.add_argument("--slippage-bps", default="0")
        add_friction_arguments(run)
        run.add_argument("--data", default="", metavar="DIR", help="folder of Parquet candles; default: the database")
        run.add_argument("--filters", default="", metavar="TICK,LOT,MIN_NOTIONAL", help="instead of the stored instrument")
        run.add_argument("--no-store", action="store_true", help="keep nothing in the database")
        run.add_argument("--json", action="store_true")
        add_account_arguments(actions.add_parser("account", help="simulate whole accounts and compare plans"))
        report = actions.add_parser("report", help="write the report of a stored backtest as one file of HTML")
        report.add_argument("run_id", type=int)
        report.add_argument("--to", default="", metavar="FILE", help="default: backtest-ID-STRATEGY.html")
        report.add_argument("--json", action="store_true", help="everything the report shows, as JSON")
        show = actions.add_parser("show", help="show a stored backtest")
        show.add_argument("run_id", type=int)
        show.add_argument("--json", action="store_true")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Run or show; a person sees a message, never a traceback."""
        try:
            if options["action"] == "account":
                self.stdout.write(compare_accounts(options))
                return
            if options["action"] == "report":
                self.stdout.write(_write_report(options["run_id"], options["to"], is_json=options["json"]))
                return
            report = _show(options["run_id"]) if options["action"] == "show" else _run(options)
        except (ValueError, LookupError, InvalidOperation, OSError, PlanRefused) as error:
            raise CommandError(str(error)) from error
        self.stdout.write(json.dumps(report, indent=2) if options["json"] else _as_text(report))


def _run(options: dict[str, Any]) -> dict[str, Any]:
    instruments = _instruments(options)
    spec = _spec(options, instruments).checked()
    if options["no_store"]:
        outcome = runs.run(spec, candles=selectors.candles(spec), instruments=instruments, details=selectors.details(spec))
        fills = [_fill(fill) for fill in outcome.result.fills]
        return _report(spec, fills, outcome.metrics, outcome.result.reasons)
    run = services.record_backtest(spec=spec, by=None, now=timezone.now())
    jobs.run_backtest(run_id=run.id, clock=timezone.now)
    return _show(run.id)


def _write_report(run_id: int, target: str, *, is_json: bool) -> str:
    run = selectors.run(run_id)
    kept = reports.report(run)
    if kept is None:
        raise ValueError(run.error or f"Backtest {run.id} is {run.state} and has no report: run it again to get one")
    if is_json:
        return json.dumps(report_view(run, kept), indent=2, default=str)
    path = Path(target or f"backtest-{run.id}-{run.strategy}.html")
    path.write_text(document.backtest_document(run, kept, now=timezone.now()), encoding="utf-8")
    return f"Wrote {path.resolve()}"


def _show(run_id: int) -> dict[str, Any]:
    run = selectors.run(run_id)
    if run.state == BacktestRun.State.FAILED:
        raise ValueError(f"Backtest {run.id} failed: {run.error}")
    spec = selectors.spec_of(run)
    report = _report(spec, [_fill(fill) for fill in selectors.fills(run)], run.metrics, run.reasons)
    return {"run": run.id, "state": run.state, **report}


def _report(spec: BacktestSpec, fills: list[dict[str, Any]], metrics: dict[str, Any], reasons: dict[str, int]) -> dict[str, Any]:
    return {
        "strategy": spec.strategy,
        "symbol": spec.symbol,
        "symbols": list(spec.symbols),
        "interval": spec.interval,
        "base_interval": spec.base_interval,
        "from": spec.begin_at.isoformat(),
        "to": spec.end_at.isoformat(),
        "params": dict(spec.params),
        "allocation": str(spec.allocation),
        "frictions": spec.frictions.as_plain(),
        "metrics": metrics,
        "reasons": reasons,
        "fills": fills,
    }


def _spec(options: dict[str, Any], instruments: Sequence[Instrument]) -> BacktestSpec:
    begin_at, end_at = moment_of(options["begin"]), moment_of(options["end"])
    if begin_at >= end_at:
        raise ValueError(f"--to {options['end']} must be after --from {options['begin']}")
    base, fees = options["base_interval"] or options["interval"], [decimal_of("--fee-rate", fee) for fee in options["fee_rate"]]
    if options["data"] and not options["base_interval"]:
        begin, end = milliseconds(begin_at) or 0, milliseconds(end_at) or 0
        base = _finest(Path(options["data"]), instruments, begin, end)
    return BacktestSpec(
        strategy=options["strategy"],
        params=_params(options["param"]),
        symbol=instruments[0].symbol,
        others=tuple(instrument.symbol for instrument in instruments[1:]),
        interval=options["interval"],
        base_interval=base,
        folder=options["data"],
        begin_at=begin_at,
        end_at=end_at,
        anchor_at=moment_of(options["anchor"]) if options["anchor"] else None,
        trade_from_at=moment_of(options["trade_from"]) if options["trade_from"] else None,
        allocation=decimal_of("--allocation", options["allocation"]),
        taker_fee=fees[0],
        maker_fee=decimal_of("--maker-fee-rate", options["maker_fee_rate"]) if options["maker_fee_rate"] else fees[0],
        taker_fees=tuple(fees) if len(fees) > 1 else (),
        half_spread=decimal_of("--half-spread-bps", options["half_spread_bps"]) * BASIS_POINT,
        slippage=decimal_of("--slippage-bps", options["slippage_bps"]) * BASIS_POINT,
        participation=asked_participation(options),
        detail_interval=options["detail_interval"],
        frictions=asked_frictions(options),
    )


def _finest(folder: Path, instruments: Sequence[Instrument], begin: int, end: int) -> str:
    """Find the finest interval that all markets have."""
    finest = [candle_files.finest_interval(folder, symbol=instrument.symbol, begin=begin, end=end) for instrument in instruments]
    return max(finest, key=interval_milliseconds)


def _instruments(options: dict[str, Any]) -> list[Instrument]:
    if not options["filters"]:
        return [selectors.known_instrument(symbol) for symbol in options["symbol"]]
    return [described_instrument(symbol, options["filters"]) for symbol in options["symbol"]]


def _params(pairs: list[str]) -> dict[str, str]:
    params: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise ValueError(f"--param wants NAME=VALUE, not {pair!r}")
        params[name] = value
    return params


def _fill(fill: Any) -> dict[str, Any]:
    time = fill.time if isinstance(fill, Fill) else milliseconds(fill.filled_at)
    names = ("quantity", "price", "fee")
    amounts = {name: format(getattr(fill, name).normalize(), "f") for name in names}
    return {
        "time": time,
        "side": fill.side,
        **amounts,
        "fee_asset": fill.fee_asset,
        "symbol": fill.symbol,
        "kind": fill.kind,
        "reason": fill.reason,
        "stop_price": None if fill.stop_price is None else format(fill.stop_price.normalize(), "f"),
    }


def _as_text(report: dict[str, Any]) -> str:
    lines = [f"{report['strategy']} on {', '.join(report['symbols'])} {report['interval']}, {report['from']} to {report['to']}"]
    for fill in report["fills"]:
        at = datetime.fromtimestamp(fill["time"] / 1000, tz=UTC).isoformat(sep=" ", timespec="seconds")
        amounts = f"{fill['quantity']:>14} at {fill['price']:>12}, fee {fill['fee']} {fill['fee_asset']}"
        lines.append(f"{at}  {fill['symbol']:10} {fill['side']:4} {amounts}  {fill['reason']}")
    lines += [f"{name:22} {value}" for name, value in report["metrics"].items()]
    lines += [f"{name:28} {count} bars" for name, count in sorted(report["reasons"].items())]
    return "\n".join(lines)
