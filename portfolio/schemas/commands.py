"""How what a person asks for looks in JSON, and what comes of it."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from ninja import Schema
from pydantic import Field

from marketdata.schemas import AmountIn, Payload, RowId, Text, shown


class KillIn(Payload):
    """Why everything should stop, or go on."""

    model_config = shown({"reason": "the exchange is in maintenance"})

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

    model_config = shown({"asset": "USDT", "amount": "100", "kind": "deposit", "reason": "transfer from the bank"})

    asset: Annotated[str, Field(pattern=r"^[A-Z0-9]{1,16}$")]
    amount: AmountIn
    kind: Literal["deposit", "withdrawal"]
    reason: Text
