"""The path of a candle, drawn so that it can be checked by eye."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading.paths import bar_path, path_time

STORY = """
    open  high  low   close   path
    100   101   90    95      100 101 90 95
    100   110   99    105     100 99 110 105
    100   105   95    100     100 95 105 100
    100   100   90    92      100 100 90 92
    100   110   100   108     100 100 110 108
    100   100   100   100     100 100 100 100
"""


def _rows() -> list[tuple[list[int], list[int]]]:
    lines = [[int(word) for word in line.split()] for line in STORY.strip().splitlines()[1:]]
    return [(line[:4], line[4:]) for line in lines]


@pytest.mark.parametrize(("candle", "path"), _rows())
def test_the_nearer_extreme_comes_first(candle: list[int], path: list[int]) -> None:
    assert list(bar_path(*candle)) == path


def test_the_compiled_path_is_the_same_path() -> None:
    numba = pytest.importorskip("numba")
    compiled = numba.njit(bar_path)

    for candle, _ in _rows():
        assert compiled(*candle) == bar_path(*candle)


@given(
    interval=st.sampled_from([60_000, 300_000, 3_600_000]),
    segment=st.integers(0, 2),
    length=st.integers(0, 10**9),
    share=st.integers(0, 100),
)
def test_time_on_the_path_never_leaves_the_bar(interval: int, segment: int, length: int, share: int) -> None:
    at = path_time(0, interval, segment, length * share // 100, length)

    assert interval // 10 <= at < interval


def test_time_on_the_path_runs_forward() -> None:
    moments = [path_time(0, 60_000, segment, part, 10) for segment in range(3) for part in range(11)]

    assert moments == sorted(moments)
    assert moments[0] == 6_000
    assert moments[-1] == 59_999
