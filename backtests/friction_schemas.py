"""How costs and frictions are asked for in JSON, of backtests, sweeps and comparisons alike."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

from pydantic import Field

from marketdata.schemas import AmountIn, Payload, shown
from trading.frictions import IMPACT_MAX, TIERS_MAX, VOLATILITIES_MAX, ZERO, FeeIn, FeeTier, Frictions, Rest

Rate = Annotated[Decimal, Field(ge=0, lt=1, max_digits=8, decimal_places=6)]
# The share of a base candle's volume that orders may have.
Participation = Annotated[Decimal, Field(gt=0, lt=1, max_digits=8, decimal_places=6)]


class FeeTierIn(Payload):
    """The fees from a volume of the last 30 whole days on, in quote."""

    model_config = shown({"volume": "1000000", "taker_fee": "0.0009", "maker_fee": "0.0008"})

    volume: Annotated[AmountIn, Field(gt=0, le=10**10)]
    taker_fee: Rate
    maker_fee: Rate


class FrictionsIn(Payload):
    """What a backtest takes into account beside fixed rates; the defaults change nothing."""

    model_config = shown({"slippage_volatility": "0.1", "rest": "wait", "latency_ms": 400})

    # In volatilities of a base candle; the second for an order as large as a mean candle's volume.
    slippage_volatility: Annotated[AmountIn, Field(ge=0, le=VOLATILITIES_MAX, decimal_places=6)] = ZERO
    slippage_impact: Annotated[AmountIn, Field(ge=0, le=IMPACT_MAX, decimal_places=6)] = ZERO
    fee_in: FeeIn = FeeIn.RECEIVED
    fee_tiers: Annotated[list[FeeTierIn], Field(max_length=TIERS_MAX)] = []
    # Of a market order that a candle's volume does not carry.
    rest: Rest = Rest.DEEPER
    latency_ms: Annotated[int, Field(ge=0, le=7 * 86_400_000)] = 0

    def to_frictions(self) -> Frictions:
        """Answer what the spec knows them as."""
        tiers = tuple(FeeTier(tier.volume, tier.taker_fee, tier.maker_fee) for tier in self.fee_tiers)
        return Frictions(**{**self.dict(), "fee_tiers": tiers})
