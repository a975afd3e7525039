"""Frictions on the command lines of backtests, whole accounts and sweeps."""

from __future__ import annotations

from argparse import ArgumentParser
from decimal import Decimal
from typing import Any

from backtests.words import decimal_of
from trading.frictions import FeeIn, Frictions, Rest, read_tiers


def add_friction_arguments(parser: ArgumentParser, *, has_details: bool = True) -> None:
    """Describe what may be taken into account beside fixed rates; details are of single backtests."""
    group = parser.add_argument_group("frictions", "docs/strategies/backtest.md says what each of them does")
    group.add_argument("--slippage-volatility", default="0", help="slippage in volatilities of a base candle, such as 0.1")
    group.add_argument("--slippage-impact", default="0", help="the same for an order as large as a mean candle's volume")
    group.add_argument("--fee-in", choices=[str(kind) for kind in FeeIn], default=str(FeeIn.RECEIVED))
    group.add_argument("--fee-tier", action="append", default=[], metavar="VOLUME=TAKER/MAKER", help="by volume of 30 days")
    group.add_argument("--volume-percent", default="10", help="of a base candle's volume that its orders may have")
    group.add_argument("--rest", choices=[str(rule) for rule in Rest], default=str(Rest.DEEPER), help="of a market order")
    group.add_argument("--latency-ms", type=int, default=0, help="from a decision to the exchange")
    if has_details:
        group.add_argument("--detail-interval", default="", help="finer candles that tell the order of ambiguous ones")


def asked_participation(options: dict[str, Any]) -> Decimal:
    """Read the share of a candle's volume that orders may have."""
    return decimal_of("--volume-percent", options["volume_percent"]) / 100


def asked_frictions(options: dict[str, Any]) -> Frictions:
    """Read what was asked for."""
    return Frictions(
        slippage_volatility=decimal_of("--slippage-volatility", options["slippage_volatility"]),
        slippage_impact=decimal_of("--slippage-impact", options["slippage_impact"]),
        fee_in=FeeIn(options["fee_in"]),
        fee_tiers=read_tiers(options["fee_tier"]),
        rest=Rest(options["rest"]),
        latency_ms=options["latency_ms"],
    )
