"""Time our engine and its peers on the same jobs, turn by turn, and print the table with its ratios.

    make bench-peers                     # sets the peers up in an environment of their own

Medians of interleaved runs: absolute figures move with the machine, ratios hold. Every sweep is also
compared figure by figure before it is timed.
"""

from __future__ import annotations

import argparse
import platform
import resource
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bench.peers import account_plans, event_engines, market, oracle, own_engine, vectorbt_engine
from trading.bars import Candles, Floats, Times
from trading.sweeps.figures import Figures
from trading.sweeps.market import SweepMarket, lay_market

YEAR = 525_600
FEE = 0.001
PACKAGES = ("vectorbt", "vectorbt-rust", "backtesting", "backtrader", "nautilus-trader", "numba", "numpy")


@dataclass(frozen=True)
class Job:
    """Something to time: how much of it there is, and how to do it."""

    name: str
    amount: float
    run: Callable[[], object]
    # What is made before each run, outside of the time; `run` is then what it answers.
    prepare: Callable[[], Callable[[], object]] | None = None

    def ready(self) -> Callable[[], object]:
        """Make what the next run needs."""
        return self.run if self.prepare is None else self.prepare()


class Speed(NamedTuple):
    """How much is done in a second, and in a second of processor time: other work on the machine slows the first only."""

    wall: float
    core: float


def grid(fast: range, slow: range) -> Times:
    """Pair each fast period with each slow one."""
    return np.array([(one, other) for one in fast for other in slow], dtype=np.int64)


GRIDS = {
    "wide: fast 20..515 by 5, slow 540..5490 by 50": grid(range(20, 520, 5), range(540, 5_500, 50)),
    "tight: fast 5..104 by 1, slow 105..204 by 1": grid(range(5, 105), range(105, 205)),
}


def bands(narrowest: float) -> Floats:
    """Combine ten periods and ten stops with ten widths of the band, from the narrowest on."""
    combinations = [
        (period, width, stop, 0.0)
        for period in range(10, 60, 5)
        for width in narrowest + np.arange(0, 2, 0.2)
        for stop in np.arange(0.002, 0.022, 0.002)
    ]
    return np.array(combinations)


BANDS = {"bands 1.0 to 2.8 deviations wide": bands(1.0), "bands 2.0 to 3.8 deviations wide": bands(2.0)}


def take_turns(jobs: list[Job], rounds: int) -> list[Speed]:
    """Run the jobs turn by turn; answer each one's median speeds."""
    speeds: list[list[Speed]] = [[] for _ in jobs]
    for job in jobs:
        job.ready()()
    for _ in range(rounds):
        for job, row in zip(jobs, speeds, strict=True):
            run = job.ready()
            started, burnt = time.perf_counter(), time.process_time()
            run()
            row.append(Speed(job.amount / (time.perf_counter() - started), job.amount / (time.process_time() - burnt)))
    return [Speed(*(statistics.median(column) for column in zip(*row, strict=True))) for row in speeds]


def show(title: str, jobs: list[Job], speeds: list[Speed]) -> None:
    """Print one part of the table; ratios are to the last line."""
    print(f"\n{title}\n\n| engine | a second | a second of one core | ratio per core |\n|---|---|---|---|")
    for job, speed in zip(jobs, speeds, strict=True):
        ratio = speed.core / speeds[-1].core
        print(f"| {job.name} | {readable(speed.wall)} | {readable(speed.core)} | {ratio:,.{int(ratio < 20)}f} |", flush=True)


def readable(speed: float) -> str:
    """Write a speed in thousands, millions or thousand millions."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if speed >= size:
            return f"{speed / size:.2f} {unit}"
    return f"{speed:.0f}"


def compare(bars: int) -> None:
    """Print how far the figures of 1,000 combinations are from vectorbt's."""
    print("\nAgreement with vectorbt on 1,000 combinations, largest relative difference\n")
    print(
        "| market | equity | drawdown | Sharpe | trades that differ | wins that differ | trades that come to nothing | trades |\n"
        "|---|---|---|---|---|---|---|---|"
    )
    pairs = grid(range(3, 43, 2), range(20, 220, 4))
    for tick in (0.01, 10.0, 100.0):
        # Hours, so that the bars make enough days for a Sharpe ratio; the last day is not whole.
        candles = market.random_walk(bars=bars, tick=tick, interval_ms=3_600_000)
        ours = own_engine.sweep_pairs(lay_market(candles), pairs, fee=FEE, threads=1)
        theirs = vectorbt_engine.sweep_pairs(candles, pairs, fee=FEE, is_exact=True)
        print(f"| {bars:,} hours, tick {tick:g} | {_differences(ours, theirs)} |", flush=True)


def _differences(ours: Figures, theirs: vectorbt_engine.Found) -> str:
    floats = [_furthest(getattr(ours, name), getattr(theirs, name)) for name in ("final_equity", "max_drawdown", "sharpe")]
    counts = [int(np.sum(np.abs(getattr(ours, name) - getattr(theirs, name)))) for name in ("trades", "wins")]
    return " | ".join(
        [*(f"{one:.1e}" for one in floats), *(str(one) for one in counts), str(theirs.even), f"{int(ours.trades.sum()):,}"]
    )


def _furthest(ours: Floats, theirs: Floats) -> float:
    assert np.array_equal(np.isnan(ours), np.isnan(theirs))
    known = ~np.isnan(theirs) & (theirs != 0)
    return float(np.max(np.abs(ours[known] / theirs[known] - 1.0), initial=0.0))


def sweeps(candles: Candles, rounds: int) -> None:
    """Time the sweeps of crosses."""
    laid, bars = lay_market(candles), len(candles)
    few = grid(range(20, 40, 5), range(540, 790, 50))
    for title, pairs in GRIDS.items():
        jobs = [
            Job(f"ours, {threads} thread{'s' * (threads > 1)}", len(pairs) * bars, _crosses(laid, pairs, threads))
            for threads in (2, 1)
        ]
        jobs += [
            Job("numba, one plain pass per combination", bars, lambda: own_engine.plain_loop(candles, 20, 540, fee=FEE)),
            Job(
                f"vectorbt, {vectorbt_engine.ENGINE}", len(few) * bars, lambda: vectorbt_engine.sweep_pairs(candles, few, fee=FEE)
            ),
        ]
        show(f"Sweep of crosses, {len(pairs):,} combinations, {title}, {bars:,} bars; combo-bars", jobs, take_turns(jobs, rounds))


def reversals(candles: Candles, rounds: int) -> None:
    """Time the sweeps of reversals."""
    laid = lay_market(candles)
    for title, combinations in BANDS.items():
        _reversals(candles, laid, title, combinations, rounds)


def _reversals(candles: Candles, laid: SweepMarket, title: str, combinations: Floats, rounds: int) -> None:
    bars = len(candles)
    some = np.ascontiguousarray(combinations[:: len(combinations) // 16][:16])
    trades = int(own_engine.sweep_bands(laid, combinations, fee=FEE, threads=1).trades.sum())
    jobs = [
        Job("ours, 1 thread", len(combinations) * bars, lambda: own_engine.sweep_bands(laid, combinations, fee=FEE, threads=1)),
        Job(f"vectorbt, {vectorbt_engine.ENGINE}", len(some) * bars, lambda: vectorbt_engine.sweep_bands(candles, some, fee=FEE)),
    ]
    speeds = take_turns(jobs, rounds)
    show(f"Reversal at the band with a stop, {len(combinations):,} combinations, {title}; combo-bars", jobs, speeds)
    print(f"\n{len(combinations) * bars / speeds[0].core / trades * 1e9:.0f} ns a trade, {trades:,} trades")


def _nothing() -> None:
    """Stand in for a run that is prepared each time."""


def _crosses(laid: object, pairs: Times, threads: int) -> Callable[[], object]:
    return lambda: own_engine.sweep_pairs(laid, pairs, fee=FEE, threads=threads)  # type: ignore[arg-type]


def singles(candles: Candles, rounds: int) -> None:
    """Time one backtest of a crossing of averages; engines that are slow get fewer bars."""
    short = Candles(candles.interval_ms, candles.times[:20_000], np.ascontiguousarray(candles.values[:, :20_000]))
    jobs = [
        Job("ours, event engine, its loop alone", len(candles), _nothing, lambda: own_engine.event_loop(candles, 20, 200)),
        Job("ours, plain pass with all figures", len(candles), lambda: own_engine.plain_loop(candles, 20, 200, fee=FEE)),
        Job(
            "ours, event engine: lots, ticks, spread, every fill", len(candles), lambda: own_engine.event_engine(candles, 20, 200)
        ),
        Job("backtesting.py", len(short), lambda: event_engines.backtesting_py(short)),
        Job("nautilus_trader", len(short), _nothing, lambda: event_engines.nautilus(short)),
        Job("backtrader", len(short), lambda: event_engines.backtrader_engine(short)),
    ]
    show("One backtest, averages of 20 and 200; bars", jobs, take_turns(jobs, rounds))


def accounts(folder: Path | None, rounds: int) -> None:
    """Time whole accounts of five bots beside one strategy in an engine that runs one; bars of all bots count."""
    laid, candles = account_plans.plans(account_plans.candles_of(folder)), market.random_walk(bars=20_000)
    jobs = [
        Job(f"ours, five bots, {name}", account_plans.bot_bars(), _nothing, partial(own_engine.whole_account, plan))
        for name, plan in laid.items()
    ]
    jobs.append(Job("nautilus_trader, one strategy", len(candles), _nothing, lambda: event_engines.nautilus(candles)))
    show("A year of a whole account on 15m candles; bars", jobs, take_turns(jobs, rounds))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--bars", type=int, default=YEAR)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=("oracle", "compare", "sweeps", "reversals", "singles", "accounts"))
    parser.add_argument(
        "--data", type=Path, help="folder of an exchange's Parquet candles for the whole account; else it is drawn"
    )
    options = parser.parse_args()
    candles = market.random_walk(bars=options.bars)
    model = [
        line.partition(":")[2].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")
    ]
    print(f"{platform.machine()}, {model[0] if model else 'unknown'}, {len(model)} cores, Python {platform.python_version()}")
    print(", ".join(f"{package} {version(package)}" for package in PACKAGES))
    if options.only in (None, "oracle"):
        oracle.show()
    if options.only in (None, "compare"):
        compare(min(options.bars, 20_003))
    if options.only in (None, "sweeps"):
        sweeps(candles, options.rounds)
    if options.only in (None, "reversals"):
        reversals(candles, options.rounds)
    if options.only in (None, "singles"):
        singles(candles, options.rounds)
    if options.only in (None, "accounts"):
        accounts(options.data, options.rounds)
    print(f"\nPeak memory of this process, peers included: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")


if __name__ == "__main__":
    main()
