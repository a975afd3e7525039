"""Candles from and for other programs: Parquet, CSV, and freqtrade's feather and json layouts."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
from pyarrow import csv, feather, parquet

from history_fetcher.archives import KLINES, Series, labels_of_months, span_of
from history_fetcher.candles import SCHEMA, Report, clean
from history_fetcher.intervals import known_interval
from history_fetcher.manifest import Manifest
from history_fetcher.partitions import build_month, merge, read_csv, write_csv
from history_fetcher.request import known_symbol
from history_fetcher.store import Store, whole
from marketdata.history.catalog import find
from marketdata.history.columns import mapped
from trading.bars import INTERVALS

FORMATS: Final = ("feather", "json", "csv", "parquet")
_PRICES: Final = ("open", "high", "low", "close", "volume")
# BTC_USDT-1m.feather, BTCUSDT-1h-2024-01.csv, BTCUSDT/1h.parquet, BTCUSDT/1m__20210420_20210520.parquet
_NAMES: Final = (
    re.compile(r"(?P<symbol>[A-Z0-9]+[_-]?[A-Z0-9]+)-(?P<interval>[0-9]+[smhdw])(?:-[0-9-]+)?$"),
    re.compile(r"(?P<symbol>[A-Z0-9-]+)/(?P<interval>[0-9]+[smhdw])(?:__[0-9]+_[0-9]+)?$"),
)
# Seconds, milliseconds, microseconds and nanoseconds are told apart by magnitude: up to, times, divided by.
_MILLISECONDS: Final = ((10**11, 1000, 1), (10**14, 1, 1), (10**17, 1, 1000), (2**63 - 1, 1, 10**6))


class UnreadableFile(ValueError):
    """The file is no file of candles that this house knows."""


class Columns(NamedTuple):
    """Candles as columns; a source may not know quote volume and trades."""

    open_time: Any
    values: Any
    quote_volume: Any
    trades: Any


@dataclass(frozen=True, slots=True)
class Imported:
    """What came of a file."""

    series: str
    rows: int
    refused: int
    restated: int


def import_file(path: Path, *, root: Path, exchange: str, symbol: str = "", interval: str = "") -> Imported:
    """Take a file's candles into the root; of two for the same time the imported one is kept unless an archive knows better.

    Raises:
        UnreadableFile: it holds no candles, or none that can be true.
        Trouble: another run writes to the root, or the disk refuses.
    """
    found = series_of(path, exchange, symbol, interval)
    columns = _read(path)
    report = Report()
    store = Store(root)
    restated = 0
    with store.lock():
        manifest = Manifest(store)
        begin, end = int(columns.open_time.min()), int(columns.open_time.max()) + 1
        for month in labels_of_months(begin, end):
            table = _clean_month(columns, found, month, report)
            if table.num_rows:
                tail = store.tail(found, month)
                write_csv(merge([read_csv(tail), table] if tail.exists() else [table]), tail)
                restated += _rebuild(store, manifest, found, month)
        manifest.flush()
    if not report.kept:
        reasons = ", ".join(f"{reason} ({count})" for reason, count in report.reasons.items())
        raise UnreadableFile(f"{path.name}: not one of its rows can be believed: {reasons}.")
    return Imported(found.name, report.kept, len(report.refused), restated)


def export_series(root: Path, *, exchange: str, symbol: str, interval: str, form: str, folder: Path) -> Path:
    """Write a series as another program reads it, and answer the file."""
    demand_form(form, symbol)
    one = find(root, exchange=exchange, symbol=symbol, interval=interval)
    times, values = mapped(root, one)
    if form == "parquet":
        path = folder / one.exchange / one.symbol / f"{interval}.parquet"
    elif form == "csv":
        path = folder / f"{one.symbol}-{interval}.csv"
    else:
        path = folder / f"{symbol.upper().replace('/', '_')}-{interval}.{form}"
    with whole(path) as part:
        _WRITERS[form](part, np.asarray(times), np.asarray(values))
    return path


def demand_form(form: str, symbol: str) -> None:
    """Refuse a format that is not known, or that cannot name this symbol.

    Raises:
        UnreadableFile: it is one of these.
    """
    if form not in FORMATS:
        raise UnreadableFile(f"Unknown format {form!r}; known: {', '.join(FORMATS)}.")
    if form in ("feather", "json") and "/" not in symbol:
        raise UnreadableFile("freqtrade's file names need both assets: write the symbol as BTC/USDT.")


def series_of(path: Path, exchange: str, symbol: str = "", interval: str = "") -> Series:
    """Say whose candles a file holds: what is named, else what its name tells.

    Raises:
        UnreadableFile: neither tells, or it cannot be kept here.
        Trouble: there is no such symbol or interval.
    """
    place = path.with_suffix("").as_posix()
    if not (symbol and interval):
        known = next((match for name in _NAMES if (match := name.search(place))), None)
        if known is None:
            raise UnreadableFile(f"{path.name} does not say whose candles it holds: name symbol and interval.")
        symbol, interval = symbol or known.group("symbol"), interval or known.group("interval")
    interval = known_interval(interval)
    if interval not in INTERVALS:
        raise UnreadableFile(f"{interval} candles cannot be imported; known: {', '.join(INTERVALS)}.")
    if not re.fullmatch(r"[a-z][a-z0-9-]{0,31}", exchange):
        raise UnreadableFile(f"{exchange!r} is no exchange's name.")
    return Series("spot" if exchange == "binance" else exchange, KLINES, known_symbol(symbol.replace("_", "")), interval)


def _read(path: Path) -> Columns:
    reader = _READERS.get(path.suffix)
    if reader is None:
        raise UnreadableFile(f"{path.name}: known endings are {', '.join(_READERS)}.")
    try:
        columns = reader(path)
    except OSError as error:
        raise UnreadableFile(f"{path} cannot be read: {error.strerror or error}") from error
    except (pa.ArrowException, KeyError, ValueError, TypeError) as error:
        raise UnreadableFile(f"{path.name} holds no candles: {str(error).splitlines()[0]}") from error
    if not len(columns.open_time):
        raise UnreadableFile(f"{path.name} holds no rows.")
    return columns


def _clean_month(columns: Columns, series: Series, month: str, report: Report) -> pa.Table:
    """Have the month's rows judged as the site's would be."""
    begin, end = span_of(month)
    rows = np.flatnonzero((columns.open_time >= begin) & (columns.open_time < end))
    if not len(rows):
        return SCHEMA.empty_table()
    length = INTERVALS[series.interval]
    cells = {"open_time": columns.open_time[rows]} | {name: columns.values[place][rows] for place, name in enumerate(_PRICES)}
    cells["close_time"] = cells["open_time"] + length - 1
    cells["quote_volume"], cells["trades"] = columns.quote_volume[rows], columns.trades[rows]
    nothing = np.zeros(len(rows))
    cells |= {"taker_buy_volume": nothing, "taker_buy_quote_volume": nothing, "ignored": nothing}
    text = pa.BufferOutputStream()
    csv.write_csv(pa.table(cells), text, csv.WriteOptions(include_header=False))
    table, found = clean(text.getvalue().to_pybytes(), interval=series.interval, begin=begin, end=end)
    report.kept += found.kept
    report.refused += found.refused
    return table


def _rebuild(store: Store, manifest: Manifest, series: Series, month: str) -> int:
    built = build_month(store, series, month, store.sources(series, month))
    if built is None:
        return 0
    partition, restated = built
    before = manifest.partitions.get(series.name, {}).get(month)
    partition.restated += before.restated if before else 0
    manifest.record(series, month, {}, partition)
    return restated


def _of_table(table: pa.Table) -> Columns:
    names = {name.lower(): name for name in table.column_names}
    time_name = next((names[name] for name in ("open_time", "date", "timestamp", "time") if name in names), None)
    if time_name is None:
        raise UnreadableFile(f"no column of times among {', '.join(table.column_names)}")
    times = _times(table[time_name])
    values = np.stack([table[names[name]].cast(pa.float64()).to_numpy() for name in _PRICES])
    known = {name: table[names[name]].cast(pa.float64()).to_numpy() for name in ("quote_volume", "trades") if name in names}
    # What the source does not know is reckoned from the middle of the candle, or left at none.
    quotes = known.get("quote_volume", values[4] * values[:4].mean(axis=0))
    trades = known.get("trades", np.zeros(len(times)))
    return Columns(times, values, quotes, np.nan_to_num(trades).astype(np.int64))


def _times(column: pa.ChunkedArray[Any]) -> Any:
    if pa.types.is_timestamp(column.type):
        return column.cast(pa.timestamp("ms"), safe=False).cast(pa.int64()).to_numpy()
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        return column.cast(pa.timestamp("ms")).cast(pa.int64()).to_numpy()
    times = column.cast(pa.int64()).to_numpy()
    size = int(np.abs(times).max()) if len(times) else 0
    _limit, factor, divisor = next(scale for scale in _MILLISECONDS if size <= scale[0])
    return times * factor // divisor


def _read_json(path: Path) -> Columns:
    rows = json.loads(path.read_text(encoding="utf-8"))
    cells = np.array(rows, dtype=np.float64).reshape(len(rows), -1)
    if cells.shape[1] != 6:
        raise UnreadableFile("freqtrade's json has rows of six numbers")
    values = cells[:, 1:].T
    return Columns(cells[:, 0].astype(np.int64), values, values[4] * values[:4].mean(axis=0), np.zeros(len(rows), dtype=np.int64))


def _read_text(path: Path) -> Columns:
    with path.open("rb") as file:
        first = file.readline().decode("utf-8-sig", "replace").strip()
    if first[:1].isdigit():
        width = first.count(",") + 1
        names = [*SCHEMA.names, "ignored"][:width] if width >= 11 else ["open_time", *_PRICES][:width]
        return _of_table(csv.read_csv(path, csv.ReadOptions(column_names=names)))
    return _of_table(csv.read_csv(path))


def _table(times: Any, values: Any, time_name: str, stamp: bool) -> pa.Table:
    moments = pa.array(times, pa.int64())
    first = moments.cast(pa.timestamp("ms", tz="UTC")) if stamp else moments
    return pa.table({time_name: first} | {name: values[place] for place, name in enumerate(_PRICES)})


def _write_json(path: Path, times: Any, values: Any) -> None:
    rows = [[int(time), *(float(value) for value in row)] for time, row in zip(times, values.T, strict=True)]
    path.write_text(json.dumps(rows), encoding="utf-8")


_READERS: Final[Mapping[str, Callable[[Path], Columns]]] = {
    ".parquet": lambda path: _of_table(parquet.ParquetFile(path).read()),
    ".feather": lambda path: _of_table(feather.read_table(path)),
    ".csv": _read_text,
    ".json": _read_json,
}
ENDINGS: Final = tuple(_READERS)
_WRITERS: Final[Mapping[str, Callable[[Path, Any, Any], None]]] = {
    "parquet": lambda path, times, values: parquet.write_table(_table(times, values, "open_time", stamp=False), path),
    "feather": lambda path, times, values: feather.write_feather(_table(times, values, "date", stamp=True), str(path), "lz4"),
    "csv": lambda path, times, values: csv.write_csv(_table(times, values, "open_time", stamp=False), path),
    "json": _write_json,
}
