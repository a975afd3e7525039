"""What can be read about backtests and sweeps."""

from backtests.selectors.runs import (
    NoSuchRun,
    Progress,
    candles,
    details,
    fills,
    known_instrument,
    load_candles,
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
    "load_candles",
    "progress",
    "run",
    "spec_of",
    "waiting",
    "waiting_runs",
]
