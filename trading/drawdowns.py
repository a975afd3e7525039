"""How far and for how long equity lies below its peak."""

from typing import Final, NamedTuple

import numpy as np

from trading.bars import Floats, Times

LISTED: Final = 5


class Drawdown(NamedTuple):
    """A fall from a peak to its lowest point and back; not back yet is None."""

    peak_at: int
    trough_at: int
    recovered_at: int | None
    # A share below zero.
    depth: float

    def lasts(self, until: int) -> int:
        """Answer the milliseconds from the peak to the recovery, or until now."""
        return (until if self.recovered_at is None else self.recovered_at) - self.peak_at

    @property
    def falls(self) -> int:
        """Answer the milliseconds from the peak to the lowest point."""
        return self.trough_at - self.peak_at


def underwater(equity: Floats) -> Floats:
    """Answer, at each point, the share by which equity lies below its highest until then."""
    below: Floats = equity / np.maximum.accumulate(equity) - 1.0
    return below


def drawdowns(times: Times, equity: Floats) -> list[Drawdown]:
    """List every fall below a peak, in the order of time; a peak that lasts begins a fall at its last point."""
    below = underwater(equity) < 0.0
    # An edge on each side, so that a fall from the first point on, or one without recovery, has both.
    edges = np.diff(np.concatenate(([0], below.astype(np.int8), [0])))
    starts, ends = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
    found = []
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        trough = start + int(np.argmin(equity[start:end]))
        recovered = int(times[end]) if end < len(times) else None
        depth = float(equity[trough] / equity[start - 1] - 1.0)
        found.append(Drawdown(int(times[start - 1]), int(times[trough]), recovered, depth))
    return found


def deepest(found: list[Drawdown], count: int = LISTED) -> list[Drawdown]:
    """List the deepest falls, the deepest first."""
    return sorted(found, key=lambda one: one.depth)[:count]


def ulcer_index(equity: Floats) -> float:
    """Answer the root of the mean square of how far equity lay below its peak."""
    return float(np.sqrt(np.mean(underwater(equity) ** 2)))


def average_drawdown(found: list[Drawdown]) -> float | None:
    """Answer the mean depth of all falls; None without one."""
    return float(np.mean([one.depth for one in found])) if found else None
