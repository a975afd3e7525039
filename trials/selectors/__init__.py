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

__all__ = [
    "Comparison",
    "NoSuchTrial",
    "Progress",
    "Row",
    "compare",
    "holding",
    "is_due",
    "newest_trials",
    "obstacles",
    "progress",
    "simulated_waiting",
    "trading_apart",
    "trial",
]
