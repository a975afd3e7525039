"""Tables of the money world, by subject."""

from portfolio.models.accounts import Account, Credential, Heartbeat, Lease
from portfolio.models.alarms import Alarm
from portfolio.models.allocations import AllocationVersion, RebaseClock
from portfolio.models.audit import AuditEntry
from portfolio.models.books import Allocation, Book, EquityPoint
from portfolio.models.ledger import LedgerAccount, LedgerEntry, LedgerTransaction
from portfolio.models.modes import BookTransfer, DeficitCover, HandOver, ModeVersion, RotationSlot
from portfolio.models.orders import DecisionRecord, Fill, Intent, Order, Pair, Position, Reservation
from portfolio.models.reconciliation import Reconciliation, ReconciliationLine
from portfolio.models.risk import RiskDay, RiskLatch, RiskLimits
from portfolio.models.trading import FlowCursor, HistoryCursor, HostSilence, KnownFlow, LedgerCheckpoint, TraderStart
from portfolio.models.transfers import AccountTransfer

__all__ = [
    "Account",
    "AccountTransfer",
    "Alarm",
    "Allocation",
    "AllocationVersion",
    "AuditEntry",
    "Book",
    "BookTransfer",
    "Credential",
    "DecisionRecord",
    "DeficitCover",
    "EquityPoint",
    "Fill",
    "FlowCursor",
    "HandOver",
    "Heartbeat",
    "HistoryCursor",
    "HostSilence",
    "Intent",
    "KnownFlow",
    "Lease",
    "LedgerAccount",
    "LedgerCheckpoint",
    "LedgerEntry",
    "LedgerTransaction",
    "ModeVersion",
    "Order",
    "Pair",
    "Position",
    "RebaseClock",
    "Reconciliation",
    "ReconciliationLine",
    "Reservation",
    "RiskDay",
    "RiskLatch",
    "RiskLimits",
    "RotationSlot",
    "TraderStart",
]
