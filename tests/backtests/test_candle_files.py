"""Candles from files: exactly the rows of a stretch, in order, however they are cut into files; words for what cannot be read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from backtests.candle_files import NoCandles, finest_interval, read_candles
from tests.trading.markets import random_walk

MINUTES = 300_000


def write(folder: Path, name: str, rows: slice = slice(None), *, group: int = 100, **columns: Any) -> None:
    candles = random_walk(seed=5, bars=1000)
    told = dict(zip(("open", "high", "low", "close", "volume"), candles.values, strict=True))
    place = folder / "binance" / "ETHUSDT"
    place.mkdir(parents=True, exist_ok=True)
    table = pa.table({"open_time": candles.times, **told})
    for column, values in columns.items():
        table = (
            table.drop_columns([column]) if values is None else table.set_column(table.column_names.index(column), column, values)
        )
    pq.write_table(table.take(np.arange(1000)[rows]), place / name, row_group_size=group)


def read(folder: Path, begin: int, end: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    found = read_candles(folder, symbol="ETH/USDT", interval="5m", begin=begin, end=end)
    return found.times, found.values


@pytest.mark.parametrize(("first", "last"), [(0, 1000), (137, 911), (100, 200), (250, 251)])
def test_a_stretch_is_read_whole_and_nothing_beside_it(tmp_path: Path, first: int, last: int) -> None:
    candles = random_walk(seed=5, bars=1000)
    write(tmp_path, "5m.parquet")
    begin = int(candles.times[first])
    times, values = read(tmp_path, begin, begin + (last - first) * MINUTES)

    assert np.array_equal(times, candles.times[first:last])
    assert np.array_equal(values, candles.values[:, first:last])
    assert values.flags.c_contiguous
    assert values.flags.writeable
    assert finest_interval(tmp_path, symbol="ETH/USDT", begin=begin, end=begin + 1) == "5m"


def test_files_in_any_order_and_rows_in_any_order_are_put_in_order(tmp_path: Path) -> None:
    candles = random_walk(seed=5, bars=1000)
    write(tmp_path, "5m__a.parquet", slice(600, 1000))
    write(tmp_path, "5m__b.parquet", slice(599, None, -1))
    times, values = read(tmp_path, 0, 2**62)

    assert np.array_equal(times, candles.times)
    assert np.array_equal(values, candles.values)


@pytest.mark.parametrize(
    ("columns", "why"),
    [
        ({"volume": None}, "it has no column 'volume'"),
        ({"open_time": pa.array(range(1000), pa.timestamp("us"))}, "no whole number of UTC milliseconds"),
        ({"open_time": None}, "open_time"),
        ({"high": pa.array([1.0, None] * 500)}, "its column 'high' has empty cells"),
        ({"low": pa.array(["1"] * 1000)}, "its column 'low' is of the type string, not of numbers"),
    ],
)
def test_a_file_of_another_kind_is_refused_with_its_name(tmp_path: Path, columns: dict[str, Any], why: str) -> None:
    write(tmp_path, "5m.parquet", **columns)

    with pytest.raises(NoCandles, match=rf"5m\.parquet cannot be read: .*{why}"):
        read(tmp_path, 0, 2**62)


def test_a_file_that_is_cut_off_is_refused_with_its_name(tmp_path: Path) -> None:
    write(tmp_path, "5m.parquet")
    path = tmp_path / "binance" / "ETHUSDT" / "5m.parquet"
    path.write_bytes(path.read_bytes()[:-100])

    with pytest.raises(NoCandles, match=r"5m\.parquet cannot be read"):
        read(tmp_path, 0, 2**62)
