"""What the machine does for bots in the background."""

from bots.jobs.advance import AccountKeepsChanging, Advance, advance_account
from bots.jobs.sweep import sweep
from bots.jobs.warming import warm_kernels

__all__ = ["AccountKeepsChanging", "Advance", "advance_account", "sweep", "warm_kernels"]
