"""What a trial is asked to do: a value that can be checked before anything is stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from trading.bars import interval_milliseconds
from trading.trials import HOUR_MS

TURNS_MAX: Final = 5_000
HOURS_MAX: Final = 24 * 366
BOTS_MAX: Final = 50


class UnableToTry(Exception):
    """Raised when a trial cannot begin, go on or be applied; carries a reason code and all that is in the way."""

    def __init__(self, code: str, message: str, obstacles: Sequence[Obstacle] = ()) -> None:
        super().__init__(message)
        self.code = code
        self.facts = {"obstacles": [{"code": one.code, "message": one.message} for one in obstacles]} if obstacles else {}


@dataclass(frozen=True, slots=True)
class Obstacle:
    """One thing that keeps a trial from beginning."""

    code: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountTrial:
    """Each bot alone on the account itself."""

    bots: tuple[str, ...]
    hours: int
    rounds: int = 1
    budget: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedTrial:
    """Each bot alone in a simulation over every stretch of some hours between two moments."""

    bots: tuple[str, ...]
    hours: int
    begin_at: datetime
    end_at: datetime
    allocation: Decimal = Decimal(1000)
    half_spread: Decimal = Decimal("0.00005")
    slippage: Decimal = Decimal(0)
    folder: str = ""

    @property
    def rounds(self) -> int:
        """Return how many whole turns fit in."""
        return max(0, (self.end_at - self.begin_at) // timedelta(hours=self.hours))


Spec = AccountTrial | SimulatedTrial


def wrong(spec: Spec, intervals: Sequence[tuple[str, str]]) -> list[Obstacle]:
    """List what is wrong with a wish itself; `intervals` are the bots' names and candles."""
    found = []
    if not 0 < spec.hours <= HOURS_MAX:
        found.append(Obstacle("TRIAL_HOURS_BAD", f"A turn lasts 1 to {HOURS_MAX} hours, not {spec.hours}."))
    if len(set(intervals)) < len(intervals):
        found.append(Obstacle("TRIAL_BOT_TWICE", "A bot is named twice."))
    if not 2 <= len(intervals) <= BOTS_MAX:
        found.append(Obstacle("TRIAL_BOTS_FEW", f"A comparison needs 2 to {BOTS_MAX} bots, not {len(intervals)}."))
    for name, interval in intervals:
        if spec.hours * HOUR_MS < 2 * interval_milliseconds(interval):
            # It may enter from the first candle on, and must see one more to leave again.
            found.append(Obstacle("TRIAL_TURN_TOO_SHORT", f"{name} decides every {interval}: a turn needs two such candles."))
    found += _off_grid(spec, intervals)
    if not found and not 0 < spec.rounds * len(intervals) <= TURNS_MAX:
        message = f"1 to {TURNS_MAX:,} turns can be tried, not {spec.rounds * len(intervals):,}."
        found.append(Obstacle("TRIAL_TURNS_BAD", message))
    return found + _amounts_wrong(spec)


def _off_grid(spec: Spec, intervals: Sequence[tuple[str, str]]) -> list[Obstacle]:
    """Refuse stretches of a simulation that do not begin and end with every bot's candles."""
    if not isinstance(spec, SimulatedTrial):
        return []
    begin = int(spec.begin_at.timestamp() * 1000)
    found = []
    for name, interval in intervals:
        length = interval_milliseconds(interval)
        if begin % length or spec.hours * HOUR_MS % length:
            message = f"{name} decides every {interval}: begin with such a candle, and let a turn hold a whole number of them."
            found.append(Obstacle("TRIAL_OFF_GRID", message))
    return found


def _amounts_wrong(spec: Spec) -> list[Obstacle]:
    amount = spec.allocation if isinstance(spec, SimulatedTrial) else spec.budget
    if amount is not None and not (amount.is_finite() and 0 < amount < Decimal(10) ** 15):
        return [Obstacle("MODE_BUDGET_BAD", f"What a bot trades with must be an amount above zero, not {amount}.")]
    return []
