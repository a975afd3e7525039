"""How deposits and withdrawals of a simulated account look in JSON."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from ninja import Schema

from marketdata.schemas import Amount, shown

FLOWS_SHOWN: dict[str, Any] = {
    "deposits": "250",
    "withdrawals": "800",
    "waits": "200.5",
    "refused": 0,
    "items": [
        {
            "asked_at": "2024-02-01T00:00:00Z",
            "at": "2024-02-01T00:00:00Z",
            "amount": "250",
            "done": "250",
            "waits": "0",
            "code": "",
        },
        {
            "asked_at": "2024-06-15T12:00:00Z",
            "at": "2024-06-15T12:00:00Z",
            "amount": "-1000.5",
            "done": "-800",
            "waits": "200.5",
            "code": "",
        },
    ],
}


class PlanFlowOut(Schema):
    """A deposit (above zero) or a withdrawal: at which base candle it was taken, and what has come or gone by the end."""

    asked_at: datetime
    at: datetime
    amount: Amount
    done: Amount
    # What bots had in use leaves when it comes free.
    waits: Amount
    # Why nothing came or went: CAPITAL_INSUFFICIENT is a withdrawal of more than the account was worth.
    code: str


class PlanFlowsOut(Schema):
    """Money that came to the account and left it; no return counts it."""

    model_config = shown(FLOWS_SHOWN)

    deposits: Amount
    withdrawals: Amount
    waits: Amount
    refused: int
    items: list[PlanFlowOut]


class FlowMarkOut(Schema):
    """Where money came (above zero) or went: UTC milliseconds, and the equity right after it."""

    at: int
    amount: float
    equity: float
