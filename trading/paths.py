"""The one way a candle is walked: open, the nearer extreme, the other extreme, close."""

from trading.compilation import compiled


@compiled
def bar_path(open_: int, high: int, low: int, close: int) -> tuple[int, int, int, int]:
    """Answer the four turning points of a bar; equally near extremes go low first."""
    if high - open_ < open_ - low:
        return open_, high, low, close
    return open_, low, high, close
