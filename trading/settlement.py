"""What one trade moves: who pays, who receives, which pool pays a fee in a third asset."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal

from trading.ledger import UNIT, ZERO, Leg, Pocket, ceil_to, exactly, floor_to, take
from trading.positions import FillFact

AVAILABLE = "available"
RESERVED = "reserved"
UNALLOCATED = "unallocated"
FEE_POOL = "fee_pool"
IN_TRANSIT = "in_transit"
SUSPENSE = "suspense"
DEFICIT = "deficit"
EXTERNAL_FLOW = "external_flow"
EXTERNAL_TRADE = "external_trade"
EXTERNAL_FEE = "external_fee"

Balances = Callable[[Pocket], Decimal]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trade:
    """A trade and what its owner had reserved for it; a book of None is the operator's own trade."""

    book_id: int | None
    side: str
    base: str
    quote: str
    quantity: Decimal
    price: Decimal
    quote_quantity: Decimal
    fee: Decimal
    fee_asset: str
    # Of this trade's order alone: what is left of its reservation, and what it must keep afterwards.
    reserved: Decimal = ZERO
    reserved_after: Decimal = ZERO
    # Quote per unit of a fee asset that is neither base nor quote; None while nobody knows.
    fee_mark: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """The legs of a trade, what became of its reservation, and what it did to the position."""

    legs: tuple[Leg, ...]
    posted: Decimal
    voided: Decimal
    fact: FillFact
    shortfalls: dict[str, Decimal] = field(default_factory=dict)
    # What the book still owes the pool for a fee, None when it could not be priced; only said of a pending fee.
    is_fee_pending: bool = False
    fee_owed: Decimal | None = None


class _Purse:
    """Legs in the making, with balances that know of them."""

    def __init__(self, trade: Trade, balances: Balances) -> None:
        self.trade = trade
        self.legs: list[Leg] = []
        self.shortfalls: dict[str, Decimal] = {}
        self._balances = balances
        self._moved: dict[Pocket, Decimal] = {}

    def own(self, asset: str) -> Pocket:
        """Return where the owner's free money is."""
        if self.trade.book_id is None:
            return Pocket(UNALLOCATED, None, asset)
        return Pocket(AVAILABLE, self.trade.book_id, asset)

    def balance(self, pocket: Pocket) -> Decimal:
        """Return the balance with the legs so far."""
        return self._balances(pocket) + self._moved.get(pocket, ZERO)

    def move(self, pocket: Pocket, amount: Decimal) -> None:
        """Add a leg."""
        self.legs.append(Leg(pocket, amount))
        self._moved[pocket] = self._moved.get(pocket, ZERO) + amount

    def pay(self, amount: Decimal, asset: str, to: Pocket, sources: list[tuple[Pocket, Decimal]]) -> None:
        """Pay from the sources in turn; what they lack goes to suspense, for a trade has happened whatever we hold."""
        split = take(amount, sources)
        for leg in split.legs:
            self.move(*leg)
        if split.missing:
            self.move(Pocket(SUSPENSE, None, asset), -split.missing)
            self.shortfalls[asset] = self.shortfalls.get(asset, ZERO) + split.missing
        self.move(to, amount)

    def repay(self, asset: str) -> None:
        """Give free money to the owner's deficit, if an adopted order has left one."""
        if self.trade.book_id is not None:
            free = max(self.balance(self.own(asset)), ZERO)
            for leg in repayment(self.trade.book_id, asset, free, self.balance):
                self.move(*leg)


def repayment(book_id: int, asset: str, free: Decimal, balances: Balances) -> list[Leg]:
    """Return the legs that pay a book's deficit back from its free money, as far as either goes."""
    deficit = Pocket(DEFICIT, book_id, asset)
    part = min(-balances(deficit), free)
    return [Leg(Pocket(AVAILABLE, book_id, asset), -part), Leg(deficit, part)] if part > ZERO else []


@exactly
def settle(trade: Trade, balances: Balances) -> Settlement:
    """Work out the legs of a trade; they sum to zero for every asset."""
    purse = _Purse(trade, balances)
    asset, amount = (trade.quote, trade.quote_quantity) if trade.side == "buy" else (trade.base, trade.quantity)
    posted = min(trade.reserved, amount)
    reserved = Pocket(RESERVED, trade.book_id, asset)
    # Against suspense only when neither the reservation nor the free money covers the trade.
    own = purse.own(asset)
    purse.pay(amount, asset, _market(trade, asset), [(reserved, posted), (own, purse.balance(own))])
    # A price better than the limit frees the difference at once, as it does at the exchange.
    voided = max(trade.reserved - posted - trade.reserved_after, ZERO)
    if voided:
        purse.move(reserved, -voided)
        purse.move(own, voided)
    received, gain = (trade.base, trade.quantity) if trade.side == "buy" else (trade.quote, trade.quote_quantity)
    purse.move(_market(trade, received), -gain)
    purse.move(purse.own(received), gain)
    fact, is_fee_pending, fee_owed = _pay_fee(trade, purse, received)
    for free in (asset, received):
        purse.repay(free)
    return Settlement(
        legs=tuple(purse.legs),
        posted=posted,
        voided=voided,
        fact=fact,
        shortfalls=purse.shortfalls,
        is_fee_pending=is_fee_pending,
        fee_owed=fee_owed,
    )


def _pay_fee(trade: Trade, purse: _Purse, received: str) -> tuple[FillFact, bool, Decimal | None]:
    base, quote, fee_quote = trade.quantity, trade.quote_quantity, ZERO
    is_fee_pending, owed = False, None
    sign = 1 if trade.side == "buy" else -1
    to = Pocket(EXTERNAL_FEE, trade.book_id, trade.fee_asset)
    if trade.fee == ZERO:
        return FillFact(trade.side, base, quote, ZERO), False, None
    if trade.fee < ZERO:
        return _take_rebate(trade, purse, received), False, None
    if trade.fee_asset in (received, trade.quote):
        own = purse.own(trade.fee_asset)
        purse.pay(trade.fee, trade.fee_asset, to, [(own, purse.balance(own))])
        if trade.fee_asset == trade.base:
            fee_quote = floor_to(trade.fee * trade.price, UNIT)
            base -= trade.fee
        else:
            fee_quote = trade.fee
            quote += sign * trade.fee
        return FillFact(trade.side, base, quote, fee_quote), False, None
    pool = Pocket(FEE_POOL, None, trade.fee_asset)
    spare = Pocket(UNALLOCATED, None, trade.fee_asset)
    sources = [(pool, purse.balance(pool))]
    if trade.book_id is None:
        sources.append((spare, purse.balance(spare)))
    purse.pay(trade.fee, trade.fee_asset, to, sources)
    if trade.book_id is not None:
        fee_quote, is_fee_pending, owed = _refund_pool(trade, purse)
    return FillFact(trade.side, base, quote + sign * fee_quote, fee_quote), is_fee_pending, owed


def _refund_pool(trade: Trade, purse: _Purse) -> tuple[Decimal, bool, Decimal | None]:
    """Have the book pay the pool for a fee in a third asset, rounded in the pool's favour."""
    mark = trade.price if trade.fee_asset == trade.base else trade.fee_mark
    if mark is None:
        return ZERO, True, None
    own = purse.own(trade.quote)
    owed = ceil_to(trade.fee * mark, UNIT)
    charged = min(owed, max(purse.balance(own), ZERO))
    if charged:
        purse.move(own, -charged)
        purse.move(Pocket(FEE_POOL, None, trade.quote), charged)
    return charged, charged < owed, owed - charged


def _take_rebate(trade: Trade, purse: _Purse, received: str) -> FillFact:
    """Take in a fee below zero: the owner's in its own assets, the pool's in a third, which pays the book its worth."""
    rebate, sign = -trade.fee, 1 if trade.side == "buy" else -1
    purse.move(Pocket(EXTERNAL_FEE, trade.book_id, trade.fee_asset), -rebate)
    if trade.fee_asset == trade.quote:
        purse.move(purse.own(trade.quote), rebate)
        return FillFact(trade.side, trade.quantity, trade.quote_quantity - sign * rebate, -rebate)
    if trade.fee_asset == received:
        purse.move(purse.own(received), rebate)
        return FillFact(trade.side, trade.quantity + rebate, trade.quote_quantity, -floor_to(rebate * trade.price, UNIT))
    if trade.book_id is None:
        purse.move(purse.own(trade.fee_asset), rebate)
        return FillFact(trade.side, trade.quantity, trade.quote_quantity, ZERO)
    purse.move(Pocket(FEE_POOL, None, trade.fee_asset), rebate)
    mark = trade.price if trade.fee_asset == trade.base else trade.fee_mark
    pool = Pocket(FEE_POOL, None, trade.quote)
    paid = min(floor_to(rebate * mark, UNIT), max(purse.balance(pool), ZERO)) if mark is not None else ZERO
    if paid:
        purse.move(pool, -paid)
        purse.move(purse.own(trade.quote), paid)
    return FillFact(trade.side, trade.quantity, trade.quote_quantity - sign * paid, -paid)


def _market(trade: Trade, asset: str) -> Pocket:
    return Pocket(EXTERNAL_TRADE, trade.book_id, asset)
