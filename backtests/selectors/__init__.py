"""What can be read about backtests and sweeps."""

from backtests.selectors.markets import known_instrument, known_instruments, load_candles
from backtests.selectors.runs import (
    NoSuchRun,
    Progress,
    candles,
    details,
    fills,
    progress,
    run,
    spec_of,
    waiting,
    waiting_runs,
)

__all__ = [
    "NoSuchRun",
    "Progress",
    "candles",
    "details",
    "fills",
    "known_instrument",
    "known_instruments",
    "load_candles",
    "progress",
    "run",
    "spec_of",
    "waiting",
    "waiting_runs",
]
