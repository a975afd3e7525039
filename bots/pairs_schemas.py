"""How pairs of bots, and the pairs they traded, look in JSON."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from ninja import Schema
from pydantic import Field, StringConstraints

from marketdata.schemas import Amount, Payload, RowId, shown

Key = Annotated[str, StringConstraints(pattern=r"^[A-Z][A-Z0-9_]*$", max_length=32)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=64, strip_whitespace=True)]


class PairIn(Payload):
    """A pair of bots to make: one on either account; the first account's bot decides for both."""

    model_config = shown({"account": 1, "far_account": 2, "symbol": "BTC/USDT", "interval": "5m", "params": {"share": 0.2}})

    account: RowId
    far_account: RowId
    symbol: Annotated[str, Field(min_length=1, max_length=32)]
    # As the other exchange writes it; empty: the same.
    far_symbol: Annotated[str, Field(max_length=32)] = ""
    interval: Annotated[str, StringConstraints(max_length=4, strip_whitespace=True)] = "5m"
    key: Key = "ARBITRAGE"
    name: Name = "Arbitrage"
    params: dict[str, Any] = {}


class PairSideOut(Schema):
    """One bot of a pair on its account; its coins, and amounts in the account's quote asset."""

    bot: int
    book: int
    account: int
    account_name: str
    mode: str
    exchange: str
    market: str
    is_synthetic: bool
    symbol: str
    status: str
    status_reason: str
    percent: Amount
    coins: Amount
    quote: Amount
    equity: Amount
    pnl: Amount
    # The newest price, why it may be wrong, and the fee that a decision expects, as a share.
    price: Amount | None
    price_trouble: str
    fee: Amount


class PairEdgeOut(Schema):
    """What would be left of a pair at the newest prices, as a share, after fees and spreads; `needed` is what it must exceed."""

    buying_leader: Amount | None
    buying_follower: Amount | None
    needed: Amount
    # Of both sides together: how far apart prices must be for anything to be left.
    fees: Amount


class PairOfBotsOut(Schema):
    """A pair of bots: the leader decides for both; figures beside the sides are of both together."""

    key: str
    name: str
    strategy: str
    interval: str
    params: dict[str, Any]
    coin: str
    quote_asset: str
    leader: PairSideOut
    follower: PairSideOut
    coins: Amount
    quote: Amount
    equity: Amount
    pnl: Amount
    edge: PairEdgeOut


class PairOrderOut(Schema):
    """An order of a pair; `fees` are in quote, `coin_fees` what was taken in the coin."""

    order_id: int
    account_id: int
    account: str
    book_id: int
    symbol: str
    side: str
    reason: str
    status: str
    quantity: Amount
    filled: Amount
    average_price: Amount | None
    fees: Amount
    coin_fees: Amount


class TradedPairOut(Schema):
    """A pair of orders; `residual` is in coins, and `result` in quote values it at the purchase's average price."""

    id: int
    number: int
    market_at: datetime
    state: Literal["on its way", "both legs", "partial", "one leg", "neither"]
    residual: Amount
    result: Amount
    legs: list[PairOrderOut]
    # What was ordered later to undo the rest of one leg.
    mends: list[PairOrderOut]
