"""Read candles from a folder of Parquet files: EXCHANGE/SYMBOL/INTERVAL.parquet or INTERVAL__FROM_TO.parquet."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from trading.bars import INTERVALS, Candles, Floats, Times

COLUMNS = ("open", "high", "low", "close", "volume")
BATCH_ROWS: Final = 65_536


class NoCandles(ValueError):
    """The folder has no such candles, or they cannot be read."""


def read_candles(folder: Path, *, symbol: str, interval: str, begin: int, end: int) -> Candles:
    """Read the candles that open from `begin` up to, but without, `end` (UTC milliseconds).

    One column at a time into arrays of the right length: years of minutes take little more memory than they are long.
    """
    parts = [part for path in _files(folder, symbol, interval) if len((part := _Part(path, begin, end)).times)]
    if not parts:
        raise NoCandles(f"No {interval} candles of {symbol} between {begin} and {end} under {folder}")
    times = parts[0].times if len(parts) == 1 else np.concatenate([part.times for part in parts])
    values = np.empty((len(COLUMNS), len(times)))
    ends = np.cumsum([len(part.times) for part in parts])
    for row, name in zip(values, COLUMNS, strict=True):
        for part, cells in zip(parts, np.split(row, ends[:-1]), strict=True):
            part.fill(cells, name)
    if (times[1:] < times[:-1]).any():
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
        opens = self._read("open_time", np.int64)
        wanted = (opens >= begin) & (opens < end)
        self._rows = slice(None) if wanted.all() else wanted
        self.times: Times = opens[self._rows]

    def fill(self, cells: Floats, name: str) -> None:
        """Read one column of those rows into as many cells."""
        if isinstance(self._rows, slice):
            self._read_into(cells, name)
        else:
            cells[:] = self._read(name, np.float64)[self._rows]

    def _read(self, name: str, kind: type[Any]) -> np.ndarray[Any, Any]:
        cells = np.empty(sum(self._file.metadata.row_group(group).num_rows for group in self._groups), kind)
        self._read_into(cells, name)
        return cells

    def _read_into(self, cells: np.ndarray[Any, Any], name: str) -> None:
        """Read a column piece by piece: what is decoded at once stays small."""
        at = 0
        with self._told():
            if name not in self._file.schema_arrow.names:
                raise NoCandles(f"{self._path} cannot be read: it has no column {name!r}")
            kind = self._file.schema_arrow.field(name).type
            if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)):
                raise NoCandles(f"{self._path} cannot be read: its column {name!r} is of the type {kind}, not of numbers")
            for batch in self._file.iter_batches(BATCH_ROWS, row_groups=self._groups, columns=[name], use_threads=False):
                column = batch.column(0)
                if column.null_count:
                    raise NoCandles(f"{self._path} cannot be read: its column {name!r} has empty cells")
                cells[at : at + len(column)] = column.to_numpy(zero_copy_only=False)
                at += len(column)
        pa.default_memory_pool().release_unused()

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
