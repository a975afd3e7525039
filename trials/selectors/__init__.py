"""What can be read about trials."""

from trials.selectors.comparing import Comparison, Row, compare
from trials.selectors.rows import (
    NoSuchTrial,
    Progress,
    holding,
    is_due,
    newest_trials,
    obstacles,
    progress,
    simulated_waiting,
    trading_apart,
    trial,
)
from trials.selectors.stretches import earliest_begin, warm_up

__all__ = [
    "Comparison",
    "NoSuchTrial",
    "Progress",
    "Row",
    "compare",
    "earliest_begin",
    "holding",
    "is_due",
    "newest_trials",
    "obstacles",
    "progress",
    "simulated_waiting",
    "trading_apart",
    "trial",
    "warm_up",
]
