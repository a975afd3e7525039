"""What can be read about backtests and sweeps."""

from backtests.selectors.runs import (
    NoSuchRun,
    candles,
    details,
    fills,
    known_instrument,
    load_candles,
    run,
    spec_of,
    waiting_runs,
)

__all__ = ["NoSuchRun", "candles", "details", "fills", "known_instrument", "load_candles", "run", "spec_of", "waiting_runs"]
