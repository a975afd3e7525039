"""How trials look in JSON."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Literal

from ninja import Schema
from pydantic import Field, StringConstraints

from marketdata.schemas import Amount, AmountIn, Moment, Payload, RowId, shown
from portfolio.schemas.allocations import Version
from portfolio.schemas.results import FillRatioOut, RiskFiguresOut
from trials.spec import BOTS_MAX, HOURS_MAX, TURNS_MAX, AccountTrial, SimulatedTrial, Spec, UnableToTry

BotWord = Annotated[str, StringConstraints(min_length=1, max_length=64)]
Rate = Annotated[Decimal, Field(ge=0, lt=1, max_digits=8, decimal_places=6)]
NO_PROMISE = "What a bot did in its turns is no promise of what it does next."


class TrialIn(Payload):
    """What to try: each bot alone for some hours, on the account or in a simulation from `begin_at` to `end_at`."""

    model_config = shown(
        {
            "bots": ["GridTrading", "TripleEMA"],
            "hours": 24,
            "kind": "simulation",
            "begin_at": "2024-01-01T00:00:00Z",
            "end_at": "2024-03-01T00:00:00Z",
        }
    )

    hours: Annotated[int, Field(ge=1, le=HOURS_MAX)]
    kind: Literal["account", "simulation"] = "account"
    # None named: all bots of the account.
    bots: Annotated[list[BotWord], Field(max_length=BOTS_MAX)] = []
    account: RowId | None = None
    # On the account.
    rounds: Annotated[int, Field(ge=1, le=TURNS_MAX)] = 1
    budget: AmountIn | None = None
    # In a simulation. A folder of Parquet candles on the server is for administrators; empty: the candles in the database.
    begin_at: Moment | None = None
    end_at: Moment | None = None
    allocation: AmountIn = Decimal(1000)
    half_spread: Rate = Decimal("0.00005")
    slippage: Rate = Decimal(0)
    folder: Annotated[str, Field(max_length=500)] = ""

    def to_spec(self) -> Spec:
        """Answer what the service is asked for."""
        bots = tuple(self.bots)
        if self.kind == "account":
            return AccountTrial(bots=bots, hours=self.hours, rounds=self.rounds, budget=self.budget)
        if self.begin_at is None or self.end_at is None:
            raise UnableToTry("TRIAL_STRETCH_MISSING", "A simulated trial needs begin_at and end_at.")
        return SimulatedTrial(
            bots=bots,
            hours=self.hours,
            begin_at=self.begin_at,
            end_at=self.end_at,
            allocation=self.allocation,
            half_spread=self.half_spread,
            slippage=self.slippage,
            folder=self.folder,
        )


class TrialApplyIn(Payload):
    """Whether to apply the proposal although the sample supports no choice.

    `version` is the version of the shares that was looked at: with it, nothing changes if somebody else changed them meanwhile.
    """

    model_config = shown({"despite_doubts": True, "version": 7})

    despite_doubts: bool = False
    version: Version | None = None


class TurnOut(Schema):
    """One turn of one bot; times are market time."""

    number: int
    bot: str
    state: str
    begin_at: datetime | None
    end_at: datetime | None
    pnl: Amount
    regime: str
    note: str


class TrialOut(Schema):
    """A trial and how far it is."""

    id: int
    account: int
    kind: str
    state: str
    error: str
    blocked_code: str
    blocked_message: str
    hours: int
    rounds: int
    bots: list[str]
    begin_at: datetime | None
    budget: Amount | None
    allocation: Amount | None
    turns: int
    turns_done: int
    share_done: float
    turns_per_second: float | None
    seconds_left: float | None
    requested_at: datetime
    requested_by: str
    started_at: datetime | None
    finished_at: datetime | None
    applied_version: int | None
    applied_at: datetime | None
    source_hash: str


class DoubtOut(Schema):
    """Something that the sample cannot tell; one that is grave means that it supports no choice."""

    code: str
    message: str
    is_grave: bool


class TriedBotOut(Schema):
    """One bot's figures; null where too little data cannot tell."""

    bot: str
    bot_id: int | None
    book: int
    turns: int
    turns_done: int
    hours: float
    trades: int
    wins: int
    win_rate: float | None
    win_rate_low: float | None
    win_rate_high: float | None
    break_even_win_rate: float | None
    profit_factor: float | None
    pnl: Amount
    fees: Amount
    total_return: float
    max_drawdown: float
    sharpe: float | None
    sharpe_low: float | None
    sharpe_high: float | None
    sharpe_step: str
    observations: int
    volatility: float | None
    consistency: float | None
    exposure: float
    fit: float | None
    fit_turns: int
    regime_now: str
    score: float
    percent: Amount
    percent_now: Amount
    why: str
    # Null where a turn is older than these figures; simulate again.
    in_r: RiskFiguresOut | None
    orders: FillRatioOut | None
    # Hours of the bot's own turns, and what one unit had become by then.
    curve: list[tuple[float, float]]


class TrialComparisonOut(Schema):
    """The bots beside each other, best score first, and the shares that the rule proposes."""

    trial: int
    items: list[TriedBotOut]
    doubts: list[DoubtOut]
    is_supported: bool
    room: Amount
    version: int
    note: str = NO_PROMISE


class TrialShareOut(Schema):
    """What applying would do to one book, in quote."""

    book: int
    percent: Amount
    target: Amount
    moved: Amount
    funded: Amount


class TrialPlanOut(Schema):
    """What applying the proposal does, or would do, to the shares."""

    trial: int
    version: int
    total: Amount
    unallocated: Amount
    remainder_percent: Amount
    shares: list[TrialShareOut]
