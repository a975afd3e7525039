"""Which plans of a whole account are compared, on what: a value that can be checked, stored and simulated again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from backtests.account_spec import AccountAsked, plan_of
from backtests.spec import USUAL_PARTICIPATION, check_participation, without_usual
from strategies import registry
from trading.bars import interval_milliseconds
from trading.costs import rate_ppm
from trading.frictions import NONE, Frictions
from trading.handover import Mode
from trading.kernels.backtest import Costs
from trading.ledger import plain

PLANS_MAX: Final = 12
BOTS_MAX: Final = 20
# Each bot has its samples of every base candle in memory.
BOT_BARS_MAX: Final = 20_000_000


class BadComparison(ValueError):
    """These plans cannot be compared as asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanAsked:
    """One plan: the content of a plan file, and what goes before what it says itself."""

    content: Mapping[str, Any]
    mode: str = ""
    bot: str = ""
    rotation: str = ""
    budget: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonSpec:
    """Some plans, one stretch of time, one purse, the same costs for all."""

    plans: tuple[PlanAsked, ...]
    begin_at: datetime
    end_at: datetime
    capital: Decimal
    # For all bots instead of their own; empty: each its own. Then what orders are matched on; empty: the shortest of them.
    interval: str
    base_interval: str
    # A folder of Parquet candles, or empty for the candles in the database.
    folder: str
    fee: Decimal
    half_spread: Decimal
    slippage: Decimal
    is_limited: bool
    # The share of a base candle's volume that a bot's orders may have.
    participation: Decimal = USUAL_PARTICIPATION
    frictions: Frictions = NONE

    def checked(self) -> ComparisonSpec:
        """Answer the same spec, or raise what is wrong with it; candles are not looked at."""
        if not 1 <= len(self.plans) <= PLANS_MAX:
            raise BadComparison(f"1 to {PLANS_MAX} plans are compared, not {len(self.plans)}")
        if self.begin_at >= self.end_at:
            raise BadComparison(f"The end {self.end_at} must be after the beginning {self.begin_at}")
        for rate in (self.fee, self.half_spread, self.slippage):
            rate_ppm(rate)
        check_participation(self.participation)
        for number in range(len(self.plans)):
            self._check_size(number)
        return self

    @property
    def fingerprint(self) -> str:
        """Identify what was asked for, whoever asks."""
        return fingerprint_of(without_usual(asdict(self), participation=self.participation, frictions=self.frictions))

    @property
    def code_hash(self) -> str:
        """Identify the code that decides: ours, and what users wrote."""
        files = [plan_of(plan.content, source=source_of(number)) for number, plan in enumerate(self.plans)]
        return registry.code_hash(*(bot.strategy for file in files for bot in file.bots))

    def asked(self, number: int) -> AccountAsked:
        """Answer what is asked of one of the plans."""
        plan = self.plans[number]
        return AccountAsked(
            mode=Mode(plan.mode) if plan.mode else None,
            capital=self.capital,
            begin_at=self.begin_at,
            end_at=self.end_at,
            costs=Costs(self.fee, self.fee, self.half_spread, self.slippage, self.participation, self.frictions),
            bot=plan.bot,
            rotation=plan.rotation,
            budget=plan.budget,
            is_limited=self.is_limited,
            interval=self.interval,
        )

    def _check_size(self, number: int) -> None:
        file = plan_of(self.plans[number].content, source=source_of(number))
        if len(file.bots) > BOTS_MAX:
            raise BadComparison(f"{source_of(number)} has {len(file.bots)} bots; at most {BOTS_MAX} are simulated")
        for bot in file.bots:
            self.frictions.checked(interval_ms=interval_milliseconds(self.interval or bot.interval))
        shortest = min(interval_milliseconds(self.interval or bot.interval) for bot in file.bots)
        base = interval_milliseconds(self.base_interval) if self.base_interval else shortest
        bars = int((self.end_at - self.begin_at).total_seconds() * 1000) // base * len(file.bots)
        if bars > BOT_BARS_MAX:
            raise BadComparison(
                f"{source_of(number)} is {bars:,} base candles for its bots together; at most {BOT_BARS_MAX:,} are simulated."
                " Take a shorter stretch or longer base candles."
            )


def source_of(number: int) -> str:
    """Name a plan in messages."""
    return f"Plan {number + 1}"


def fingerprint_of(value: Any) -> str:
    """Identify a value by what it says; an amount is the same with and without zeros at its end."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=_written).encode()).hexdigest()


def _written(value: Any) -> str:
    return plain(value) if isinstance(value, Decimal) else str(value)
