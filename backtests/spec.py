"""What a backtest is asked to do: a value that can be checked, stored and run again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

from strategies import registry
from trading.bars import interval_milliseconds
from trading.costs import rate_ppm
from trading.frictions import NONE, Frictions

USUAL_PARTICIPATION: Final = Decimal("0.1")


class BadSpec(ValueError):
    """This backtest cannot be run as asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BacktestSpec:
    """One strategy on one market over a stretch of time."""

    strategy: str
    params: Mapping[str, Any]
    symbol: str
    # Further markets, in the order of the strategy's panel.
    others: tuple[str, ...] = ()
    interval: str
    base_interval: str
    # A folder of Parquet candles, or empty for the candles in the database.
    folder: str
    begin_at: datetime
    end_at: datetime
    # Open of the first bar that the indicators see, and of the first that may trade.
    anchor_at: datetime | None
    trade_from_at: datetime | None
    allocation: Decimal
    taker_fee: Decimal
    maker_fee: Decimal
    half_spread: Decimal
    slippage: Decimal
    # The share of a base candle's volume that its orders may have.
    participation: Decimal = USUAL_PARTICIPATION
    # Finer candles that tell in which order an ambiguous base candle went; empty for none.
    detail_interval: str = ""
    frictions: Frictions = NONE
    # What a taker pays in each market, where that differs; `taker_fee` is then that of the first.
    taker_fees: tuple[Decimal, ...] = ()

    def checked(self) -> BacktestSpec:
        """Answer the same spec with its parameters complete, or raise what is wrong with it."""
        params = registry.param_values(self.strategy, self.params, self.interval)
        if interval_milliseconds(self.interval) % interval_milliseconds(self.base_interval):
            raise BadSpec(f"Bars of {self.base_interval} do not add up to {self.interval}")
        if self.begin_at >= self.end_at:
            raise BadSpec(f"The end {self.end_at} must be after the beginning {self.begin_at}")
        if not (self.allocation.is_finite() and self.allocation > 0):
            raise BadSpec(f"The allocation must be above zero, not {self.allocation}")
        self._check_markets()
        for rate in (self.taker_fee, self.maker_fee, self.half_spread, self.slippage, *self.taker_fees):
            rate_ppm(rate)
        self._check_fees()
        check_participation(self.participation)
        self.frictions.checked(interval_ms=interval_milliseconds(self.interval))
        self._check_details()
        return replace(self, params=params)

    def _check_fees(self) -> None:
        if not self.taker_fees:
            return
        if len(self.taker_fees) != len(self.symbols):
            count = len(self.symbols)
            raise BadSpec(f"Give one fee rate for all {count} markets, or one for each: not {len(self.taker_fees)}")
        if not self.frictions.is_none:
            raise BadSpec(
                "Fee rates that differ by market go with no frictions: leave out fee tiers, slippage models and latency"
            )

    def _check_details(self) -> None:
        if not self.detail_interval:
            return
        base, detail = interval_milliseconds(self.base_interval), interval_milliseconds(self.detail_interval)
        if detail >= base or base % detail:
            raise BadSpec(f"Details of {self.detail_interval} do not make up base candles of {self.base_interval}")

    def _check_markets(self) -> None:
        strategy, count = registry.definition(self.strategy), len(self.symbols)
        if not strategy.symbols_least <= count <= strategy.symbols_most:
            allowed = f"{strategy.symbols_least} to {strategy.symbols_most}" if strategy.symbols_most > 1 else "one"
            raise BadSpec(f"{self.strategy} trades {allowed} of the markets at a time, not {count}")
        if len(set(self.symbols)) < count:
            raise BadSpec(f"A market is named twice: {', '.join(self.symbols)}")

    @property
    def symbols(self) -> tuple[str, ...]:
        """Answer all markets, in the order of the panel."""
        return (self.symbol, *self.others)

    @property
    def mean_taker_fee(self) -> Decimal:
        """Answer what a taker pays who trades as much in each market."""
        return sum(self.taker_fees, Decimal(0)) / len(self.taker_fees) if self.taker_fees else self.taker_fee

    @property
    def fingerprint(self) -> str:
        """Identify what was asked for, whoever asks."""
        values = without_usual(asdict(self), participation=self.participation, frictions=self.frictions)
        for name in ("detail_interval", "taker_fees"):
            if not values[name]:
                del values[name]
        return hashlib.sha256(json.dumps(values, sort_keys=True, default=str).encode()).hexdigest()


def without_usual(values: Mapping[str, Any], *, participation: Decimal, frictions: Frictions) -> dict[str, Any]:
    """Leave out what is as it always was, so that what was asked before has the same fingerprint still."""
    kept = {name: value for name, value in values.items() if name not in ("participation", "frictions")}
    if participation != USUAL_PARTICIPATION:
        kept["participation"] = participation
    if not frictions.is_none:
        kept["frictions"] = frictions.as_plain()
    return kept


def check_participation(participation: Decimal) -> None:
    """Refuse a share of the volume that leaves orders nothing, or all."""
    rate_ppm(participation)
    if participation == 0:
        raise BadSpec("Orders need a share of the volume: a participation is above 0 and below 1")


def milliseconds(at: datetime | None) -> int | None:
    """Turn a moment into UTC milliseconds."""
    return None if at is None else int(at.timestamp() * 1000)


def moment(time_ms: int) -> datetime:
    """Turn UTC milliseconds into a moment."""
    seconds, rest = divmod(time_ms, 1000)
    return datetime.fromtimestamp(seconds, tz=UTC).replace(microsecond=rest * 1000)
