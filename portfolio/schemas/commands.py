"""How what a person asks for looks in JSON, and what comes of it."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from ninja import Schema
from pydantic import Field

from marketdata.schemas import Amount, AmountIn, Payload, RowId, Text


class ShareOut(Schema):
    """A book's share: what it should have, what it has, what the plan moves."""

    book: int
    bot: str
    percent: Amount
    target: Amount
    funded: Amount
    moved: Amount
    missing: Amount


class AllocationsOut(Schema):
    """The shares of an account."""

    seq: int
    account: int
    total: Amount
    unallocated: Amount
    plan: int
    shares: list[ShareOut]


class ShareIn(Payload):
    """A share asked for; `percent` is decimal text from 0 to 100."""

    book: RowId
    percent: AmountIn


class AllocationsIn(Payload):
    """Shares asked for. Books that are not named keep theirs; `rebase` deals out gains and losses anew as well."""

    shares: Annotated[list[ShareIn], Field(min_length=1, max_length=200)]
    account: RowId | None = None
    rebase: bool = False


class KillIn(Payload):
    """Why everything should stop, or go on."""

    reason: Text
    account: RowId | None = None


class KillOut(Schema):
    """Whether the kill switch of an account is on."""

    account: int
    is_killed: bool
    killed_at: datetime | None
    killed_reason: str


class ExplainIn(Payload):
    """What a difference between ledger and exchange was."""

    asset: Annotated[str, Field(pattern=r"^[A-Z0-9]{1,16}$")]
    amount: AmountIn
    kind: Literal["deposit", "withdrawal"]
    reason: Text
