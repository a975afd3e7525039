"""Measure how active each strategy's presets are on real candles, and how fast its backtest runs.

    python -m bench.strategies FOLDER

FOLDER holds Parquet candles as EXCHANGE/SYMBOL/INTERVAL.parquet. The figures show activity, not merit.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

from backtests import runs
from backtests.candle_files import NoCandles, read_candles
from backtests.spec import BacktestSpec, milliseconds
from bench.peers.account_plans import MARKETS
from strategies import registry
from trading.bars import Candles

STRETCHES = {
    "1m": (datetime(2021, 4, 20, tzinfo=UTC), datetime(2021, 5, 20, tzinfo=UTC)),
    "5m": (datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 9, 7, tzinfo=UTC)),
    "15m": (datetime(2024, 1, 1, tzinfo=UTC), datetime(2025, 1, 1, tzinfo=UTC)),
    "1h": (datetime(2024, 1, 1, tzinfo=UTC), datetime(2025, 1, 1, tzinfo=UTC)),
}
HEADINGS = ("strategy", "market", "interval", "weeks", "round trips a week", "of them stopped", "return %", "M bars/s")


@dataclass(frozen=True)
class Row:
    """What one strategy did on one market."""

    strategy: str
    symbol: str
    interval: str
    weeks: float
    trips_per_week: float
    stops: int
    total_return: float
    bars_per_second: float

    def cells(self) -> tuple[str, ...]:
        """Answer the row as text."""
        return (
            self.strategy,
            self.symbol,
            self.interval,
            f"{self.weeks:.0f}",
            f"{self.trips_per_week:.1f}",
            str(self.stops),
            f"{self.total_return * 100:.2f}",
            f"{self.bars_per_second / 1e6:.2f}",
        )


def measure(folder: Path, name: str, symbol: str, interval: str) -> Row:
    """Run a preset twice, the second time against the clock."""
    begin_at, end_at = STRETCHES[interval]
    begin, end = milliseconds(begin_at) or 0, milliseconds(end_at) or 0
    candles = read_candles(folder, symbol=symbol, interval=interval, begin=begin, end=end)
    spec = _spec(name, symbol, interval, begin_at, end_at)
    _run(spec, candles)
    started = time.perf_counter()
    outcome = _run(spec, candles)
    seconds = time.perf_counter() - started
    figures = outcome.metrics
    return Row(
        strategy=name,
        symbol=symbol,
        interval=interval,
        weeks=len(outcome.result.times) * candles.interval_ms / 604_800_000,
        trips_per_week=figures["trades_per_week"],
        stops=sum(fill.kind == "STOP" for fill in outcome.result.fills),
        total_return=figures["total_return"],
        bars_per_second=len(candles) / seconds,
    )


def _run(spec: BacktestSpec, candles: Candles) -> runs.Outcome:
    return runs.run(spec, candles=[candles], instruments=[MARKETS[spec.symbol]])


def _spec(name: str, symbol: str, interval: str, begin_at: datetime, end_at: datetime) -> BacktestSpec:
    return BacktestSpec(
        strategy=name,
        params={},
        symbol=symbol,
        interval=interval,
        base_interval=interval,
        folder="",
        begin_at=begin_at,
        end_at=end_at,
        anchor_at=None,
        trade_from_at=None,
        allocation=Decimal("1976.46"),
        taker_fee=Decimal("0.001"),
        maker_fee=Decimal("0.001"),
        half_spread=Decimal("0.00005"),
        slippage=Decimal(0),
    ).checked()


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    print("| " + " | ".join(HEADINGS) + " |")
    print("|" + " --- |" * len(HEADINGS))
    for name in (name for name in registry.shipped_names() if registry.definition(name).symbols_least == 1):
        for interval in STRETCHES:
            for symbol in MARKETS:
                try:
                    print("| " + " | ".join(measure(folder, name, symbol, interval).cells()) + " |", flush=True)
                except NoCandles:
                    print(f"| {name} | {symbol} | {interval} |  | no candles |  |  |  |")


if __name__ == "__main__":
    main()
