"""Results by month and year, UTC."""

from datetime import UTC, datetime
from typing import NamedTuple

import numpy as np

from trading.bars import Floats, Times


class YearOfMonths(NamedTuple):
    """The returns of a year's months, None for those outside of the stretch, and of the year as far as it was seen."""

    year: int
    months: tuple[float | None, ...]
    whole: float


def monthly_returns(times: Times, equity: Floats) -> list[YearOfMonths]:
    """Cut equity at the ends of months; the first month begins with the first point, and midnight ends the month before."""
    if not len(times):
        return []
    times = times - 1
    stamps = times.astype("datetime64[ms]").astype("datetime64[M]")
    # The last point of each month that has one.
    lasts = np.flatnonzero(np.append(stamps[1:] != stamps[:-1], True))
    levels = np.concatenate(([equity[0]], equity[lasts]))
    found: dict[int, dict[int, float]] = {}
    for place, last in enumerate(lasts.tolist()):
        at = datetime.fromtimestamp(int(times[last]) / 1000, tz=UTC)
        found.setdefault(at.year, {})[at.month] = float(levels[place + 1] / levels[place] - 1.0)
    return [
        YearOfMonths(
            year, tuple(months.get(month) for month in range(1, 13)), float(np.prod([1 + one for one in months.values()])) - 1
        )
        for year, months in found.items()
    ]
