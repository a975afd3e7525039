"""What a sweep is asked to try: a value that can be checked, counted, stored and run again."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from decimal import Decimal, InvalidOperation
from difflib import get_close_matches
from typing import Any, Final

import numpy as np

from backtests.families import FAMILIES, Combination
from backtests.spec import USUAL_PARTICIPATION, check_participation, without_usual
from strategies import registry
from trading.bars import interval_milliseconds
from trading.costs import rate_ppm
from trading.frictions import NONE, Frictions

# More than this in one sweep is a typing error far more often than a plan.
TRIALS_MAX: Final = 200_000
# Each of these is a whole backtest.
BACKTESTS_MAX: Final = 20_000
GRID_MAX: Final = 10**12
CHUNK_TRIALS: Final = 2_000
CHUNK_BACKTESTS: Final = 25


_UNKNOWN_TO_EVENTS: Final = {
    "slippage_volatility": "slippage by volatility",
    "slippage_impact": "slippage by size",
    "fee_in": "fees in quote",
    "fee_tiers": "fee tiers",
    "rest": "what thin candles leave of an order",
    "latency_ms": "latency",
}


class BadSweep(ValueError):
    """This sweep cannot be run as asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepSpec:
    """Many combinations of parameters of one strategy on one market."""

    strategy: str
    grid: Mapping[str, Sequence[Any]]
    fixed: Mapping[str, Any]
    # How many combinations to draw from the grid; 0 tries all.
    sample: int
    seed: int
    symbol: str
    interval: str
    folder: str
    begin_at: datetime
    end_at: datetime
    allocation: Decimal
    fee: Decimal
    half_spread: Decimal
    slippage: Decimal
    # The share of a base candle's volume that its orders may have.
    participation: Decimal = USUAL_PARTICIPATION
    frictions: Frictions = NONE

    def checked(self) -> SweepSpec:
        """Answer the same spec with its numbers normalised, or raise what is wrong with it."""
        schema = schema_of(self.strategy)
        if not self.grid:
            raise BadSweep("A sweep needs a grid, such as fast=5:50:5")
        # By name: the database does not keep the order of keys, and the trials are numbered by it.
        grid = {
            name: tuple(_checked(self.strategy, schema, name, value) for value in self.grid[name]) for name in sorted(self.grid)
        }
        for name, values in grid.items():
            if not values:
                raise BadSweep(f"{name} has no values: write LOW:HIGH:STEP with LOW at most HIGH, or values with commas")
            if len(set(values)) < len(values):
                raise BadSweep(f"{name} has a value twice")
        fixed = {name: _checked(self.strategy, schema, name, value) for name, value in self.fixed.items()}
        if set(fixed) & set(grid):
            raise BadSweep(f"{', '.join(sorted(set(fixed) & set(grid)))} cannot be fixed and in the grid")
        interval_milliseconds(self.interval)
        if self.begin_at >= self.end_at:
            raise BadSweep(f"The end {self.end_at} must be after the beginning {self.begin_at}")
        if not (self.allocation.is_finite() and self.allocation > 0):
            raise BadSweep(f"The allocation must be above zero, not {self.allocation}")
        for rate in (self.fee, self.half_spread, self.slippage):
            rate_ppm(rate)
        self._check_frictions()
        checked = replace(self, grid=grid, fixed=fixed)
        checked._refuse_too_many()
        return checked

    @property
    def is_fast(self) -> bool:
        """Tell whether the combinations are tried together, event by event."""
        return self.strategy in FAMILIES

    @property
    def grid_size(self) -> int:
        """Count the combinations that the grid has."""
        return math.prod(len(values) for values in self.grid.values())

    @property
    def trials(self) -> int:
        """Count the combinations that are drawn."""
        return min(self.sample, self.grid_size) if self.sample else self.grid_size

    @property
    def fingerprint(self) -> str:
        """Identify what was asked for, whoever asks."""
        values = without_usual(asdict(self), participation=self.participation, frictions=self.frictions)
        return hashlib.sha256(json.dumps(values, sort_keys=True, default=str).encode()).hexdigest()

    @property
    def code_hash(self) -> str:
        """Identify the code that decides: ours, and what a user wrote."""
        return registry.code_hash() if self.is_fast else registry.code_hash(self.strategy)

    def chunks(self) -> Iterator[tuple[int, int]]:
        """Cut the trials into pieces that a worker does in seconds."""
        size = CHUNK_TRIALS if self.is_fast else CHUNK_BACKTESTS
        for begin in range(0, self.trials, size):
            yield begin, min(begin + size, self.trials)

    def combinations(self, begin: int, end: int) -> list[Combination]:
        """List the combinations of some trials, without those that contradict themselves."""
        numbers = np.arange(begin, end)
        if self.sample and self.sample < self.grid_size:
            drawn = np.random.default_rng(self.seed).choice(self.grid_size, size=self.sample, replace=False)
            numbers = np.sort(drawn)[begin:end]
        shape = [len(values) for values in self.grid.values()]
        places = np.unravel_index(numbers, shape)
        picked = (
            {name: self.grid[name][place] for name, place in zip(self.grid, at, strict=True)} for at in zip(*places, strict=True)
        )
        return [one for one in picked if self._makes_sense(one)]

    def completed(self, combination: Combination) -> dict[str, Any]:
        """Answer every parameter of a combination."""
        if self.is_fast:
            defaults = {name: row["default"] for name, row in schema_of(self.strategy).items()}
            return {**defaults, **self.fixed, **combination}
        return registry.param_values(self.strategy, {**self.fixed, **combination}, self.interval)

    def _check_frictions(self) -> None:
        check_participation(self.participation)
        self.frictions.checked(interval_ms=interval_milliseconds(self.interval))
        if not self.is_fast:
            return
        # Such a signal is in or out with all it has, at a price that knows no size, no volume and no moment but the open.
        asked = [_UNKNOWN_TO_EVENTS[name] for name in self.frictions.as_plain()]
        asked += ["a share of the volume"] if self.participation != USUAL_PARTICIPATION else []
        if asked:
            known = ", ".join(name for name in registry.names() if registry.definition(name).symbols_least == 1)
            raise BadSweep(
                f"{self.strategy} is tried event by event, with a fee, a half spread and a fixed slippage: {', '.join(asked)}"
                f" cannot be taken into account there. Strategies can, backtest by backtest: {known}."
            )

    def _makes_sense(self, combination: Combination) -> bool:
        if self.is_fast:
            return FAMILIES[self.strategy].makes_sense(self.completed(combination))
        try:
            self.completed(combination)
        except ValueError:
            return False
        return True

    def _refuse_too_many(self) -> None:
        most = TRIALS_MAX if self.is_fast else BACKTESTS_MAX
        if self.sample < 0:
            raise BadSweep(f"A sample has at least one combination, not {self.sample}")
        if self.trials > most or self.grid_size > GRID_MAX:
            hint = "widen the steps or draw a sample"
            raise BadSweep(f"{self.trials:,} trials of {self.grid_size:,} combinations are too many (at most {most:,}): {hint}")
        if not any(self.combinations(begin, end) for begin, end in self.chunks()):
            raise BadSweep("No combination of this grid makes sense: each contradicts itself")


def schema_of(strategy: str) -> dict[str, dict[str, Any]]:
    """Describe the parameters of whatever can be swept."""
    if strategy in FAMILIES:
        return FAMILIES[strategy].schema()
    if strategy in registry.names():
        return registry.schema(strategy)
    known = [*FAMILIES, *registry.names()]
    close = get_close_matches(strategy.lower(), known, n=1, cutoff=0.5)
    meant = f" Did you mean {close[0]!r}?" if close else ""
    raise BadSweep(f"Unknown strategy {strategy!r}.{meant} Known: {', '.join(known)}.")


def parse_grid(texts: Sequence[str]) -> dict[str, list[Any]]:
    """Read `fast=5:50:5`, `mode=a,b` and `width=2`."""
    grid: dict[str, list[Any]] = {}
    for text in texts:
        name, equals, values = text.partition("=")
        if not equals or not name.strip() or not values.strip():
            raise BadSweep(f"Write NAME=LOW:HIGH:STEP or NAME=VALUE,VALUE, not {text!r}")
        if name.strip() in grid:
            raise BadSweep(f"{name.strip()} comes twice")
        grid[name.strip()] = _stretch(text, values) if ":" in values else [_value(one) for one in values.split(",")]
    return grid


def _stretch(text: str, values: str) -> list[Any]:
    try:
        # Decimals, because 0.1 added up ten times is not 1.
        low, high, *rest = (Decimal(part) for part in values.split(":"))
        step = rest[0] if rest else Decimal(1)
        if len(rest) > 1 or not all(number.is_finite() for number in (low, high, step)):
            raise InvalidOperation
    except (InvalidOperation, ValueError):
        raise BadSweep(f"Write NAME=LOW:HIGH:STEP with numbers, not {text!r}") from None
    if step <= 0:
        raise BadSweep(f"The step of {text!r} must be above zero")
    if low > high:
        raise BadSweep(f"The grid {text!r} is upside down: {low} is above {high}")
    count = int((high - low) / step) + 1
    if count > TRIALS_MAX:
        raise BadSweep(f"The grid {text!r} has {count:,} values")
    return [_value(str(low + step * k)) for k in range(count)]


def _value(text: str) -> Any:
    try:
        number = float(text)
    except ValueError:
        return text.strip()
    return int(number) if number.is_integer() and math.isfinite(number) else number


def _checked(strategy: str, schema: Mapping[str, dict[str, Any]], name: str, value: Any) -> Any:
    if name not in schema:
        close = get_close_matches(name.lower(), schema, n=1, cutoff=0.5)
        meant = f" Did you mean {close[0]!r}?" if close else ""
        raise BadSweep(f"{strategy} has no parameter {name!r}.{meant} Known: {', '.join(schema)}.")
    rule = schema[name]
    if "options" in rule:
        if value not in rule["options"]:
            raise BadSweep(f"{name} must be one of {', '.join(rule['options'])}, not {value!r}")
        return value
    if rule["type"] == "bool":
        words = {"true": True, "false": False, "1": True, "0": False}
        if str(value).lower() not in words:
            raise BadSweep(f"{name} must be true or false, not {value!r}")
        return words[str(value).lower()]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadSweep(f"{name} must be a number, not {value!r}")
    if not rule["minimum"] <= value <= rule["maximum"]:
        raise BadSweep(f"{name} must be from {rule['minimum']:g} to {rule['maximum']:g}, not {value:g}")
    if rule["type"] == "int" and value != int(value):
        raise BadSweep(f"{name} must be a whole number, not {value:g}")
    return int(value) if rule["type"] == "int" else float(value)
