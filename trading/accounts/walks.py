"""What a walk of a simulated bot changes: where it lies in memory, how others see it, and how it was before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from trading.bars import Times
from trading.kernels.backtest import Simulation
from trading.kernels.panel_backtest import PanelSimulation
from trading.strategy import Record

_READ_OFTEN: Final = (
    "asked", "passes", "away_from", "away_until", "status", "cursor", "allocation", "cash", "cash_locked", "capital", "leaving",
    "base_owned", "base_locked", "order_count", "fill_count", "is_told", "veil", "veiled_until",
)  # fmt: skip

Bytes = npt.NDArray[np.uint8]
Cells = dict[str, Times]


class Saved(NamedTuple):
    """What a walk changes, as it was before: bytes, and of them what figures are made from."""

    content: list[Bytes]
    fill_count: int
    cash: int
    owned: Times


class Stood(NamedTuple):
    """Where all books stood at some moment each: counts of fills, and units of money by book and of coins by market."""

    fill_counts: Times
    cashes: Times
    owned: Times


@dataclass(slots=True, eq=False)
class Walk:
    """The market side of a bot: its worlds among those of all, and what others still see of them when they have gone ahead."""

    simulation: Simulation | PanelSimulation
    worlds: Record
    shown: Record
    # Per market, the last known close in ticks.
    closes: Times
    # What a walk changes, as bytes: the worlds first. Records are slow to copy whole.
    content: tuple[Bytes, ...]
    shown_content: Bytes
    now: Cells
    back: Cells


def cells_of(worlds: Record) -> Cells:
    """Look at worlds column by column: records are slow to read by attribute."""
    return {name: worlds[name] for name in _READ_OFTEN}
