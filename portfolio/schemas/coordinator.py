"""How the coordinator's books look in JSON: what is free, held and refused, and by whom."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from ninja import Schema
from pydantic import Field

from marketdata.schemas import Amount, AmountIn, Payload, RowId, Text, shown


class CapitalOut(Schema):
    """A book's capital: free, in orders, in coins, and what a plan still moves in (or, below zero, out)."""

    book: int
    bot: str
    free: Amount
    reserved: Amount
    in_coins: Amount
    pending: Amount
    pending_since_at: datetime | None


class HeldOut(Schema):
    """Capital held for a live order: whose, what for, since when."""

    bot: str
    book: int
    symbol: str
    client_order_id: str
    intent: str
    reason: str
    asset: str
    initial: Amount
    remaining: Amount
    posted: Amount
    voided: Amount
    since_at: datetime


class CountOut(Schema):
    """How often a code came up among the newest refusals."""

    code: str
    count: int


class RefusalOut(Schema):
    """An order that was refused, with the figures behind it."""

    id: int
    bot: str
    book: int
    symbol: str
    action: str
    reason: str
    code: str
    facts: dict[str, Any]
    bar_closed_at: datetime
    recorded_at: datetime


class OfferOut(Schema):
    """An order that would have met another book's: the limit that would have been taken."""

    bot: str
    book: int
    symbol: str
    bar_closed_at: datetime
    rival: str
    its_order: str
    its_price: str
    limit_accepted: str


class ConflictsOut(Schema):
    """The newest refusals; `counts` covers the `counted` newest, back to `since_at` (wall time)."""

    counted: int
    since_at: datetime | None
    counts: list[CountOut]
    newest: list[RefusalOut]
    offers: list[OfferOut]


class SliceOfCoinOut(Schema):
    """What one bot holds of a coin."""

    book: int
    bot: str
    quantity: Amount
    value: Amount


class ExposureOut(Schema):
    """What the account holds of a coin, sliced by bot."""

    asset: str
    quantity: Amount
    value: Amount
    slices: list[SliceOfCoinOut]


class LiveOrderOut(Schema):
    """A live order with its owner."""

    id: int
    bot: str
    book: int
    symbol: str
    client_order_id: str
    side: str
    type: str
    intent: str
    quantity: Amount
    filled_quantity: Amount
    price: Amount | None
    stop_price: Amount | None
    status: str
    reason: str
    since_at: datetime


class HandTradeOut(Schema):
    """A trade that no order of ours made."""

    symbol: str
    side: str
    quantity: Amount
    price: Amount
    traded_at: datetime
    trade_id: int


class CoverSourceOut(Schema):
    """Who has some of the coins free; without a book it is the operator."""

    book_id: int | None
    name: str
    free: Amount
    most: Amount


class DeficitOut(Schema):
    """What a bot owes in one coin, and who could give it."""

    book_id: int
    bot: str
    asset: str
    symbol: str
    amount: Amount
    mark: Amount | None
    cost: Amount | None
    cash: Amount
    sources: list[CoverSourceOut]


class OrphansOut(Schema):
    """What a person must decide about: unexplained amounts, orders nobody answers for, deficits in coins, trades by hand."""

    deficits: list[DeficitOut]

    suspense: dict[str, Amount]
    orders: list[LiveOrderOut]
    trades: list[HandTradeOut]


class DustOut(Schema):
    """A holding that is too small to be sold alone."""

    bot: str
    book: int
    symbol: str
    quantity: Amount
    value: Amount
    lot_size: Amount
    notional_min: Amount


class CoordinatorOut(Schema):
    """Everything the coordinator holds and has refused."""

    seq: int
    account: int
    quote_asset: str
    equity: Amount
    unallocated: Amount
    free: Amount
    reserved: Amount
    in_coins: Amount
    capital: list[CapitalOut]
    reservations: list[HeldOut]
    conflicts: ConflictsOut
    exposures: list[ExposureOut]
    orders: list[LiveOrderOut]
    orphans: OrphansOut
    dust: list[DustOut]
    dust_pool: dict[str, Amount]


class GateOut(Schema):
    """One condition of an entry: open or shut, by which code, and what would change it."""

    name: str
    state: str
    code: str
    facts: dict[str, Any]
    remedy: str
    link: str


class CoverIn(Payload):
    """Whose deficit in which coin is covered from where: `source` is a book, without one it is what is unallocated."""

    model_config = shown({"book": 1, "asset": "BTC", "source": None, "amount": "0.001", "reason": "sold twice in the outage"})

    account: RowId | None = None
    book: RowId
    asset: Annotated[str, Field(pattern=r"^[A-Z0-9]{1,16}$")]
    source: RowId | None = None
    amount: AmountIn | None = None
    reason: Text


class CoverOut(Schema):
    """What was bought, at which price, and what both sides made by it."""

    id: int
    book_id: int
    source_id: int | None
    quantity: Amount
    mark: Amount
    value: Amount
    realised: Amount
    realised_source: Amount
    ledger_seq: int
    market_at: datetime


class CancelIn(Payload):
    """Why an order is cancelled."""

    model_config = shown({"reason": "left from yesterday"})

    reason: Text
