"""Orders as the tests word them, with prices that come from the book of now."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from tests.conformance.conftest import Exchange

CENT = Decimal("0.01")
QUANTITY = "0.1"


def limit(side: str, price: Decimal, **more: Any) -> dict[str, Any]:
    """Word a limit order that waits."""
    return {
        "symbol": "ETHUSDT",
        "side": side,
        "type": "LIMIT",
        "timeInForce": "GTC",
        "quantity": QUANTITY,
        "price": str(price.quantize(CENT)),
        **more,
    }


def market(side: str, **more: Any) -> dict[str, Any]:
    """Word a market order."""
    return {"symbol": "ETHUSDT", "side": side, "type": "MARKET", **({"quantity": QUANTITY} | more)}


def far_below(exchange: Exchange) -> Decimal:
    """Return a price at which a purchase waits."""
    return (exchange.best()[0] * Decimal("0.9")).quantize(CENT)


def far_above(exchange: Exchange) -> Decimal:
    """Return a price at which a sale waits."""
    return (exchange.best()[1] * Decimal("1.1")).quantize(CENT)
