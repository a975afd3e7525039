"""How limits and what is left to lose look in JSON."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Literal

from ninja import Schema
from pydantic import Field

from marketdata.schemas import Amount, AmountIn, Payload, RowId, Text, shown

Count = Annotated[int, Field(ge=0, le=1_000_000)]


class LimitsOut(Schema):
    """The limits in force."""

    soft_loss_percent: Amount
    hard_loss_percent: Amount
    fall_percent: Amount
    collar_percent: Amount
    order_value_max: Amount
    orders_per_minute: int
    repeats_max: int
    opposite_positions: str
    volume_day_min: Amount


class StandingOut(Schema):
    """Where an account or a book stands today; `shut_by` is the reason code that keeps entries out."""

    book: int | None
    name: str
    day_start: Amount
    base: Amount
    equity: Amount
    lost_today: Amount
    worst_open: Amount
    soft_cap: Amount
    hard_cap: Amount
    left: Amount
    lost_percent: Amount
    worst_percent: Amount
    left_percent: Amount
    shut_by: str
    remedy: str
    is_latched: bool
    unpriced: list[str]
    has_own_limits: bool
    limits: LimitsOut


class UnprotectedOut(Schema):
    """A position that should have a protective stop and has none."""

    book: int
    instrument: int


class RiskOut(Schema):
    """What is left to lose on this day of market time."""

    account: int
    quote_asset: str
    market_at: datetime
    market_date: date
    is_killed: bool
    never_percent: Amount
    total: StandingOut
    books: list[StandingOut]
    unprotected: list[UnprotectedOut]


class LimitChangeIn(Payload):
    """Limits of a book, or without one of the account, as they might be."""

    model_config = shown({"book": 1, "order_value_max": "100"})

    book: RowId | None = None
    soft_loss_percent: AmountIn | None = None
    hard_loss_percent: AmountIn | None = None
    fall_percent: AmountIn | None = None
    collar_percent: AmountIn | None = None
    order_value_max: AmountIn | None = None
    orders_per_minute: Count | None = None
    repeats_max: Annotated[int, Field(ge=1, le=1000)] | None = None
    opposite_positions: Literal["allow", "refuse"] | None = None
    volume_day_min: AmountIn | None = None


class LimitsIn(LimitChangeIn):
    """Limits asked for; those that are not named stay. Without `book` they are the account's."""

    model_config = shown({"reason": "a calm week", "soft_loss_percent": "2", "orders_per_minute": 30})

    reason: Text
    account: RowId | None = None


class LimitsPreviewIn(Payload):
    """What might be changed, all of it at once."""

    model_config = shown({"changes": [{"soft_loss_percent": "2"}, {"book": 1, "order_value_max": "100"}]})

    account: RowId | None = None
    changes: Annotated[list[LimitChangeIn], Field(min_length=1, max_length=200)]


class ForeseenOut(Schema):
    """What would become of an account (without book) or a book; codes by market say why its smallest entry is refused."""

    book_id: int | None
    name: str
    sentence: str
    refused_now: dict[str, str]
    refused_then: dict[str, str]
    is_sold_now: bool
    is_sold_then: bool
    left_now: Amount
    left_then: Amount


class LimitsPreviewOut(Schema):
    """What limits would do now; nothing is set."""

    raised: list[str]
    rows: list[ForeseenOut]


class ReleaseIn(Payload):
    """Whose latch is let go of, and why."""

    model_config = shown({"reason": "looked into it", "book": 1})

    reason: Text
    account: RowId | None = None
    book: RowId | None = None
