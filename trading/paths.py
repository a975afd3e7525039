"""The one way a candle is walked: open, the nearer extreme, the other extreme, close.

Both functions are plain Python on whole numbers, so that a program without numba may use them;
kernels compile them with `trading.compilation.compiled`.
"""


def bar_path(open_: int, high: int, low: int, close: int) -> tuple[int, int, int, int]:
    """Answer the four turning points of a bar; equally near extremes go low first."""
    if high - open_ < open_ - low:
        return open_, high, low, close
    return open_, low, high, close


def path_time(open_time: int, interval: int, segment: int, travelled: int, length: int) -> int:
    """Answer when the price is `travelled` of `length` into a segment (0, 1, 2) of the bar.

    The open holds for the first tenth of the bar; the three segments share the rest equally.
    Always inside the bar: at most its last millisecond.
    """
    held = interval // 10
    if length <= 0:
        travelled, length = 0, 1
    offset = held + (interval - held) * (segment * length + travelled) // (3 * length)
    return open_time + min(offset, interval - 1)
