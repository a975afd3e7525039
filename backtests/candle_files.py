"""Read candles from a folder of Parquet files: EXCHANGE/SYMBOL/INTERVAL.parquet or INTERVAL__FROM_TO.parquet."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from trading.bars import INTERVALS, Candles, Floats, Times

COLUMNS = ("open", "high", "low", "close", "volume")


class NoCandles(ValueError):
    """The folder has no such candles, or they cannot be read."""


def read_candles(folder: Path, *, symbol: str, interval: str, begin: int, end: int) -> Candles:
    """Read the candles that open from `begin` up to, but without, `end` (UTC milliseconds)."""
    parts = [_read(path, begin, end) for path in _files(folder, symbol, interval)]
    parts = [part for part in parts if len(part[0])]
    if not parts:
        raise NoCandles(f"No {interval} candles of {symbol} between {begin} and {end} under {folder}")
    times = np.concatenate([part[0] for part in parts])
    values = np.concatenate([part[1] for part in parts], axis=1)
    order = np.argsort(times, kind="stable")
    return Candles(INTERVALS[interval], times[order], np.ascontiguousarray(values[:, order]))


def finest_interval(folder: Path, *, symbol: str, begin: int, end: int) -> str:
    """Find the finest interval that has candles in this stretch."""
    for interval in INTERVALS:
        for path in _files(folder, symbol, interval):
            if len(_read(path, begin, end)[0]):
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


def _read(path: Path, begin: int, end: int) -> tuple[Times, Floats]:
    opens = pc.field("open_time")
    bounds = (opens >= begin) & (opens < end)
    try:
        table = pq.read_table(path, columns=["open_time", *COLUMNS], filters=bounds)
    except (OSError, pa.ArrowException) as error:
        raise NoCandles(f"{path} cannot be read: {error}") from error
    times = table.column("open_time").to_numpy().astype(np.int64)
    values = np.array([table.column(name).to_numpy() for name in COLUMNS], dtype=np.float64)
    return times, values
