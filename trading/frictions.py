"""What a backtest may take into account beside fixed rates: slippage, fees by volume, thin candles, latency."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final

from trading.costs import rate_ppm

ZERO: Final = Decimal(0)
TIERS_MAX: Final = 12
VOLATILITIES_MAX: Final = Decimal(10)
IMPACT_MAX: Final = Decimal(100)
# Books are told in whole units of 0.00000001 that fit into 64 bits.
_VOLUME_MAX: Final = Decimal(10) ** 10


class BadFrictions(ValueError):
    """These frictions cannot be simulated."""


class Rest(StrEnum):
    """What becomes of the part of a market order that a candle's volume does not carry."""

    # It is filled at once, each further share of the volume one half spread deeper.
    DEEPER = "deeper"
    # It is filled at the opens of the next base candles.
    WAIT = "wait"
    # It is called off; only what a stop still has to sell waits.
    CANCEL = "cancel"


class FeeIn(StrEnum):
    """What a fee is taken from."""

    RECEIVED = "received"
    # On top of what is paid: exchanges that take it so, and fees that are paid in a coin of the exchange and settled in quote.
    QUOTE = "quote"


@dataclass(frozen=True, slots=True)
class FeeTier:
    """The fees from a volume of the last 30 whole days on, in quote."""

    volume: Decimal
    taker_fee: Decimal
    maker_fee: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Frictions:
    """What makes a backtest worse than its prices; the defaults change nothing."""

    # Slippage in parts of the volatility of a base candle, and the same at an order as large as a mean candle's volume.
    slippage_volatility: Decimal = ZERO
    slippage_impact: Decimal = ZERO
    fee_in: FeeIn = FeeIn.RECEIVED
    fee_tiers: tuple[FeeTier, ...] = ()
    rest: Rest = Rest.DEEPER
    # From a decision to the exchange; orders meet the first base candle that opens after it.
    latency_ms: int = 0

    @property
    def is_none(self) -> bool:
        """Say whether nothing is taken into account."""
        return self == NONE

    def checked(self, *, interval_ms: int) -> Frictions:
        """Answer the same, or raise what is out of range; `interval_ms` is the strategy's."""
        _within("slippage in volatilities", self.slippage_volatility, VOLATILITIES_MAX)
        _within("slippage of an order as large as a candle", self.slippage_impact, IMPACT_MAX)
        if not 0 <= self.latency_ms <= interval_ms:
            raise BadFrictions(
                f"A latency is from 0 to one candle of the strategy ({interval_ms} ms), not {self.latency_ms} ms:"
                " the next decision must find the last one carried out"
            )
        _check_tiers(self.fee_tiers)
        return self

    def as_plain(self) -> dict[str, Any]:
        """Answer JSON values of whatever is not the default."""
        values = asdict(self)
        values["fee_tiers"] = [{name: str(value) for name, value in tier.items()} for tier in values["fee_tiers"]]
        plain = {name: str(value) if isinstance(value, Decimal | StrEnum) else value for name, value in values.items()}
        return {name: value for name, value in plain.items() if getattr(self, name) != getattr(NONE, name)}


NONE: Final = Frictions()


def read_frictions(plain: Mapping[str, Any]) -> Frictions:
    """Read back what `as_plain` wrote."""
    values = dict(plain)
    for name in ("slippage_volatility", "slippage_impact"):
        if name in values:
            values[name] = Decimal(values[name])
    if "fee_in" in values:
        values["fee_in"] = FeeIn(values["fee_in"])
    if "rest" in values:
        values["rest"] = Rest(values["rest"])
    rows = values.get("fee_tiers", ())
    values["fee_tiers"] = tuple(FeeTier(**{name: Decimal(value) for name, value in row.items()}) for row in rows)
    return Frictions(**values)


def read_tiers(texts: Iterable[str]) -> tuple[FeeTier, ...]:
    """Read tiers as people write them: `VOLUME=TAKER/MAKER`, or one rate for both."""
    tiers = []
    for text in texts:
        volume, equals, rates = text.partition("=")
        taker, slash, maker = rates.partition("/")
        try:
            tiers.append(FeeTier(Decimal(volume), Decimal(taker), Decimal(maker if slash else taker)))
        except ArithmeticError:
            equals = ""
        if not equals:
            raise BadFrictions(f"A fee tier is VOLUME=TAKER/MAKER such as 1000000=0.0009/0.0008, not {text!r}")
    return tuple(tiers)


def _within(name: str, value: Decimal, most: Decimal) -> None:
    if not (value.is_finite() and ZERO <= value <= most) or value % Decimal("0.000001"):
        raise BadFrictions(f"The {name} is from 0 to {most} in steps of 0.000001, not {value}")


def _check_tiers(tiers: tuple[FeeTier, ...]) -> None:
    if len(tiers) > TIERS_MAX:
        raise BadFrictions(f"At most {TIERS_MAX} fee tiers are simulated, not {len(tiers)}")
    volumes = [tier.volume for tier in tiers]
    if any(not (volume.is_finite() and ZERO < volume <= _VOLUME_MAX) for volume in volumes):
        raise BadFrictions(f"A fee tier begins above 0 and at most at {_VOLUME_MAX:f}: below the first, the fees asked for hold")
    if sorted(set(volumes)) != volumes:
        raise BadFrictions("Fee tiers stand in order of their volume, each once")
    for tier in tiers:
        rate_ppm(tier.taker_fee)
        rate_ppm(tier.maker_fee)
