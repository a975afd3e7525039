"""How a master and its sub-accounts look together in JSON."""

from __future__ import annotations

from datetime import datetime

from ninja import Schema

from marketdata.schemas import Amount


class MemberOut(Schema):
    """One account of a family, in quote."""

    account: int
    name: str
    is_master: bool
    state: str
    state_reason: str
    equity: Amount
    pnl: Amount
    unallocated: Amount
    in_transit: Amount
    residuals: dict[str, Amount]


class TransferOut(Schema):
    """A transfer between two accounts of a family, and what became of it."""

    id: str
    sender: int
    receiver: int
    asset: str
    amount: Amount
    state: str
    outcome: str
    recorded_at: datetime
    ended_at: datetime | None


class FamilyOut(Schema):
    """All accounts together; what is on its way is counted once, at its sender."""

    equity: Amount
    pnl: Amount
    is_exact: bool
    accounts: list[MemberOut]
    transfers: list[TransferOut]
