"""A small exchange with the manners of Binance; it keeps its own figures and shares no code with the ledger."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from random import Random
from typing import Final

ZERO: Final = Decimal(0)
_TINY: Final = Decimal("0.00000001")
FEE_RATE: Final = Decimal("0.001")
# Of an exchange that takes every fee in quote, of buys as well, and rounds each up.
FEE_RATE_QUOTE: Final = Decimal("0.006")
FEE_RATE_BNB: Final = Decimal("0.00075")
FINAL: Final = ("CANCELED", "EXPIRED", "EXPIRED_IN_MATCH", "FILLED", "REJECTED")


class Refusal(Exception):
    """Raised with the HTTP status, the code and the words of an error answer."""

    def __init__(self, status: int, code: int, message: str) -> None:
        super().__init__(f"{status} {code} {message}")
        self.status = status
        self.code = code
        self.message = message


@dataclass(slots=True)
class VenueOrder:
    """An order as the exchange keeps it."""

    number: int
    name: str
    symbol: str
    side: str
    type: str
    time_in_force: str
    quantity: Decimal
    price: Decimal | None
    stop_price: Decimal | None
    visible_at: float
    prevention: str = "EXPIRE_TAKER"
    # Quote that is locked for the fee of a buy, where fees are taken in quote.
    fee_held: Decimal = ZERO
    executed: Decimal = ZERO
    cost: Decimal = ZERO
    status: str = "NEW"

    @property
    def left(self) -> Decimal:
        """Return what may still trade."""
        return self.quantity - self.executed

    @property
    def is_final(self) -> bool:
        """Say whether it has ended."""
        return self.status in FINAL


@dataclass(frozen=True, slots=True)
class VenueTrade:
    """A trade as the exchange keeps it."""

    number: int
    order: VenueOrder
    price: Decimal
    quantity: Decimal
    fee: Decimal
    fee_asset: str
    is_maker: bool
    at: float


@dataclass(slots=True)
class Pair:
    """A market: its grid, its price, and the numbers of its orders and trades, which begin anew in each."""

    symbol: str
    base: str
    quote: str
    tick: Decimal
    lot: Decimal
    price: Decimal
    orders: dict[int, VenueOrder] = field(default_factory=dict)
    trades: list[VenueTrade] = field(default_factory=list)

    @property
    def ask(self) -> Decimal:
        """Return the price at which one buys."""
        return self.price + self.tick

    @property
    def bid(self) -> Decimal:
        """Return the price at which one sells."""
        return self.price - self.tick


# Told of every change: ("order", VenueOrder), ("trade", VenueTrade) or ("flow", (asset, amount, reference)).
Tell = Callable[[str, object], None]


class Exchange:
    """One account on two markets."""

    def __init__(self, pairs: list[Pair], balances: dict[str, Decimal], *, random: Random, clock: Callable[[], float]) -> None:
        self.pairs = {pair.symbol: pair for pair in pairs}
        self.free: defaultdict[str, Decimal] = defaultdict(lambda: ZERO, balances)
        self.locked: defaultdict[str, Decimal] = defaultdict(lambda: ZERO)
        self.tell: Tell = lambda _kind, _what: None
        # Faults: how long reads may not show a new order, and how thin the market is.
        self.lag_seconds: Callable[[], float] = lambda: 0.0
        self.is_thin = False
        self.fees_in_bnb = True
        self.fees_in_quote = False
        self.is_halted = False
        self.self_trades: list[tuple[VenueOrder, VenueOrder]] = []
        self.flows = 0
        self._random = random
        self._clock = clock

    def place(self, *, name: str, symbol: str, side: str, kind: str, quantity: Decimal, price: Decimal | None,
              stop_price: Decimal | None, time_in_force: str,
              prevention: str = "") -> tuple[VenueOrder, list[VenueTrade]]:  # fmt: skip
        """Take an order, or refuse it; a name is unique among open orders only."""
        pair = self.pairs[symbol]
        if self.is_halted:
            raise Refusal(400, -2010, "Market is closed.")
        if any(order.name == name and not order.is_final for order in pair.orders.values()):
            raise Refusal(400, -2010, "Duplicate order sent.")
        self._check(pair, side, kind, quantity, price, stop_price)
        asset, amount = (pair.quote, quantity * price) if side == "buy" and price is not None else (pair.base, quantity)
        fee_held = self._fee_of(amount) if self.fees_in_quote and asset == pair.quote else ZERO
        if self.free[asset] < amount + fee_held:
            raise Refusal(400, -2010, "Account has insufficient balance for requested action.")
        self.free[asset] -= amount + fee_held
        self.locked[asset] += amount + fee_held
        order = VenueOrder(
            len(pair.orders) + 1, name, symbol, side, kind, time_in_force, quantity, price, stop_price,
            visible_at=self._clock() + self.lag_seconds(), prevention=prevention or "EXPIRE_TAKER",
            fee_held=fee_held,
        )  # fmt: skip
        pair.orders[order.number] = order
        self.tell("order", order)
        first = len(pair.trades)
        if kind == "MARKET" or time_in_force == "IOC":
            self._take(pair, order)
        return order, pair.trades[first:]

    def cancel(self, symbol: str, name: str) -> VenueOrder:
        """End an order."""
        order = self.named(symbol, name)
        if order is None or order.is_final:
            raise Refusal(400, -2011, "Unknown order sent.")
        self._end(self.pairs[symbol], order, "CANCELED")
        return order

    def named(self, symbol: str, name: str) -> VenueOrder | None:
        """Find the newest order of a name."""
        return next((order for order in reversed(self.pairs[symbol].orders.values()) if order.name == name), None)

    def move(self, symbol: str, price: Decimal) -> None:
        """Have the market go to a price: what rests on its way trades, at most in part where the market is thin."""
        pair = self.pairs[symbol]
        pair.price = price
        if self.is_halted:
            return
        # Nobody trades beyond a price before everything that rests at it is taken; stops follow what trades.
        for order in list(pair.orders.values()):
            if order.is_final or order.price is None or order.type.startswith("STOP"):
                continue
            if price < order.price if order.side == "buy" else price > order.price:
                if self._random.random() < 0.3:
                    self._trade(pair, order, self._part(pair, order.left), order.price, is_maker=True)
                if not order.is_final:
                    self._trade(pair, order, order.left, order.price, is_maker=True)
            elif price == order.price:
                self._trade(pair, order, self._part(pair, order.left), order.price, is_maker=True)
        for order in list(pair.orders.values()):
            if order.type == "STOP_LOSS" and not order.is_final and order.stop_price is not None and price <= order.stop_price:
                order.stop_price, order.type = None, "STOP_LOSS_TRIGGERED"
                self._take(pair, order)

    def flow(self, asset: str, amount: Decimal) -> None:
        """Have something come from outside, or leave; never more than is free."""
        amount = max(amount, -self.free[asset])
        if amount:
            self.free[asset] += amount
            self.flows += 1
            self.tell("flow", (asset, amount, f"flow-{self.flows}"))

    def by_hand(self, symbol: str, side: str, quantity: Decimal) -> None:
        """Have a person trade on the website."""
        pair = self.pairs[symbol]
        price = pair.ask if side == "buy" else None
        number = sum(len(each.orders) for each in self.pairs.values())
        try:
            self.place(name=f"web_{number}", symbol=symbol, side=side, kind="LIMIT" if price else "MARKET", quantity=quantity,
                       price=price, stop_price=None, time_in_force="IOC")  # fmt: skip
        except Refusal:
            return

    def totals(self) -> dict[str, Decimal]:
        """Return free and locked together, without what is empty."""
        sums = {asset: self.free[asset] + self.locked[asset] for asset in sorted(self.free.keys() | self.locked.keys())}
        return {asset: total for asset, total in sums.items() if total}

    def locked_without_fees(self) -> dict[str, Decimal]:
        """Return what orders lock by their size and price alone."""
        locked = dict(self.locked)
        for pair in self.pairs.values():
            locked[pair.quote] = locked.get(pair.quote, ZERO) - sum(order.fee_held for order in pair.orders.values())
        return locked

    def _check(self, pair: Pair, side: str, kind: str, quantity: Decimal, price: Decimal | None, stop: Decimal | None) -> None:
        if quantity <= ZERO or quantity % pair.lot:
            raise Refusal(400, -1013, "Filter failure: LOT_SIZE")
        if price is not None and (price <= ZERO or price % pair.tick):
            raise Refusal(400, -1013, "Filter failure: PRICE_FILTER")
        if (price or stop or pair.price) * quantity < 5:
            raise Refusal(400, -1013, "Filter failure: NOTIONAL")
        if kind == "LIMIT_MAKER":
            assert price is not None
            if price >= pair.ask if side == "buy" else price <= pair.bid:
                raise Refusal(400, -2010, "Order would immediately match and take.")
        if stop is not None and pair.price <= stop:
            raise Refusal(400, -2010, "Stop price would trigger immediately.")

    def _take(self, pair: Pair, order: VenueOrder) -> None:
        """Have an order take what the market offers within its limit; the rest expires."""
        price = pair.ask if order.side == "buy" else pair.bid
        while (rival := self._own_rival(pair, order, price)) and order.prevention == "EXPIRE_MAKER":
            self._end(pair, rival, "EXPIRED_IN_MATCH")
        if rival is not None:
            self.self_trades.append((order, rival))
            self._end(pair, order, "EXPIRED_IN_MATCH")
            return
        reaches = order.price is None or (price <= order.price if order.side == "buy" else price >= order.price)
        offered = order.left
        if self.is_thin:
            offered = self._part(pair, order.left)
        while reaches and offered > ZERO:
            part = offered if self._random.random() < 0.5 else self._part(pair, offered)
            self._trade(pair, order, part, price, is_maker=False)
            offered -= part
        if not order.is_final:
            self._end(pair, order, "EXPIRED")

    def _own_rival(self, pair: Pair, order: VenueOrder, price: Decimal) -> VenueOrder | None:
        """Return the account's own resting order that stands before the market's best."""
        for other in pair.orders.values():
            if other.is_final or other.side == order.side or other.price is None or other.time_in_force == "IOC":
                continue
            is_better = other.price <= price if order.side == "buy" else other.price >= price
            limit = order.price if order.price is not None else other.price
            if is_better and (other.price <= limit if order.side == "buy" else other.price >= limit):
                return other
        return None

    def _part(self, pair: Pair, quantity: Decimal) -> Decimal:
        lots = int(quantity / pair.lot)
        return pair.lot * self._random.randint(1, lots)

    def _trade(self, pair: Pair, order: VenueOrder, quantity: Decimal, price: Decimal, *, is_maker: bool) -> None:
        cost = quantity * price
        order.executed += quantity
        order.cost += cost
        if order.side == "buy":
            assert order.price is not None
            self.locked[pair.quote] -= quantity * order.price
            self.free[pair.quote] += quantity * order.price - cost
            self.free[pair.base] += quantity
        else:
            self.locked[pair.base] -= quantity
            self.free[pair.quote] += cost
        fee, fee_asset = self._fee(pair, order.side, quantity, cost)
        self._charge(order, fee, fee_asset)
        order.status = "PARTIALLY_FILLED" if order.left else "FILLED"
        trade = VenueTrade(len(pair.trades) + 1, order, price, quantity, fee, fee_asset, is_maker, self._clock())
        pair.trades.append(trade)
        self.tell("trade", trade)

    def _charge(self, order: VenueOrder, fee: Decimal, asset: str) -> None:
        """Take a fee: from what the order holds for it first; what is held beyond the last trade is free again."""
        held = min(fee, order.fee_held)
        order.fee_held -= held
        self.locked[asset] -= held
        self.free[asset] -= fee - held
        if not order.left:
            self._free_fee(order, asset)

    def _free_fee(self, order: VenueOrder, asset: str) -> None:
        self.locked[asset] -= order.fee_held
        self.free[asset] += order.fee_held
        order.fee_held = ZERO

    def _fee_of(self, cost: Decimal) -> Decimal:
        return (cost * FEE_RATE_QUOTE).quantize(_TINY, ROUND_CEILING)

    def _fee(self, pair: Pair, side: str, quantity: Decimal, cost: Decimal) -> tuple[Decimal, str]:
        if self.fees_in_quote:
            return self._fee_of(cost), pair.quote
        in_bnb = (cost * FEE_RATE_BNB / 400).quantize(_TINY, ROUND_FLOOR)
        if self.fees_in_bnb and self.free["BNB"] >= in_bnb > ZERO:
            return in_bnb, "BNB"
        amount, asset = (quantity, pair.base) if side == "buy" else (cost, pair.quote)
        return (amount * FEE_RATE).quantize(_TINY, ROUND_FLOOR), asset

    def _end(self, pair: Pair, order: VenueOrder, status: str) -> None:
        asset = pair.quote if order.side == "buy" else pair.base
        amount = order.left * order.price if order.side == "buy" and order.price is not None else order.left
        self.locked[asset] -= amount
        self.free[asset] += amount
        self._free_fee(order, asset)
        order.status = status
        self.tell("order", order)
