"""Plain rows: what the rules work on where there is no database."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, Self

from trading.desk.rows import ACTIVE
from trading.ledger import ZERO
from trading.order_status import READY


class Row:
    """A row that can be copied, so that a change is nobody's until it is written."""

    def clone(self) -> Self:
        """Return a copy of this row; what it refers to is shared."""
        copy = object.__new__(type(self))
        copy.__dict__.update(self.__dict__)
        return copy

    def changed(self, values: Mapping[str, object]) -> Self:
        """Return a copy of this row with other values."""
        copy = self.clone()
        copy.__dict__.update(values)
        return copy


@dataclass(eq=False, kw_only=True)
class Account(Row):
    """An account of the exchange."""

    pk: int
    deploy: str
    quote_asset: str = "USDT"
    buy_fee_ppm: int = 0
    state: str = ACTIVE
    state_reason: str = ""
    is_killed: bool = False
    killed_reason: str = ""
    synced_through_at: datetime | None = None
    trades_posted: int = 0
    intent_seq: int = 0
    ledger_seq: int = 0
    ledger_hash: str = ""
    version: int = 0


@dataclass(eq=False, kw_only=True)
class Book(Row):
    """A bot's sub-ledger."""

    pk: int
    number: int
    name: str
    base_equity: Decimal = ZERO
    pending: Decimal = ZERO
    position_cap_percent: Decimal = Decimal(10)
    orders_per_minute: int = 120
    is_active: bool = True
    is_halted: bool = False
    halt_reason: str = ""
    flattened_seq: int = 0
    version: int = 0


@dataclass(eq=False, kw_only=True)
class Instrument(Row):
    """A tradable pair."""

    pk: int
    symbol: str
    venue_symbol: str
    base: str
    quote: str
    tick_size: Decimal
    lot_size: Decimal
    quantity_min: Decimal
    quantity_max: Decimal
    notional_min: Decimal
    order_count_max: int = 200
    filters_version: int = 1
    filters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(eq=False, kw_only=True)
class Decision(Row):
    """What a bot decided on one candle."""

    book_id: int
    bar_closed_at: datetime
    leg: int
    instrument_id: int | None
    action: str
    reason: str
    outcome: str
    denial: str
    facts: Mapping[str, Any]
    strategy_hash: str
    config_hash: str
    recorded_at: datetime


@dataclass(eq=False, kw_only=True)
class Intent(Row):
    """Something the coordinator accepted."""

    book_id: int
    kind: str
    instrument: Instrument
    side: str
    lots: int
    reason: str
    market_at: datetime
    slot: int = 0
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None
    expected_price: Decimal | None = None
    state: str = ""
    drop_reason: str = ""
    decision: Any = None
    parent: Intent | None = None
    seq: int = 0
    instrument_id: int = field(init=False)

    def __post_init__(self) -> None:
        self.instrument_id = self.instrument.pk
        if self.parent is not None:
            self.decision = self.parent.decision


@dataclass(eq=False, kw_only=True)
class Reservation(Row):
    """Capital held for one order."""

    asset: str
    initial: Decimal
    remaining: Decimal
    posted: Decimal = ZERO
    voided: Decimal = ZERO


@dataclass(eq=False, kw_only=True)
class Order(Row):
    """An order; `pk` is given when it is written."""

    book_id: int
    intent: Intent
    instrument: Instrument
    reservation: Reservation
    client_order_id: str
    side: str
    type: str
    quantity: Decimal
    market_at: datetime
    created_at: datetime
    filters_version: int
    time_in_force: str = ""
    slot: int = 0
    price: Decimal | None = None
    stop_price: Decimal | None = None
    exchange_order_id: str = ""
    status: str = READY
    final_status: str = ""
    reason: str = ""
    message: str = ""
    executed_quantity: Decimal = ZERO
    executed_quote: Decimal = ZERO
    filled_quantity: Decimal = ZERO
    filled_quote: Decimal = ZERO
    fee_ppm: int = 0
    filled_fee: Decimal = ZERO
    cancel_requested_at: datetime | None = None
    cancel_sent_at: datetime | None = None
    attempt: int = 0
    epoch: int = 0
    sent_at: datetime | None = None
    acknowledged_at: datetime | None = None
    closed_at: datetime | None = None
    pk: int = 0
    instrument_id: int = field(init=False)

    def __post_init__(self) -> None:
        self.instrument_id = self.instrument.pk

    def clone(self) -> Self:
        """Copy the order with its reservation: the two change together."""
        copy = super().clone()
        copy.reservation = self.reservation.clone()
        return copy


@dataclass(eq=False, kw_only=True)
class Fill(Row):
    """A trade that is posted."""

    instrument: Instrument
    trade_id: int
    order: Order | None
    book_id: int | None
    side: str
    price: Decimal
    quantity: Decimal
    quote_quantity: Decimal
    fee: Decimal
    fee_asset: str
    fee_quote: Decimal
    is_maker: bool
    traded_at: datetime
    posted_at: datetime
    realised: Decimal = ZERO


@dataclass(eq=False, kw_only=True)
class Position(Row):
    """The fold of a book's fills in one instrument."""

    book_id: int
    instrument_id: int
    quantity: Decimal = ZERO
    cost: Decimal = ZERO
    realised: Decimal = ZERO
    fees: Decimal = ZERO
    stop_price: Decimal | None = None
    is_unprotected: bool = False
    opened_at: datetime | None = None
    version: int = 0
