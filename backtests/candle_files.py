"""Read candles from a folder of Parquet files: EXCHANGE/SYMBOL/INTERVAL.parquet or INTERVAL__FROM_TO.parquet."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from trading.bars import INTERVALS, Candles, Floats, Times

COLUMNS = ("open", "high", "low", "close", "volume")


class NoCandles(ValueError):
    """The folder has no such candles, or they cannot be read."""


def read_candles(folder: Path, *, symbol: str, interval: str, begin: int, end: int) -> Candles:
    """Read the candles that open from `begin` up to, but without, `end` (UTC milliseconds).

    One column at a time into arrays of the right length: years of minutes take little more memory than they are long.
    """
    parts = [part for path in _files(folder, symbol, interval) if len((part := _Part(path, begin, end)).times)]
    if not parts:
        raise NoCandles(f"No {interval} candles of {symbol} between {begin} and {end} under {folder}")
    times = np.concatenate([part.times for part in parts])
    values = np.empty((len(COLUMNS), len(times)))
    for row, name in zip(values, COLUMNS, strict=True):
        np.concatenate([part.column(name) for part in parts], out=row)
    pa.default_memory_pool().release_unused()
    if (np.diff(times) < 0).any():
        order = np.argsort(times, kind="stable")
        times, values = times[order], np.ascontiguousarray(values[:, order])
    return Candles(INTERVALS[interval], times, values)


def finest_interval(folder: Path, *, symbol: str, begin: int, end: int) -> str:
    """Find the finest interval that has candles in this stretch."""
    for interval in INTERVALS:
        for path in _files(folder, symbol, interval):
            if len(_Part(path, begin, end).times):
                return interval
    raise NoCandles(f"No candles of {symbol} between {begin} and {end} under {folder}")


def _files(folder: Path, symbol: str, interval: str) -> list[Path]:
    if not folder.is_dir():
        raise NoCandles(f"No folder {folder}")
    # `BTC/USDT@kraken` is the market of that exchange and no other.
    market, _, exchange = symbol.partition("@")
    name = market.replace("/", "")
    found = [*folder.glob(f"**/{name}/{interval}.parquet"), *folder.glob(f"**/{name}/{interval}__*.parquet")]
    if exchange:
        return sorted(path for path in found if path.parent.parent.name == exchange)
    exchanges = {path.parent.parent for path in found}
    # The same symbol on two exchanges is two markets: take the one a person most likely means.
    preferred = [path for path in found if path.parent.parent.name == "binance"]
    return sorted(preferred if len(exchanges) > 1 and preferred else found)


class _Part:
    """What one file has of a stretch: its times at once, its columns when they are asked for."""

    def __init__(self, path: Path, begin: int, end: int) -> None:
        """Look which rows there are; NoCandles for a file that cannot be read."""
        self._path = path
        with self._told():
            self._file = pq.ParquetFile(path, pre_buffer=False)
            if not pa.types.is_integer(self._file.schema_arrow.field("open_time").type):
                raise NoCandles(f"{path} cannot be read: its open_time is no whole number of UTC milliseconds")
            self._groups = [group for group in range(self._file.num_row_groups) if self._may_have(group, begin, end)]
        opens = self._read("open_time").astype(np.int64)
        self._rows = (opens >= begin) & (opens < end)
        self.times: Times = opens[self._rows]

    def column(self, name: str) -> Floats:
        """Read one column of those rows."""
        values: Floats = self._read(name).astype(np.float64, copy=False)[self._rows]
        return values

    def _read(self, name: str) -> np.ndarray[Any, Any]:
        with self._told():
            table = self._file.read_row_groups(self._groups, columns=[name], use_threads=False)
            if name not in table.column_names:
                raise NoCandles(f"{self._path} cannot be read: it has no column {name!r}")
            read: np.ndarray[Any, Any] = table.column(name).to_numpy()
        return read

    def _may_have(self, group: int, begin: int, end: int) -> bool:
        found = self._file.metadata.row_group(group)
        column = next(found.column(k) for k in range(found.num_columns) if found.column(k).path_in_schema == "open_time")
        known: Any = column.statistics
        return known is None or not known.has_min_max or bool(known.max >= begin and known.min < end)

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (OSError, KeyError, pa.ArrowException) as error:
            raise NoCandles(f"{self._path} cannot be read: {error}") from error
