"""Candles from files: taken in, laid out, read back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import feather, parquet

from marketdata.history import catalog, files
from marketdata.history.columns import candle_columns
from tests.shared_data import ABSENT, SHARED_DATA
from trading.bars import Candles, aggregate

HOUR = 3_600_000
BEGIN = 1_709_251_200_000  # 2024-03-01.
NAMES = ("open", "high", "low", "close", "volume")

LISTED = json.loads((SHARED_DATA / "MANIFEST.json").read_text()) if SHARED_DATA.is_dir() else []
RECORDED = [facts for facts in LISTED if facts["file"].startswith("ohlcv/")]


def drawn(places: list[int], length: int = HOUR) -> Candles:
    """Make candles with a gap wherever a place is left out."""
    times = BEGIN + np.array(places, dtype=np.int64) * length
    closes = 100.0 + np.array(places) % 7
    values = np.stack([closes, closes + 2, closes - 2, closes + 1, np.full(len(places), 3.5)])
    return Candles(length, times, values)


def as_table(candles: Candles, time: str = "open_time") -> pa.Table:
    times: Any = pa.array(candles.times)
    if time == "date":
        times = times.cast(pa.timestamp("ms", tz="UTC"))
    return pa.table({time: times} | {name: candles.values[place] for place, name in enumerate(NAMES)})


def write(candles: Candles, folder: Path, ending: str) -> Path:
    """Write candles as other programs do."""
    path = folder / f"BTC_USDT-1h{ending}"
    match ending:
        case ".feather":
            feather.write_feather(as_table(candles, "date"), str(path), "lz4")
        case ".parquet":
            parquet.write_table(as_table(candles), path)
        case ".json":
            rows = [[int(at), *row] for at, row in zip(candles.times, candles.values.T.tolist(), strict=True)]
            path.write_text(json.dumps(rows))
        case ".csv":
            rows = [[int(at), *row] for at, row in zip(candles.times, candles.values.T.tolist(), strict=True)]
            path.write_text("\n".join([",".join(("timestamp", *NAMES)), *(",".join(map(str, row)) for row in rows)]))
    return path


@pytest.mark.parametrize("ending", [".feather", ".parquet", ".json", ".csv"])
def test_what_is_exported_is_what_was_imported(tmp_path: Path, ending: str) -> None:
    candles = drawn([place for place in range(2000) if place not in (5, 6, 900)])
    root = tmp_path / "root"

    done = files.import_file(write(candles, tmp_path, ending), root=root, exchange="binance")
    out = files.export_series(
        root, exchange="binance", symbol="BTC/USDT", interval="1h", form=ending[1:], folder=tmp_path / "out"
    )
    again = files.import_file(out, root=tmp_path / "second", exchange="binance")

    assert (done.rows, done.refused, again.rows) == (1997, 0, 1997)
    for place in (root, tmp_path / "second"):
        found = candle_columns(place, symbol="BTC/USDT", interval="1h")
        assert (found.times == candles.times).all()
        assert (found.values == candles.values).all()
    one = catalog.find(root, exchange="binance", symbol="BTC-USDT", interval="1h")
    assert [(begin, count) for begin, _end, count in one.gaps] == [(BEGIN + 5 * HOUR, 2), (BEGIN + 900 * HOUR, 1)]


@pytest.mark.fault("M03")
def test_importing_twice_changes_nothing_and_a_restated_candle_is_counted(tmp_path: Path) -> None:
    root = tmp_path / "root"
    candles = drawn(list(range(100)))
    path = write(candles, tmp_path, ".parquet")
    files.import_file(path, root=root, exchange="binance")

    again = files.import_file(path, root=root, exchange="binance")
    candles.values[3, 7] += 0.5
    restated = files.import_file(write(candles, tmp_path, ".parquet"), root=root, exchange="binance")

    assert (again.restated, restated.restated) == (0, 1)
    assert candle_columns(root, symbol="BTCUSDT", interval="1h").values[3, 7] == candles.values[3, 7]


def test_impossible_candles_are_refused(tmp_path: Path) -> None:
    table = as_table(drawn(list(range(10))))
    highs = table["high"].to_numpy().copy()
    highs[4] = 1.0
    path = tmp_path / "BTCUSDT-1h.parquet"
    parquet.write_table(table.set_column(2, "high", pa.array(highs)), path)

    done = files.import_file(path, root=tmp_path / "root", exchange="binance")

    assert (done.rows, done.refused) == (9, 1)


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("BTCUSDT-1h.csv", b"hello", "holds no candles"),
        ("BTCUSDT-1h.json", b"{}", "holds no"),
        ("BTCUSDT-1h.parquet", b"PAR1 not really", "holds no candles"),
        ("BTCUSDT-1h.xlsx", b"", "known endings"),
        ("prices.csv", b"", "does not say whose"),
        ("BTCUSDT-7h.csv", b"", "Unknown interval"),
        ("BTCUSDT-1h.json", b"[[1704067200000, 3, 1, 2, 3, 4], [1704070800000, -1, 1, 2, 3, 4]]", "not one of its rows"),
    ],
)
def test_a_file_that_is_no_candles_is_refused(tmp_path: Path, name: str, content: bytes, complaint: str) -> None:
    (tmp_path / name).write_bytes(content)

    with pytest.raises(Exception, match=complaint) as caught:
        files.import_file(tmp_path / name, root=tmp_path / "root", exchange="binance")
    assert type(caught.value).__name__ in {"UnreadableFile", "BadRequest"}


def test_coarser_candles_are_made_of_what_is_there(tmp_path: Path) -> None:
    # The second four hours lost two of their parts, the fourth all of them.
    candles = drawn([place for place in range(24) if place not in (5, 6, 12, 13, 14, 15)])
    files.import_file(write(candles, tmp_path, ".parquet"), root=tmp_path / "root", exchange="binance")

    found = candle_columns(tmp_path / "root", symbol="BTCUSDT", interval="4h")

    expected = aggregate(candles, 4 * HOUR)
    assert found.times.tolist() == [BEGIN + place * 4 * HOUR for place in (0, 1, 2, 4, 5)]
    assert (found.values == expected.values).all()


def test_a_stretch_that_begins_inside_a_candle_leaves_it_out(tmp_path: Path) -> None:
    files.import_file(write(drawn(list(range(24))), tmp_path, ".parquet"), root=tmp_path / "root", exchange="binance")

    found = candle_columns(tmp_path / "root", symbol="BTCUSDT", interval="4h", begin_ms=BEGIN + HOUR, end_ms=BEGIN + 12 * HOUR)

    assert found.times.tolist() == [BEGIN + 4 * HOUR, BEGIN + 8 * HOUR]


def test_columns_follow_when_history_changes(tmp_path: Path) -> None:
    root = tmp_path / "root"
    files.import_file(write(drawn(list(range(10))), tmp_path, ".parquet"), root=root, exchange="binance")
    before = candle_columns(root, symbol="BTCUSDT", interval="1h")
    files.import_file(write(drawn(list(range(20))), tmp_path, ".parquet"), root=root, exchange="binance")

    after = candle_columns(root, symbol="BTCUSDT", interval="1h")

    assert (len(before), len(after)) == (10, 20)
    assert (before.values == after.values[:, :10]).all()
    assert len(list((root / "columns/binance/BTCUSDT/1h").iterdir())) == 1


def test_the_calendar_counts_what_is_missing_of_each_day(tmp_path: Path) -> None:
    places = [place for place in range(6, 70) if place not in (10, 23, 24, 25)]
    files.import_file(write(drawn(places), tmp_path, ".parquet"), root=tmp_path / "root", exchange="binance")

    days = catalog.calendar(catalog.series(tmp_path / "root")[0])

    assert [(day.date, day.expected, day.missing) for day in days] == [
        ("2024-03-01", 18, 2),
        ("2024-03-02", 24, 2),
        ("2024-03-03", 22, 0),
    ]


def test_an_unknown_series_names_what_there_is(tmp_path: Path) -> None:
    files.import_file(write(drawn([1, 2]), tmp_path, ".parquet"), root=tmp_path / "root", exchange="binance")

    with pytest.raises(catalog.NoHistory, match="It holds binance/BTCUSDT/1h"):
        catalog.find(tmp_path / "root", exchange="binance", symbol="ETH/USDT", interval="1h")
    with pytest.raises(catalog.NoHistory, match="cannot be made"):
        candle_columns(tmp_path / "root", symbol="BTCUSDT", interval="5m")


@pytest.mark.skipif(not RECORDED, reason=ABSENT)
@pytest.mark.parametrize("facts", RECORDED, ids=lambda facts: facts["file"])
def test_recorded_candles_load_with_the_gaps_that_their_manifest_tells(tmp_path: Path, facts: dict[str, Any]) -> None:
    path = SHARED_DATA / facts["file"]

    done = files.import_file(path, root=tmp_path, exchange=facts["exchange"])

    one = catalog.series(tmp_path)[0]
    assert (one.rows, one.first, one.last) == (facts["rows"], facts["first_open_time_ms"], facts["last_open_time_ms"])
    assert (len(one.gaps), one.missing, done.refused) == (facts["gaps"], facts["missing_candles"], 0)
    source = parquet.ParquetFile(path).read()
    found = candle_columns(tmp_path, symbol=facts["symbol"], interval=facts["interval"], exchange=facts["exchange"])
    for place, name in enumerate(NAMES):
        assert (found.values[place] == source[name].to_numpy()).all(), name
