"""What a person may ask of the money world: one transaction each."""

from portfolio.services.accounts import kill, open_account, release_kill
from portfolio.services.allocations import UnableToAllocate, preview_allocations, set_allocations
from portfolio.services.suspense import UnableToExplain, explain_suspense

__all__ = [
    "UnableToAllocate",
    "UnableToExplain",
    "explain_suspense",
    "kill",
    "open_account",
    "preview_allocations",
    "release_kill",
    "set_allocations",
]
