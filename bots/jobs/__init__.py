"""What the machine does for bots in the background."""

from bots.jobs.advance import AccountKeepsChanging, Advance, advance_account
from bots.jobs.drift import watch_drift
from bots.jobs.sweep import sweep
from bots.jobs.warming import first_needed, warm_kernels, warm_next

__all__ = [
    "AccountKeepsChanging",
    "Advance",
    "advance_account",
    "first_needed",
    "sweep",
    "warm_kernels",
    "warm_next",
    "watch_drift",
]
