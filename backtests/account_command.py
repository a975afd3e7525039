"""`backtest account`: simulate plans of a whole account and put them side by side."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from backtests import account_runs, selectors
from backtests.account_spec import AccountAsked, PlanFile, read_plan, symbols_of
from backtests.friction_arguments import add_friction_arguments, asked_frictions, asked_participation
from backtests.spec import check_participation
from backtests.words import decimal_of, described_instrument, moment_of
from trading.handover import EXCLUSIVE, Mode
from trading.instruments import Instrument
from trading.kernels.backtest import Costs

_BASIS_POINT: Final = Decimal("0.0001")
_MODES: Final = (Mode.PERCENTAGE, *sorted(EXCLUSIVE))


def add_account_arguments(parser: ArgumentParser) -> None:
    """Describe the command line."""
    parser.add_argument("--plan", required=True, nargs="+", metavar="FILE", help="line-up files, compared with each other")
    parser.add_argument(
        "--mode", nargs="+", choices=[str(mode) for mode in _MODES], help="each plan in each mode; default: the plan's own"
    )
    parser.add_argument("--from", dest="begin", required=True, help="2024-03-01 or 2024-03-01T12:00, UTC")
    parser.add_argument("--to", dest="end", required=True)
    parser.add_argument("--capital", default="9882.30")
    parser.add_argument("--bot", default="", help="whose turn it is in single mode")
    parser.add_argument("--rotation", default="", metavar="FILE", help="the week of rotation mode, as `mode rotation` reads it")
    parser.add_argument("--budget", default="", help="of the bot whose turn it is; default: all there is")
    parser.add_argument("--interval", default="", help="for all bots, instead of their own")
    parser.add_argument("--base-interval", default="", help="candles to match on; default: the shortest interval of the bots")
    parser.add_argument("--no-caps", action="store_true", help="without the caps of the day and the limit on an order's value")
    parser.add_argument("--fee-rate", default="0.001", help="both sides; --maker-fee-rate for another maker's fee")
    parser.add_argument("--maker-fee-rate", default="")
    parser.add_argument("--half-spread-bps", default="0.5")
    parser.add_argument("--slippage-bps", default="0")
    add_friction_arguments(parser, has_details=False)
    parser.add_argument("--data", default="", metavar="DIR", help="folder of Parquet candles; default: the database")
    parser.add_argument("--filters", action="append", default=[], metavar="SYMBOL=TICK,LOT,MIN_NOTIONAL")
    parser.add_argument("--json", action="store_true")


def compare_accounts(options: dict[str, Any]) -> str:
    """Simulate every plan in every mode that was asked for; answer a table, or JSON."""
    files = [read_plan(Path(path)) for path in options["plan"]]
    instruments = _instruments(files, options["filters"])
    modes: Sequence[str | None] = options["mode"] or [None]
    reports = [
        account_runs.report(
            account_runs.run(
                file,
                _asked(options, mode),
                folder=options["data"],
                base_interval=options["base_interval"],
                instruments=instruments,
            )
        )
        for file in files
        for mode in modes
    ]
    return json.dumps(reports, indent=2) if options["json"] else account_runs.as_text(reports)


def _asked(options: dict[str, Any], mode: str | None) -> AccountAsked:
    participation = asked_participation(options)
    check_participation(participation)
    return AccountAsked(
        mode=None if mode is None else Mode(mode),
        capital=decimal_of("--capital", options["capital"]),
        begin_at=moment_of(options["begin"]),
        end_at=moment_of(options["end"]),
        costs=Costs(
            decimal_of("--fee-rate", options["fee_rate"]),
            decimal_of("--maker-fee-rate", options["maker_fee_rate"] or options["fee_rate"]),
            decimal_of("--half-spread-bps", options["half_spread_bps"]) * _BASIS_POINT,
            decimal_of("--slippage-bps", options["slippage_bps"]) * _BASIS_POINT,
            participation,
            asked_frictions(options),
        ),
        bot=options["bot"],
        rotation=Path(options["rotation"]).read_text(encoding="utf-8") if options["rotation"] else "",
        budget=decimal_of("--budget", options["budget"]) if options["budget"] else None,
        is_limited=not options["no_caps"],
        interval=options["interval"],
    )


def _instruments(files: Sequence[PlanFile], filters: Sequence[str]) -> dict[str, Instrument]:
    described = dict(pair.partition("=")[::2] for pair in filters)
    symbols = sorted({symbol for file in files for bot in file.bots for symbol in symbols_of(bot)})
    return {
        symbol: described_instrument(symbol, described[symbol]) if symbol in described else selectors.known_instrument(symbol)
        for symbol in symbols
    }
