"""Rows of candles in every shape they come in."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from history_fetcher.archives import span_of
from history_fetcher.candles import MICROSECONDS_FROM, SITE_COLUMNS, clean
from history_fetcher.intervals import LENGTHS, gaps, is_on_grid, opens, places
from history_fetcher.partitions import merge
from tests.history_fetcher.rows import HOUR, row

BEGIN, END = span_of("2024-03")
HEADER = "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,taker_buy_quote_volume,ignore"

prices = st.floats(min_value=0.0001, max_value=200_000, allow_nan=False)


@st.composite
def candles(draw: st.DrawFn) -> dict[int, list[str]]:
    """Draw believable candles of a month by open time, in milliseconds."""
    found = {}
    for place in draw(st.sets(st.integers(0, 743), min_size=1, max_size=40)):
        four = sorted(draw(st.lists(prices, min_size=4, max_size=4)))
        begin = BEGIN + place * HOUR
        volume = draw(st.floats(min_value=0, max_value=1e9))
        end = begin + draw(st.sampled_from([HOUR - 1, HOUR - 1, HOUR - 1, HOUR // 3]))
        cells = [begin, four[1], four[3], four[0], four[2], volume, end, volume * 2, 3, volume / 2, volume, 0]
        found[begin] = [repr(cell) for cell in cells]
    return found


@given(
    rows=candles(),
    seed=st.integers(0, 2**32),
    has_header=st.booleans(),
    has_mark=st.booleans(),
    ending=st.sampled_from(["\n", "\r\n"]),
)
def test_the_same_candles_come_out_whatever_their_shape(
    rows: dict[int, list[str]], seed: int, has_header: bool, has_mark: bool, ending: str
) -> None:
    chance = random.Random(seed)
    lines = []
    for cells in rows.values():
        factor = chance.choice([1, 1000])
        times = {0: str(int(cells[0]) * factor), 6: str(int(cells[6]) * factor + (999 if factor == 1000 else 0))}
        lines.append(",".join(times.get(place, cell) for place, cell in enumerate(cells)))
    lines += chance.sample(lines, len(lines) // 3)
    chance.shuffle(lines)
    text = ("\ufeff" if has_mark else "") + ending.join([HEADER] * has_header + lines) + ending

    table, report = clean(text.encode(), interval="1h", begin=BEGIN, end=END)

    assert table["open_time"].to_pylist() == sorted(rows)
    for place, name in enumerate(SITE_COLUMNS):
        assert [repr(value) for value in table[name].to_pylist()] == [rows[at][place] for at in sorted(rows)], name
    assert (report.refused, report.repeated) == ([], len(lines) - len(rows))
    assert report.short == sum(int(cells[6]) - at < HOUR - 1 for at, cells in rows.items())


BAD: dict[str, Callable[[list[str]], list[str]]] = {
    "not a finite number": lambda cells: [cells[0], "nan", *cells[2:]],
    "outside the archive's time": lambda cells: [str(int(cells[0]) + (END - BEGIN)), *cells[1:]],
    "off the grid": lambda cells: [str(int(cells[0]) + 1), *cells[1:]],
    "between two milliseconds": lambda cells: [f"{cells[0]}001", *cells[1:]],
    "price not above zero": lambda cells: [*cells[:3], "0", *cells[4:]],
    "negative amount": lambda cells: [*cells[:5], "-1", *cells[6:]],
    "high below low": lambda cells: [*cells[:2], cells[3], cells[2], *cells[4:]],
    "opens or closes outside its range": lambda cells: [*cells[:4], "999", *cells[5:]],
    "no row of twelve numbers": lambda cells: cells[:-1],
}


@pytest.mark.parametrize("reason", BAD)
@pytest.mark.parametrize("place", [0, 3, 9])
def test_a_row_that_cannot_be_true_is_refused_and_no_other(reason: str, place: int) -> None:
    lines = [row(BEGIN + number * HOUR) for number in range(10)]
    lines[place] = ",".join(BAD[reason](lines[place].split(",")))

    table, report = clean("\n".join(lines).encode(), interval="1h", begin=BEGIN, end=END)

    assert [(refused.line, refused.reason) for refused in report.refused] == [(place + 1, reason)]
    assert table.num_rows == 9


@given(st.binary(max_size=400))
def test_garbage_never_raises(content: bytes) -> None:
    table, report = clean(content, interval="1h", begin=BEGIN, end=END)

    assert report.kept == table.num_rows
    assert report.kept + len(report.refused) + report.repeated == report.rows


@given(
    cells=st.lists(
        st.lists(
            st.sampled_from(
                ["0", "-1", "1e400", "inf", "nan", "1709251200000", "1709251200000000", "99999999999999999999", "", "1.5"]
            ),
            min_size=12,
            max_size=12,
        ),
        max_size=6,
    )
)
def test_absurd_numbers_never_become_candles(cells: list[list[str]]) -> None:
    table, _report = clean("\n".join(",".join(one) for one in cells).encode(), interval="1h", begin=BEGIN, end=END)

    times = table["open_time"].to_numpy()
    values = np.stack([table[name].to_numpy() for name in ("open", "high", "low", "close")])
    assert ((times >= BEGIN) & (times < END) & (times % HOUR == 0)).all()
    assert (np.isfinite(values) & (values > 0)).all()
    assert (values[1] >= values[2]).all()


def test_a_later_row_overrules_an_earlier_one() -> None:
    text = "\n".join([row(BEGIN, close=100.0), row(BEGIN, close=101.0)])

    table, report = clean(text.encode(), interval="1h", begin=BEGIN, end=END)

    assert table["close"].to_pylist() == [101.0]
    assert [refused.reason for refused in report.refused] == ["overruled by a later row"]


@given(first=st.sets(st.integers(0, 200)), second=st.sets(st.integers(0, 200)))
def test_restated_history_is_the_old_one_with_the_new_on_top(first: set[int], second: set[int]) -> None:
    def table_of(places_there: set[int], close: float) -> object:
        lines = [row(BEGIN + place * HOUR, close=close) for place in sorted(places_there)]
        return clean("\n".join(lines).encode(), interval="1h", begin=BEGIN, end=END)[0]

    once = merge([table_of(first, 101.0), table_of(second, 102.0)])  # type: ignore[list-item]
    twice = merge([once, table_of(second, 102.0)])  # type: ignore[list-item]

    expected = dict.fromkeys(first, 101.0) | dict.fromkeys(second, 102.0)
    found = dict(zip(once["open_time"].to_pylist(), once["close"].to_pylist(), strict=True))
    assert found == {BEGIN + place * HOUR: close for place, close in sorted(expected.items())}
    assert twice.equals(once)


@given(interval=st.sampled_from([*LENGTHS, "1mo"]), missing=st.sets(st.integers(1, 48), max_size=20))
def test_gaps_are_exactly_what_is_missing(interval: str, missing: set[int]) -> None:
    origin = places(np.array([1_600_000_000_000], dtype=np.int64), interval)[0]
    there = np.array([place for place in range(50) if place not in missing], dtype=np.int64)
    times = opens(there + origin, interval)

    found = gaps(times, interval)

    assert is_on_grid(times, interval).all()
    assert sum(count for _begin, _end, count in found) == len(missing)
    lost = [
        place
        for begin, _end, count in found
        for place in range(*(int(places(np.array([begin]), interval)[0] - origin) + step for step in (0, count)))
    ]
    assert set(lost) == missing


def test_every_moment_of_this_century_is_below_the_microseconds() -> None:
    assert span_of("2100-01")[0] < MICROSECONDS_FROM < span_of("2010-01")[0] * 1000
