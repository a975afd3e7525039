"""Curves and candles as a plot needs them: no more points than can be told apart, and no fall lost between two."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from trading.bars import Candles, Floats, Times, aggregate
from trading.drawdowns import underwater
from trading.strategy import VOLUME

# A plot of more points shows nothing more.
POINTS_MAX: Final = 800
BARS_MAX: Final = 600


def curve(times: Times, worths: Floats, *, growth: Floats | None = None) -> dict[str, list[Any]]:
    """Return points to plot: equity, and the deepest fall since the point before, so that no fall is lost between two.

    Where money comes and goes falls are those of its growth: a withdrawal is none.
    """
    falls = underwater(worths if growth is None else growth)
    starts, last = _steps(len(times))
    return {
        "times": [int(at) for at in times[last]],
        "equity": [round(float(worth), 2) for worth in worths[last]],
        "drawdown": [round(float(fall), 6) for fall in np.minimum.reduceat(falls, starts)],
    }


def averaged(values: Floats) -> list[float]:
    """Return the mean of a value between the points of a curve of as many."""
    starts, last = _steps(len(values))
    means = np.add.reduceat(values, starts) / (last - starts + 1)
    return [round(float(one), 4) for one in means]


def picked(values: Floats) -> list[float]:
    """Return a value at the points of a curve of as many."""
    return [round(float(one), 2) for one in values[_steps(len(values))[1]]]


def thinned(candles: Candles, *, interval_ms: int, count_max: int = BARS_MAX) -> dict[str, Any]:
    """Return candles to plot: as they are, or put together to as many of the same length as a plot can show."""
    span = int(candles.times[-1]) - int(candles.times[0]) + candles.interval_ms
    length = max(interval_ms, candles.interval_ms)
    times_longer = -(-span // (length * count_max))
    bars = aggregate(candles, length * times_longer)
    names = ("open", "high", "low", "close")
    columns = {name: [float(one) for one in row] for name, row in zip(names, bars.values[:VOLUME], strict=True)}
    return {"interval_ms": length * times_longer, "times": bars.times.tolist(), **columns}


def evenly(count: int, most: int) -> list[int]:
    """Pick at most so many of a number of things, evenly, the first and the last among them."""
    if count <= most:
        return list(range(count))
    return sorted({round(float(one)) for one in np.linspace(0, count - 1, most)})


def _steps(count: int) -> tuple[Times, Times]:
    step = max(1, -(-count // POINTS_MAX))
    starts = np.arange(0, count, step)
    return starts, np.append(starts[1:], count) - 1
