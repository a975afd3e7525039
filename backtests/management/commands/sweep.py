"""Sweep many combinations of parameters from the command line."""

from __future__ import annotations

import json
import time
from argparse import ArgumentParser
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from backtests import jobs, services, sweep_runs
from backtests.friction_arguments import add_friction_arguments, asked_frictions, asked_participation
from backtests.models import Sweep
from backtests.schemas import NO_PROMISE
from backtests.selectors import sweeps
from backtests.sweep_spec import SweepSpec, parse_grid
from backtests.words import moment_of

BASIS_POINT = Decimal("0.0001")


class Command(BaseCommand):
    """Translate the command line into a sweep and its results into text or JSON."""

    help = "Try a grid of parameters on one market."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Describe the command line."""
        actions = parser.add_subparsers(dest="action", required=True)
        run = actions.add_parser("run", help="run a sweep")
        run.add_argument("--strategy", required=True, help="sma_cross, ema_cross, bollinger_reversal or a strategy's name")
        run.add_argument("--grid", action="append", default=[], required=True, metavar="NAME=LOW:HIGH:STEP", help="or NAME=V,V,V")
        run.add_argument("--fix", action="append", default=[], metavar="NAME=VALUE", help="the same in every trial")
        run.add_argument("--sample", type=int, default=0, help="draw this many combinations instead of all")
        run.add_argument("--seed", type=int, default=0)
        run.add_argument("--symbol", default="BTC/USDT")
        run.add_argument("--interval", default="1h")
        run.add_argument("--from", dest="begin", required=True, help="2020-01-01 or 2020-01-01T12:00, UTC")
        run.add_argument("--to", dest="end", required=True)
        run.add_argument("--data", default="", metavar="DIR", help="folder of Parquet candles; default: the database")
        run.add_argument("--allocation", default="1000")
        run.add_argument("--fee-rate", default="0.001")
        run.add_argument("--half-spread-bps", default="0.5")
        run.add_argument("--slippage-bps", default="0")
        add_friction_arguments(run, has_details=False)
        run.add_argument("--queue", action="store_true", help="leave the work to the workers")
        for_people = [run, actions.add_parser("show", help="show a sweep"), actions.add_parser("cancel", help="stop a sweep")]
        for action in for_people[1:]:
            action.add_argument("sweep_id", type=int)
        for action in for_people[:2]:
            action.add_argument("--by", default="sharpe", choices=sweep_runs.FIGURES)
            action.add_argument("--best", type=int, default=10)
            action.add_argument("--out", default="", metavar="FILE", help="write all trials as Parquet")
            action.add_argument("--json", action="store_true")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Run, show or cancel; a person sees a message, never a traceback."""
        try:
            if options["action"] == "cancel":
                services.cancel_sweep(sweep_id=options["sweep_id"], now=timezone.now())
                self.stdout.write(f"Sweep {options['sweep_id']} is cancelled; what it found stays.")
                return
            sweep = sweeps.sweep(options["sweep_id"]) if options["action"] == "show" else self._run(options)
            report = _report(sweep, options)
        except (ValueError, LookupError, InvalidOperation, services.UnableToSteer) as error:
            raise CommandError(str(error)) from error
        self.stdout.write(json.dumps(report, indent=2) if options["json"] else _as_text(report))

    def _run(self, options: dict[str, Any]) -> Sweep:
        spec = _spec(options)
        if options["queue"]:
            return services.request_sweep(spec=spec, by=None, now=timezone.now())
        sweep = services.record_sweep(spec=spec, by=None, now=timezone.now())
        told, ground = time.monotonic(), jobs.SweepGround()
        while jobs.run_sweep_chunk(sweep_id=sweep.id, clock=timezone.now, ground=ground):
            if time.monotonic() - told > 2:
                told = time.monotonic()
                self.stderr.write(_progress_line(sweeps.progress(sweeps.sweep(sweep.id), now=timezone.now())))
        return sweeps.sweep(sweep.id)


def _report(sweep: Sweep, options: dict[str, Any]) -> dict[str, Any]:
    if sweep.state == Sweep.State.FAILED:
        raise ValueError(f"Sweep {sweep.id} failed: {sweep.error}")
    table = sweeps.results(sweep)
    if options["out"] and table is not None:
        Path(options["out"]).write_bytes(sweep_runs.to_parquet(table))
    return {
        "sweep": sweep.id,
        "state": sweep.state,
        "strategy": sweep.strategy,
        "symbol": sweep.symbol,
        "interval": sweep.interval,
        "trials": sweep.trials,
        "progress": _progress_line(sweeps.progress(sweep, now=timezone.now())),
        "fingerprints": {"spec": sweep.fingerprint, "data": sweep.data_hash, "code": sweep.source_hash},
        "by": options["by"],
        "best": [] if table is None else sweeps.best(table, figure=options["by"], limit=options["best"]),
        "note": NO_PROMISE,
    }


def _progress_line(progress: sweeps.Progress) -> str:
    line = f"{progress.trials_done:,} of {progress.trials:,} trials"
    if progress.trials_per_second:
        line += f", {progress.trials_per_second:,.0f} a second"
    if progress.seconds_left is not None:
        line += f", {progress.seconds_left:.0f} s left"
    return line


def _spec(options: dict[str, Any]) -> SweepSpec:
    return SweepSpec(
        strategy=options["strategy"],
        grid=parse_grid(options["grid"]),
        fixed={name: values[0] for name, values in parse_grid(options["fix"]).items()},
        sample=options["sample"],
        seed=options["seed"],
        symbol=options["symbol"],
        interval=options["interval"],
        folder=options["data"],
        begin_at=moment_of(options["begin"]),
        end_at=moment_of(options["end"]),
        allocation=Decimal(options["allocation"]),
        fee=Decimal(options["fee_rate"]),
        half_spread=Decimal(options["half_spread_bps"]) * BASIS_POINT,
        slippage=Decimal(options["slippage_bps"]) * BASIS_POINT,
        participation=asked_participation(options),
        frictions=asked_frictions(options),
    )


def _as_text(report: dict[str, Any]) -> str:
    lines = [f"Sweep {report['sweep']} of {report['strategy']} on {report['symbol']} {report['interval']}: {report['progress']}"]
    for row in report["best"]:
        cells = [f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}" for name, value in row.items()]
        lines.append("  ".join(cells))
    return "\n".join([*lines, f"Best by {report['by']} of {report['trials']:,} trials. {report['note']}"])
