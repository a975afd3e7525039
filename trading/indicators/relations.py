"""How two markets move together: correlation over rings of returns that may have holes."""

import math
from typing import Final

from trading.bars import Floats
from trading.compilation import compiled

FEWEST_PAIRS: Final = 10


@compiled
def correlation(first: Floats, second: Floats, window: int) -> float:
    """Answer Pearson's correlation of two rings over the cells that both have; NaN where they are too few."""
    count, sum_a, sum_b = 0, 0.0, 0.0
    for k in range(window):
        if not math.isnan(first[k] + second[k]):
            count += 1
            sum_a += first[k]
            sum_b += second[k]
    if count < FEWEST_PAIRS:
        return math.nan
    mean_a, mean_b = sum_a / count, sum_b / count
    together = spread_a = spread_b = 0.0
    for k in range(window):
        if not math.isnan(first[k] + second[k]):
            a, b = first[k] - mean_a, second[k] - mean_b
            together += a * b
            spread_a += a * a
            spread_b += b * b
    if spread_a <= 0.0 or spread_b <= 0.0:
        return math.nan
    return together / math.sqrt(spread_a * spread_b)
