"""How modes and rotations look in JSON."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from ninja import Schema
from pydantic import Field, StringConstraints

from marketdata.schemas import Amount, AmountIn, Payload, RowId, shown

ModeName = Literal["single", "rotation", "percentage", "subaccounts"]
PolicyName = Literal["flatten", "carry", "transfer", "wait"]
BotName = Annotated[str, StringConstraints(min_length=1, max_length=64)]
RotationText = Annotated[str, StringConstraints(max_length=20_000)]
Reason = Annotated[str, StringConstraints(max_length=200, strip_whitespace=True)]


class SwitchOut(Schema):
    """A moment at which the account passes on; an empty name is nobody."""

    at: datetime
    local: str
    before: str
    after: str
    policy: str
    wait_minutes: int


class HandOverOut(Schema):
    """The account passing from some bots to others."""

    epoch: int
    phase: str
    says: str
    incoming: list[str]
    outgoing: list[str]
    policy: str
    began_at: datetime
    wait_until: datetime | None
    settled_at: datetime | None
    until: datetime | None


class ModeVersionOut(Schema):
    """Who chose the mode in force, when and why."""

    number: int
    bot: str
    policy: str
    set_at: datetime
    set_by: str
    reason: str


class ModeOut(Schema):
    """How the account is shared among its bots, and who may enter now."""

    account: int
    mode: str
    market_at: datetime | None
    zone: str
    active: list[str]
    budget: Amount | None
    version: ModeVersionOut | None
    hand_over: HandOverOut | None
    rotation: str
    switches: list[SwitchOut]


class ModeIn(Payload):
    """The mode asked for; `rotation` holds lines such as `mon-fri 08:00-14:00 GridTrading wait 30m`."""

    model_config = shown({"mode": "single", "bot": "TripleEMA", "budget": "1000", "policy": "wait", "wait_minutes": 30})

    mode: ModeName
    account: RowId | None = None
    bot: BotName | None = None
    budget: AmountIn | None = None
    policy: PolicyName = "flatten"
    wait_minutes: Annotated[int, Field(ge=0, le=1440)] = 0
    rotation: RotationText | None = None
    reason: Reason = ""


class RotationIn(Payload):
    """The slots asked for: setting them is choosing the rotation mode."""

    model_config = shown({"rotation": "mon-sun 00:00-12:00 TripleEMA\nmon-sun 12:00-24:00 GridTrading", "policy": "carry"})

    rotation: RotationText
    account: RowId | None = None
    budget: AmountIn | None = None
    policy: PolicyName = "flatten"
    wait_minutes: Annotated[int, Field(ge=0, le=1440)] = 0
    reason: Reason = ""


class FateOut(Schema):
    """What becomes of one holding: sold, kept (exits only), handed_on or waits (until flat)."""

    book: str
    symbol: str
    quantity: Amount
    value: Amount
    fate: str
    heir: str


class FindingOut(Schema):
    """A refusal of a rotation, or a word of warning; `slots` counts lines of slots from 0."""

    code: str
    message: str
    is_refusal: bool
    slots: list[int]


class PreviewOut(Schema):
    """What a switch would do now."""

    mode: str
    incoming: list[str]
    outgoing: list[str]
    entries_cancelled: int
    fates: list[FateOut]
    sized_by: Amount | None
    findings: list[FindingOut]
    unknown_orders: list[str]


class EarnedOut(Schema):
    """What a bot made in each hour of the day, net of fees; null where it did not trade."""

    bot: str
    hours: list[Amount | None]
    total: Amount


class SlotOut(Schema):
    """A slot of the week: days count from Monday, minutes from midnight; no bot is nobody."""

    days: list[int]
    begin_minute: int
    end_minute: int
    bot: str
    policy: str
    wait_minutes: int


class RotationReadIn(Payload):
    """Slots as text."""

    model_config = shown({"rotation": "mon-fri 08:00-14:00 GridTrading wait 30m"})

    rotation: RotationText
    account: RowId | None = None


class RotationReadOut(Schema):
    """What a text says: its slots, the same text in order, and what is wrong with it."""

    zone: str
    is_gap_idle: bool
    rotation: str
    slots: list[SlotOut]
    findings: list[FindingOut]


class RotationOut(Schema):
    """The slots in force, the next switches, and what each hour of the day has earned."""

    account: int
    zone: str
    rotation: str
    switches: list[SwitchOut]
    earned: list[EarnedOut]
