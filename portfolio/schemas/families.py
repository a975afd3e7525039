"""How a master and its sub-accounts look together in JSON."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from ninja import Schema
from pydantic import Field, StringConstraints

from marketdata.schemas import Amount, AmountIn, Payload, RowId, shown

AssetName = Annotated[str, StringConstraints(min_length=1, max_length=16, pattern=r"^[A-Za-z0-9]+$", to_upper=True)]
Why = Annotated[str, StringConstraints(max_length=200, strip_whitespace=True)]


class MemberOut(Schema):
    """One account of a family, in quote; `funded` is what was put in less what was taken out, `free` what could leave now."""

    account: int
    name: str
    is_master: bool
    state: str
    state_reason: str
    is_killed: bool
    is_enabled: bool
    trader_seen_at: datetime | None
    is_trader_alive: bool
    bots: list[str]
    equity: Amount
    funded: Amount
    pnl: Amount
    unallocated: Amount
    free: Amount
    in_transit: Amount
    target_percent: Amount | None
    residuals: dict[str, Amount]
    reconciled_at: datetime | None
    is_reconciled: bool


class TransferOut(Schema):
    """A transfer between two accounts of a family, and what became of it."""

    id: str
    sender: int
    receiver: int
    asset: str
    amount: Amount
    recalled: Amount
    state: str
    says: str
    outcome: str
    reason: str
    requested_by: str
    recorded_at: datetime
    sent_at: datetime | None
    ended_at: datetime | None


class TransferLimitsOut(Schema):
    """How much may move, in quote; without limits nothing does."""

    per_transfer: Amount | None
    per_day: Amount | None
    left_today: Amount | None


class FamilyOut(Schema):
    """All accounts together; what is on its way is counted once, at its sender."""

    equity: Amount
    funded: Amount
    pnl: Amount
    is_exact: bool
    limits: TransferLimitsOut
    accounts: list[MemberOut]
    transfers: list[TransferOut]


class TransferIn(Payload):
    """What to move; `recall` takes what is missing from the free cash of the sender's one bot."""

    model_config = shown({"sender": 1, "receiver": 2, "asset": "USDT", "amount": "250.5", "reason": "a larger share"})

    sender: RowId
    receiver: RowId
    asset: AssetName
    amount: AmountIn
    recall: bool = False
    reason: Why = ""


class TransferPreviewOut(Schema):
    """What a transfer would do now; with a `code` it would be refused."""

    sender: int
    receiver: int
    asset: str
    amount: Amount
    value: Amount
    sender_unallocated: Amount
    sender_free: Amount
    recalled: Amount
    sender_after: Amount
    receiver_after: Amount
    left_today: Amount | None
    code: str
    message: str


class TransferLimitsIn(Payload):
    """The limits asked for, in quote; null: nothing moves."""

    model_config = shown({"per_transfer": "2500", "per_day": "5000"})

    account: RowId | None = None
    per_transfer: AmountIn | None
    per_day: AmountIn | None


class TargetIn(Payload):
    """The share of the family that a sub-account should have; null: none."""

    model_config = shown({"account": 2, "percent": "20"})

    account: RowId
    percent: AmountIn | None


class TargetsIn(Payload):
    """Shares of the family; accounts that are not named keep theirs, and the rest is the master's."""

    model_config = shown({"targets": [{"account": 2, "percent": "20"}, {"account": 3, "percent": "15"}], "band_percent": "1"})

    account: RowId | None = None
    targets: Annotated[list[TargetIn], Field(max_length=500)]
    band_percent: AmountIn | None = None


class FamilyStandingOut(Schema):
    """Where an account of a family stands; `off` is what it has too much, or below zero too little."""

    account: int
    name: str
    percent: Amount
    target: Amount
    equity: Amount
    off: Amount
    held_back: str


class MoveOut(Schema):
    """A transfer that would bring both ends closer to their shares."""

    sender: int
    receiver: int
    amount: Amount


class ProposalsOut(Schema):
    """What should move between the accounts of a family; with a `code` nothing can be proposed now."""

    account: int
    band_percent: Amount
    standings: list[FamilyStandingOut]
    moves: list[MoveOut]
    code: str
    message: str


class MoveIn(Payload):
    """One of the proposed transfers."""

    model_config = shown({"sender": 1, "receiver": 2, "amount": "120.5"})

    sender: RowId
    receiver: RowId
    amount: AmountIn


class ExecuteIn(Payload):
    """The proposals to send, as they were looked at."""

    model_config = shown({"moves": [{"sender": 1, "receiver": 2, "amount": "120.5"}], "reason": "even out"})

    account: RowId | None = None
    moves: Annotated[list[MoveIn], Field(max_length=500)]
    reason: Why = ""
