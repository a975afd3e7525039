"""Candles of the root as memory-mapped columns: nothing is read that nobody looks at."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path
from typing import Final

import numpy as np
from pyarrow import parquet

from marketdata.history.catalog import NoHistory, Series, series, symbol_name
from trading.bars import INTERVALS, Candles, Floats, Times, aggregate
from trading.strategy import FIELDS

COLUMNS: Final = ("open", "high", "low", "close", "volume")


def candle_columns(
    root: Path, *, symbol: str, interval: str, begin_ms: int = 0, end_ms: int = 2**62, exchange: str = "binance"
) -> Candles:
    """Answer the candles that open from `begin_ms` up to, but without, `end_ms`, as read-only views of mapped files.

    An interval that is not stored is made of the finest one that is; a candle of which parts are missing is made of the parts
    there are, and one without any stays absent.
    """
    one = _source(root, exchange, symbol_name(symbol), interval)
    times, values = mapped(root, one)
    length = INTERVALS[interval]
    # Whole candles only: a stretch that begins inside one would make it of a part.
    begin, end = -(-begin_ms // length) * length, min(-(-end_ms // length) * length, 2**62)
    first, last = np.searchsorted(times, [begin, end])
    if first == last:
        raise NoHistory(f"{root} has no {interval} candles of {exchange} {symbol} between {begin_ms} and {end_ms}.")
    found = Candles(INTERVALS[one.interval], times[first:last], values[:, first:last])
    return aggregate(found, length)


def mapped(root: Path, one: Series) -> tuple[Times, Floats]:
    """Map a series: open times [n] and open, high, low, close, volume [5][n]; the files are made on first use."""
    folder = root / "columns" / one.exchange / one.symbol / one.interval
    here = folder / hashlib.sha256(one.fingerprint.encode()).hexdigest()[:16]
    if not (here / "values.npy").exists():
        _make(one, folder, here)
    return np.load(here / "times.npy", mmap_mode="r"), np.load(here / "values.npy", mmap_mode="r")


def _source(root: Path, exchange: str, symbol: str, interval: str) -> Series:
    if interval not in INTERVALS:
        raise NoHistory(f"{interval!r} is no interval. Known: {', '.join(INTERVALS)}.")
    stored = [one for one in series(root) if (one.exchange, one.symbol) == (exchange, symbol)]
    exact = [one for one in stored if one.interval == interval]
    finer = [one for one in stored if INTERVALS[interval] % INTERVALS[one.interval] == 0]
    if not exact and not finer:
        there = ", ".join(one.interval for one in stored) or "nothing"
        raise NoHistory(f"{root} holds {there} of {exchange} {symbol}; {interval} cannot be made of it. Use `history fetch`.")
    return exact[0] if exact else min(finer, key=lambda one: INTERVALS[one.interval])


def _make(one: Series, folder: Path, here: Path) -> None:
    beside = here.with_name(f"{here.name}.{os.getpid()}.part")
    beside.mkdir(parents=True, exist_ok=True)
    times = np.lib.format.open_memmap(beside / "times.npy", mode="w+", dtype=np.int64, shape=(one.rows,))
    values = np.lib.format.open_memmap(beside / "values.npy", mode="w+", dtype=np.float64, shape=(FIELDS, one.rows))
    place = 0
    for path in one.files:
        table = parquet.ParquetFile(path).read(columns=["open_time", *COLUMNS])
        stop = place + table.num_rows
        times[place:stop] = table["open_time"].to_numpy()
        for field, name in enumerate(COLUMNS):
            values[field, place:stop] = table[name].to_numpy()
        place = stop
    if place != one.rows:
        shutil.rmtree(beside)
        raise NoHistory(f"{one.name}: {place} rows where the manifest says {one.rows}. Run `history verify`.")
    times.flush()
    values.flush()
    try:
        beside.rename(here)
    except OSError:
        # Another process was faster; its files are the same.
        shutil.rmtree(beside, ignore_errors=True)
    for older in folder.iterdir():
        # Whoever has mapped them keeps them.
        if older != here and not older.name.endswith(".part"):
            shutil.rmtree(older, ignore_errors=True)
