"""Claims: guarded updates of one order's row, for those who do not hold the account's lock. Whoever is first has the order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from trading.order_status import CANCELLING, READY, SENDING, UNKNOWN, WITHDRAWN, sources

REASON_LENGTH_MAX = 48
MESSAGE_LENGTH_MAX = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """The values to set, and what the row must say at that very moment."""

    statuses: frozenset[str]
    values: Mapping[str, object]
    # The lease of the account's trader must have this epoch (I-34); None asks for none.
    epoch: int | None = None
    # An order is sent at most once in its life (I-18).
    is_first_attempt: bool = False
    # A killed account sends no entry (I-45).
    spares_killed_entries: bool = False
    is_cancel_requested: bool = False


def sending(*, epoch: int, now: datetime) -> Claim:
    """Claim a READY order for sending, once in its life (T2)."""
    return Claim(
        statuses=sources(SENDING),
        values={"status": SENDING, "attempt": 1, "epoch": epoch, "sent_at": now},
        epoch=epoch,
        is_first_attempt=True,
        spares_killed_entries=True,
    )


def unknown(code: str, message: str) -> Claim:
    """Note that nobody knows whether the exchange has the order; its capital stays reserved (T3)."""
    values = {"status": UNKNOWN, "reason": code[:REASON_LENGTH_MAX], "message": message[:MESSAGE_LENGTH_MAX]}
    return Claim(statuses=sources(UNKNOWN), values=values)


def cancelling(*, now: datetime, epoch: int | None = None) -> Claim:
    """Note that a cancel is about to be sent."""
    return Claim(
        statuses=sources(CANCELLING) | {CANCELLING},
        values={"status": CANCELLING, "cancel_sent_at": now},
        epoch=epoch,
        is_cancel_requested=True,
    )


def withdrawal(*, now: datetime) -> Claim:
    """Take back an order that was never sent, before the trader claims it."""
    return Claim(statuses=frozenset((READY,)), values={"status": WITHDRAWN, "closed_at": now})
