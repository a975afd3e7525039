"""Signals that can be swept event by event: their parameters, and how a batch of combinations is tried."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from trading.strategy import Range
from trading.sweeps import rows
from trading.sweeps.crosses import sweep_crosses
from trading.sweeps.figures import Figures, Terms
from trading.sweeps.market import SweepMarket
from trading.sweeps.reversals import sweep_reversals

Combination = Mapping[str, Any]
Try = Callable[[SweepMarket, Sequence[Combination], Terms], Figures]


@dataclass(frozen=True, slots=True)
class Family:
    """A signal that does not depend on the position, with or without a stop and a target."""

    name: str
    title: str
    parameters: Mapping[str, tuple[type, Range, Any]]
    makes_sense: Callable[[Combination], bool]
    attempt: Try
    has_stops: bool = False

    def schema(self) -> dict[str, dict[str, Any]]:
        """Describe the parameters the way the registry describes a strategy's."""
        return {
            name: {
                "type": kind.__name__,
                "default": default,
                "minimum": rule.minimum,
                "maximum": rule.maximum,
                "step": rule.step,
                "description": rule.description,
            }
            for name, (kind, rule, default) in self.parameters.items()
        }


def _crosses(kind: int) -> Try:
    def attempt(market: SweepMarket, combinations: Sequence[Combination], terms: Terms) -> Figures:
        pairs = np.array([(one["fast"], one["slow"]) for one in combinations], dtype=np.int64)
        return sweep_crosses(market, pairs, kind=kind, terms=terms)

    return attempt


def _reversals(market: SweepMarket, combinations: Sequence[Combination], terms: Terms) -> Figures:
    columns = ("period", "width", "stop", "target")
    table = np.array([[one[name] for name in columns] for one in combinations], dtype=np.float64)
    return sweep_reversals(market, table, terms=terms)


_AVERAGES: Final = {
    "fast": (int, Range(1, 5_000, 1, "Bars of the fast average."), 20),
    "slow": (int, Range(2, 20_000, 1, "Bars of the slow average; more than the fast one's."), 50),
}

FAMILIES: Final[Mapping[str, Family]] = {
    family.name: family
    for family in (
        Family(
            name="sma_cross",
            title="Simple averages cross",
            parameters=_AVERAGES,
            makes_sense=lambda one: bool(one["fast"] < one["slow"]),
            attempt=_crosses(rows.SIMPLE),
        ),
        Family(
            name="ema_cross",
            title="Exponential averages cross",
            parameters=_AVERAGES,
            makes_sense=lambda one: bool(one["fast"] < one["slow"]),
            attempt=_crosses(rows.EXPONENTIAL),
        ),
        Family(
            name="bollinger_reversal",
            title="Reversal at the lower band, with stop and target",
            parameters={
                "period": (int, Range(2, 5_000, 1, "Bars of mean and deviation."), 20),
                "width": (float, Range(0.0, 6.0, 0.1, "Deviations from the mean to the band."), 2.0),
                "stop": (float, Range(0.0, 0.9, 0.001, "Stop, as a share below the entry; 0 for none."), 0.02),
                "target": (float, Range(0.0, 10.0, 0.001, "Target, as a share above the entry; 0 for none."), 0.0),
            },
            makes_sense=lambda _one: True,
            attempt=_reversals,
            has_stops=True,
        ),
    )
}
