"""How the coordinator's books look in JSON: what is free, held and refused, and by whom."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from ninja import Schema

from marketdata.schemas import Amount, Payload, Text, shown


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


class OrphansOut(Schema):
    """What a person must decide about: unexplained amounts, orders nobody answers for, trades by hand."""

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


class CancelIn(Payload):
    """Why an order is cancelled."""

    model_config = shown({"reason": "left from yesterday"})

    reason: Text
