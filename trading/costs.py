"""What trading costs: the taker's price and the fee, in whole numbers."""

from decimal import Decimal
from typing import Final

from trading.compilation import compiled

PPM: Final = 1_000_000


@compiled
def taker_buy_ticks(tick_price: int, spread_ppm: int) -> int:
    """Price a market buy: the tick plus spread and slippage, rounded up to a tick."""
    return -((-tick_price * (1_000_000 + spread_ppm)) // 1_000_000)


@compiled
def taker_sell_ticks(tick_price: int, spread_ppm: int) -> int:
    """Price a market sell: the tick less spread and slippage, rounded down to a tick."""
    return (tick_price * (1_000_000 - spread_ppm)) // 1_000_000


@compiled
def fee_units(amount_units: int, fee_ppm: int) -> int:
    """Take the fee out of the received amount, rounded down to a unit."""
    return (amount_units * fee_ppm) // 1_000_000


@compiled
def round_trip_cost(fee_rate: float, half_spread: float) -> float:
    """Estimate the share of the notional lost to fees and spread on the way in and out."""
    return 2.0 * (fee_rate + half_spread)


def rate_ppm(rate: Decimal) -> int:
    """Turn a rate into parts per million; finer rates are refused."""
    parts = rate * PPM
    if not parts.is_finite() or parts != parts.to_integral_value() or not 0 <= parts < PPM:
        raise ValueError(f"A rate must be from 0 to 1 in steps of 0.000001, not {rate}")
    return int(parts)
