"""What the machine does for trials in the background; safe to repeat."""

from trials.jobs.account import take_step
from trials.jobs.simulated import run_turns

__all__ = ["run_turns", "take_step"]
