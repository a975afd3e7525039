"""Measure how fast a whole account of five bots is simulated, beside the same bots walked alone in the same run.

    python -m bench.accounts [FOLDER] [--rounds 3]

FOLDER holds Parquet candles as EXCHANGE/SYMBOL/INTERVAL.parquet; then it is a year of Binance 15m candles, else a random
walk of the same length. Rounds take turns. What is counted is processor time of the runs alone, with candles loaded and code
compiled; "alone" is the compiled loop of one market with nobody to ask, the most that an account could reach.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

from bench.peers.account_plans import bot_bars, candles_of, plans
from trading.accounts.plan import AccountPlan
from trading.accounts.result import AccountResult
from trading.accounts.simulation import AccountSimulation
from trading.kernels.backtest import Costs, prepare_backtest

# nautilus_trader runs one strategy at so many bars a second on such a machine; `make bench-peers` measures it.
PEER_BARS = 27_000


def timed(run: Callable[[], None]) -> float:
    """Answer the processor time of a run."""
    began = time.process_time()
    run()
    return time.process_time() - began


def account(plan: AccountPlan, kept: list[AccountResult]) -> float:
    """Simulate an account; only its walk counts."""
    simulation = AccountSimulation(plan)
    took = timed(simulation.run)
    kept.append(simulation.result())
    return took


def alone(plan: AccountPlan) -> float:
    """Walk each bot of a plan alone, with a fifth of the account and nobody to ask."""
    simulations = [
        prepare_backtest(
            definition=bot.definition,
            params=bot.params,
            candles=bot.candles[0],
            interval_ms=bot.interval_ms,
            instrument=bot.instruments[0],
            costs=Costs(),
            allocation=plan.capital / 5,
            start=int(plan.begin_at.timestamp()) * 1000,
        )
        for bot in plan.bots
    ]
    return sum(timed(simulation.run) for simulation in simulations)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    known = plans(candles_of(asked.folder))
    bars = bot_bars()
    kept: dict[str, list[AccountResult]] = {name: [] for name in known}
    took: dict[str, list[float]] = {name: [] for name in ("alone", *known)}
    for number in range(asked.rounds + 1):
        of_round = {"alone": alone(known["percentage"])} | {name: account(plan, kept[name]) for name, plan in known.items()}
        for name, seconds in of_round.items():
            # The first round compiles.
            took[name] += [seconds] * (number > 0)
    medians = {name: statistics.median(seconds) for name, seconds in took.items()}
    print(f"{bars:,} bot-bars, {asked.rounds} rounds, load {os.getloadavg()[0]:.1f}")
    print("| what | seconds | decisions | fills | bot-bars a second | of the bots alone | x nautilus_trader |")
    print("|---|---|---|---|---|---|---|")
    for name, seconds in medians.items():
        result = kept[name][-1] if name in kept else None
        cells = ("", "") if result is None else (f"{result.decisions:,}", f"{sum(len(bot.fills) for bot in result.bots):,}")
        rate = bars / seconds
        share = f"{medians['alone'] / seconds:.1%}"
        print(f"| {name} | {seconds:.3f} | {cells[0]} | {cells[1]} | {rate:,.0f} | {share} | {rate / PEER_BARS:.1f} |")


if __name__ == "__main__":
    main()
