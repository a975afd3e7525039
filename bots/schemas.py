"""How bots and strategies look in JSON."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any, Literal

from ninja import Schema

from bots.models import Bot
from marketdata.schemas import Amount, shown
from portfolio.schemas import DecisionOut
from portfolio.schemas.coordinator import GateOut
from portfolio.schemas.results import FILLED_SHOWN, RISK_SHOWN, OrdersOut, RiskFiguresOut


class BotOut(Schema):
    """A bot: who trades what with which strategy, and how it is."""

    id: int
    book: int
    account: int
    key: str
    name: str
    strategy: str
    strategy_hash: str
    params: dict[str, Any]
    interval: str
    symbols: list[str]
    status: str
    status_reason: str
    rank: int
    anchor_at: datetime | None
    started_at: datetime | None
    bar_closed_at: datetime | None
    version: int
    # The other bot of a pair: the one that decides for this one, or the one that this one decides for.
    leader: int | None
    follower: int | None
    last_decision: DecisionOut | None = None

    @staticmethod
    def resolve_book(row: Bot) -> int:
        """Return the id of the bot's book in the money world."""
        return row.book_id

    @staticmethod
    def resolve_account(row: Bot) -> int:
        """Return the account's id."""
        return row.book.account_id

    @staticmethod
    def resolve_leader(row: Bot) -> int | None:
        """Return the leader's id."""
        return row.leader_id

    @staticmethod
    def resolve_follower(row: Any) -> int | None:
        """Return the follower's id, which was put beside the row: one statement for a whole list."""
        found: int | None = row.follower_id
        return found


class BotDetailOut(BotOut):
    """A bot with what its strategy remembers."""

    state: dict[str, Any]

    @staticmethod
    def resolve_state(row: Any) -> dict[str, Any]:
        """Return what was put beside the row: its own `state` is a table."""
        found: dict[str, Any] = row.remembered
        return found


class ChecklistOut(Schema):
    """Why a bot is not trading: its gates in the order they are asked, and a verdict in a sentence."""

    bot: int
    name: str
    verdict: str
    gates: list[GateOut]


class PlotOut(Schema):
    """One number a strategy looks at, candle by candle; null where it is not known yet."""

    label: str
    pane: Literal["price", "below"]
    values: list[float | None]


class IndicatorsOut(Schema):
    """What a bot's strategy looked at."""

    opened_at: list[datetime]
    plots: list[PlotOut]


class StrategyOut(Schema):
    """A strategy with the parameters it takes."""

    name: str
    params: dict[str, Any]
    presets: dict[str, dict[str, Any]]
    source_hash: str
    order_kinds: list[str]
    # Whether a user wrote it, and why it cannot be run, if so.
    is_own: bool
    trouble: str


class DriftFiguresOut(Schema):
    """The mean shortfall of some orders in basis points, worse is positive; its 95 % interval, and the cost in quote."""

    orders: int
    mean: float | None
    low: float | None
    high: float | None
    worst: float | None
    cost: Amount


class DriftDayOut(DriftFiguresOut):
    """The shortfall of a day of market time."""

    day: date


class DriftOrderOut(Schema):
    """An order's fills together, beside the price that a backtest assumes; `gap` says why there is none."""

    order: int
    symbol: str
    side: str
    type: str
    reason: str
    traded_at: datetime
    fills: int
    quantity: Amount
    price: Amount
    model_price: Amount | None
    shortfall_bps: float | None
    gap: str


class DriftOut(Schema):
    """How far a bot's fills lie from what its backtest assumes, of the newest orders within thirty days of market time."""

    bot: int
    limit_bps: float
    orders_min: int
    span_days: int
    figures: DriftFiguresOut
    gaps: dict[str, int]
    is_alarmed: bool
    alarmed_at: datetime | None
    cleared_at: datetime | None
    clear_reason: str
    days: list[DriftDayOut]
    orders: list[DriftOrderOut]


class BotResultsOut(Schema):
    """A bot's closed trades in R, and how many of its orders were filled, by its newest fills and orders."""

    model_config = shown(
        {
            "bot": 3,
            "trades": 120,
            "fills": 412,
            "fills_from": "2024-03-01T00:05:00Z",
            "fills_are_cut": False,
            "in_r": RISK_SHOWN,
            "orders_seen": 498,
            "orders_from": "2024-03-01T00:05:00Z",
            "orders_are_cut": False,
            "orders": {**FILLED_SHOWN, "kinds": [{"kind": "ENTRY", **FILLED_SHOWN}], "stops": 64, "stops_filled": 21},
        }
    )

    bot: int
    # From flat to flat, or matched pairs of a grid.
    trades: int
    # At most the newest 5,000, and the market time of the oldest; cut: older ones are not counted.
    fills: int
    fills_from: datetime | None
    fills_are_cut: bool
    in_r: RiskFiguresOut
    # At most the newest 5,000, those among them that live or that the exchange never took.
    orders_seen: int
    orders_from: datetime | None
    orders_are_cut: bool
    orders: OrdersOut
