"""What a person may ask of the money world: one transaction each."""

from portfolio.services.accounts import kill, open_account, release_kill
from portfolio.services.allocations import (
    UnableToAllocate,
    preview_allocations,
    preview_rollback,
    rebase_allocations,
    roll_back_allocations,
    set_allocations,
)
from portfolio.services.fee_pool import UnableToFund, fund_fee_pool
from portfolio.services.rebalancing import execute_proposals, propose_transfers, set_targets
from portfolio.services.recovery import UnableToResume, resume_trading
from portfolio.services.risk import UnableToLimit, preview_limits, release_latches, set_limits
from portfolio.services.sub_accounts import UnableToOpen, open_sub_account
from portfolio.services.suspense import UnableToExplain, explain_suspense
from portfolio.services.transfers import (
    TransferWish,
    UnableToTransfer,
    preview_transfer,
    request_transfer,
    set_transfer_limits,
)

__all__ = [
    "TransferWish",
    "UnableToAllocate",
    "UnableToExplain",
    "UnableToFund",
    "UnableToLimit",
    "UnableToOpen",
    "UnableToResume",
    "UnableToTransfer",
    "execute_proposals",
    "explain_suspense",
    "fund_fee_pool",
    "kill",
    "open_account",
    "open_sub_account",
    "preview_allocations",
    "preview_limits",
    "preview_rollback",
    "preview_transfer",
    "propose_transfers",
    "rebase_allocations",
    "release_kill",
    "release_latches",
    "request_transfer",
    "resume_trading",
    "roll_back_allocations",
    "set_allocations",
    "set_limits",
    "set_targets",
    "set_transfer_limits",
]
