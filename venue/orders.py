"""Orders, trades and what a client may ask for."""

from dataclasses import dataclass
from typing import Final

BUY: Final = "BUY"
SELL: Final = "SELL"
SIDES: Final = (BUY, SELL)

NEW: Final = "NEW"
PARTIALLY_FILLED: Final = "PARTIALLY_FILLED"
FILLED: Final = "FILLED"
CANCELED: Final = "CANCELED"
EXPIRED: Final = "EXPIRED"
EXPIRED_IN_MATCH: Final = "EXPIRED_IN_MATCH"

STOP_TYPES: Final = frozenset({"STOP_LOSS", "STOP_LOSS_LIMIT", "TAKE_PROFIT", "TAKE_PROFIT_LIMIT"})
LIMIT_TYPES: Final = frozenset({"LIMIT", "LIMIT_MAKER", "STOP_LOSS_LIMIT", "TAKE_PROFIT_LIMIT"})


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderRequest:
    """What a client asks for, read and checked for form only. Amounts in units."""

    symbol: str
    side: str
    type: str
    client_order_id: str
    time_in_force: str = "GTC"
    quantity: int = 0
    quote_quantity: int = 0
    price: int = 0
    stop_price: int = 0
    prevention: str = "NONE"
    strategy_id: int | None = None
    strategy_type: int | None = None
    response: str = "FULL"


@dataclass(slots=True, kw_only=True)
class Order:
    """An order on the exchange. Amounts in units, times in market milliseconds."""

    symbol: str
    order_id: int
    uid: int
    client_order_id: str
    side: str
    type: str
    time_in_force: str
    price: int
    stop_price: int
    quantity: int
    quote_quantity: int
    prevention: str
    status: str
    time: int
    update_time: int
    working_time: int
    received_at_wall_ms: int
    executed: int = 0
    executed_quote: int = 0
    # What of the account's balance this order holds: coins for a sale, quote currency for a purchase.
    locked: int = 0
    triggered: bool = False
    # What was taken off because it would have met an order of the same account.
    prevented: int = 0
    strategy_id: int | None = None
    strategy_type: int | None = None
    # Cancelling renames an order in reports; the id it was placed with stays its own.
    cancel_client_id: str = ""

    @property
    def remaining(self) -> int:
        """Return what is still to be filled."""
        return self.quantity - self.executed - self.prevented

    @property
    def is_open(self) -> bool:
        """Tell whether the order is still alive."""
        return self.status in (NEW, PARTIALLY_FILLED)

    @property
    def waits_for_trigger(self) -> bool:
        """Tell whether the order is a stop that has not been reached."""
        return self.type in STOP_TYPES and not self.triggered

    @property
    def is_buy(self) -> bool:
        """Tell whether the order buys."""
        return self.side == BUY


@dataclass(frozen=True, slots=True, kw_only=True)
class Trade:
    """One fill of one account."""

    symbol: str
    trade_id: int
    order_id: int
    client_order_id: str
    uid: int
    side: str
    price: int
    quantity: int
    quote: int
    fee: int
    fee_asset: str
    is_maker: bool
    time: int
    booked_at_wall_ms: int
