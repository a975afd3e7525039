"""A market made of recorded candles in Parquet files."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from venue.amounts import UNIT
from venue.listings import Listing, NotListed, listing
from venue.market.bars import DAY_MS, INTERVAL_NAMES, INTERVALS, Bar, Series, Units, aggregate
from venue.market.source import UnusableMarket

_FILE = re.compile(r"(?P<interval>[0-9]+[mhd])(?:__[0-9]+_[0-9]+)?\.parquet")
_PARTITION = re.compile(r"exchange=(?P<exchange>[^/]+)/symbol=(?P<symbol>[^/]+)/interval=(?P<interval>[^/]+)/")
_COLUMNS: Final = ("open_time", "open", "high", "low", "close", "volume")
_FAVOURITE_EXCHANGE: Final = "binance"
# Spot archives carry microseconds from 2025 on.
_MILLISECONDS_LIMIT: Final = 100_000_000_000_000
# Quote volume that makes up one trade where the recording does not count them.
_QUOTE_PER_TRADE: Final = 1_000 * UNIT
_FINEST_DECIMALS: Final = 8

Spans = dict[str, dict[int, tuple[int, int]]]


@dataclass(frozen=True, slots=True)
class CandleFile:
    """A file of candles, known by its place."""

    path: Path
    exchange: str
    symbol: str
    interval_ms: int


Files = dict[str, dict[int, list[CandleFile]]]


class ReplayMarket:
    """Recorded candles, walked from a moment on; everything before it is history."""

    kind = "replay"

    def __init__(self, root: Path, *, start_time: int | None, symbols: tuple[str, ...] = (), exchange: str = "") -> None:
        files = _of_exchange(find_files(root), exchange, root)
        self._exchange = files[0].exchange
        self._files = _by_symbol(files, symbols)
        spans = {name: {length: _span(parts) for length, parts in found.items()} for name, found in self._files.items()}
        start = start_time if start_time is not None else min(min(found.values())[0] for found in spans.values())
        self.base_interval_ms, names = _choose_base(spans, start, symbols)
        self.left_out = tuple(sorted(set(self._files) - set(names)))
        self._base = {name: self._recorded(name, self.base_interval_ms) for name in names}
        self.listings = tuple(_fit(name, self._base[name]) for name in names)
        self._opens = np.unique(np.concatenate([series.times for series in self._base.values()]))
        self._aggregated: dict[tuple[str, int], Series] = {}
        self.end_time: int | None = int(self._opens[-1]) + self.base_interval_ms
        first = self.next_open(start - 1)
        if first is None:
            raise UnusableMarket(f"No candles in {root} from {_moment(start)} on.")
        self.start_time = first

    @property
    def label(self) -> str:
        """Say in words what is shown."""
        interval = INTERVAL_NAMES[self.base_interval_ms]
        return f"Replay of {self._exchange} {interval} candles from {_moment(self.start_time)}"

    @property
    def identity(self) -> str:
        """Tell this market from any other."""
        names = ",".join(item.symbol for item in self.listings)
        return f"replay|{self._exchange}|{self.base_interval_ms}|{self.start_time}|{names}"

    def bars_at(self, open_time: int) -> dict[str, Bar]:
        """Return the base candles that open at this moment."""
        found = {}
        for name, series in self._base.items():
            index = int(np.searchsorted(series.times, open_time))
            if index < len(series) and series.times[index] == open_time:
                found[name] = series.bar(index)
        return found

    def next_open(self, after: int) -> int | None:
        """Return the next moment at which a base candle opens, or nothing at the end."""
        index = int(np.searchsorted(self._opens, after, side="right"))
        return int(self._opens[index]) if index < len(self._opens) else None

    def closed(self, symbol: str, interval_ms: int, *, first: int, last: int, limit: int, forward: bool) -> Series:
        """Return candles that open from `first` to `last`: the first ones, or else the last ones."""
        part = self._whole(symbol, interval_ms).cut(first, last)
        return part.oldest(limit) if forward else part.newest(limit)

    def _whole(self, symbol: str, interval_ms: int) -> Series:
        key = (symbol, interval_ms)
        if key not in self._aggregated:
            self._aggregated[key] = self._with_older(symbol, aggregate(self._base[symbol], interval_ms), interval_ms)
        return self._aggregated[key]

    def _recorded(self, symbol: str, interval_ms: int) -> Series:
        rows = np.concatenate([_read(file).rows for file in self._files[symbol][interval_ms]], axis=1)
        _, firsts = np.unique(rows[0], return_index=True)
        return Series(np.ascontiguousarray(rows[:, firsts]))

    def _with_older(self, symbol: str, newest: Series, interval_ms: int) -> Series:
        """Put what only coarser recordings know before the candles made of base candles."""
        for recorded in sorted(self._files[symbol]):
            if not self.base_interval_ms < recorded <= interval_ms or interval_ms % recorded:
                continue
            older = aggregate(self._recorded(symbol, recorded), interval_ms)
            before = int(newest.times[0]) - 1 if len(newest) else 2**62
            newest = Series(np.concatenate([older.cut(0, before).rows, newest.rows], axis=1))
        return newest


def find_files(root: Path) -> list[CandleFile]:
    """Find candle files below a folder, in either of the two known layouts."""
    if not root.is_dir():
        raise UnusableMarket(f"There is no folder {root}. Name the folder of your candles with --data.")
    found = []
    for path in sorted(root.rglob("*.parquet")):
        place = path.relative_to(root).as_posix()
        partition, plain = _PARTITION.search(place), _FILE.fullmatch(path.name)
        if partition is not None:
            exchange, symbol, interval = partition.group("exchange", "symbol", "interval")
        elif plain is not None:
            exchange, symbol, interval = path.parent.parent.name, path.parent.name, plain.group("interval")
        else:
            continue
        if interval in INTERVALS:
            found.append(CandleFile(path, exchange, symbol.replace("-", "").upper(), INTERVALS[interval]))
    if not found:
        raise UnusableMarket(
            f"No candles in {root}. Expected EXCHANGE/SYMBOL/INTERVAL.parquet, for example binance/ETHUSDT/5m.parquet."
        )
    return found


def _of_exchange(files: list[CandleFile], wanted: str, root: Path) -> list[CandleFile]:
    names = sorted({file.exchange for file in files})
    if not wanted:
        wanted = names[0] if len(names) == 1 else _FAVOURITE_EXCHANGE
    chosen = [file for file in files if file.exchange == wanted]
    if not chosen:
        raise UnusableMarket(f"{root} holds candles of {', '.join(names)}. Name one with --exchange.")
    return chosen


def _by_symbol(files: Iterable[CandleFile], symbols: tuple[str, ...]) -> Files:
    found: Files = {}
    for file in files:
        if symbols and file.symbol not in symbols:
            continue
        try:
            listing(file.symbol)
        except NotListed:
            continue
        found.setdefault(file.symbol, {}).setdefault(file.interval_ms, []).append(file)
    missing = sorted(set(symbols) - set(found))
    if missing or not found:
        raise UnusableMarket(f"No candles of {', '.join(missing) or 'any symbol with a known quote currency'}.")
    return found


def _span(files: list[CandleFile]) -> tuple[int, int]:
    """Return the first and last open time of some files, from their statistics alone."""
    ends: list[int] = []
    for file in files:
        try:
            described = parquet.read_metadata(file.path)
            column = described.schema.names.index("open_time")
            groups = [described.row_group(index).column(column).statistics for index in range(described.num_row_groups)]
            ends += [int(getattr(group, side)) for group in groups for side in ("min", "max")]
        except (OSError, pa.ArrowException, ValueError, AttributeError, TypeError) as error:
            raise _unreadable(file, error) from error
    if not ends:
        raise UnusableMarket(f"{files[0].path} holds no candles. Fetch it again or remove it.")
    first, last = min(ends), max(ends)
    return (first, last) if last < _MILLISECONDS_LIMIT else (min(first, first // 1000), last // 1000)


def _read(file: CandleFile) -> Series:
    try:
        table = parquet.read_table(file.path)
        columns = {name: table.column(name) for name in table.column_names}
        missing = [name for name in _COLUMNS if name not in columns]
        if missing:
            raise UnusableMarket(f"{file.path} lacks the column {missing[0]}. Fetch it again or leave it out.")
        return _checked(file, columns)
    except (OSError, pa.ArrowException, ValueError) as error:
        raise _unreadable(file, error) from error


def _unreadable(file: CandleFile, error: Exception) -> UnusableMarket:
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return UnusableMarket(f"{file.path} cannot be read ({reason}). Fetch it again or remove it.")


def _checked(file: CandleFile, columns: dict[str, Any]) -> Series:
    times = columns["open_time"].to_numpy().astype(np.int64)
    times = np.where(times > _MILLISECONDS_LIMIT, times // 1000, times)
    prices = np.stack([_floats(columns[name]) for name in _COLUMNS[1:5]])
    volumes = _floats(columns["volume"])
    body_low, body_high = np.minimum(prices[0], prices[3]), np.maximum(prices[0], prices[3])
    wrong = (
        ~np.isfinite(prices).all(axis=0)
        | ~np.isfinite(volumes)
        | (prices <= 0).any(axis=0)
        | (volumes < 0)
        | (body_low < prices[2])
        | (body_high > prices[1])
        | (times % file.interval_ms != 0)
        | np.append(False, np.diff(times) <= 0)
    )
    if wrong.any():
        at = int(np.argmax(wrong))
        raise UnusableMarket(
            f"{file.path}: the candle at {_moment(int(times[at]))} cannot be true. Fetch the file again or remove it."
        )
    return _series(times, prices, volumes, columns)


def _series(times: Units, prices: Any, volumes: Any, columns: dict[str, Any]) -> Series:
    # Where the recording has no quote volume, the middle of the candle stands for its average price.
    quotes = _floats(columns["quote_volume"]) if "quote_volume" in columns else volumes * prices.mean(axis=0)
    quote_units = np.rint(quotes * UNIT).astype(np.int64)
    counted = columns.get("trades")
    trades = counted.to_numpy().astype(np.int64) if counted is not None else 1 + quote_units // _QUOTE_PER_TRADE
    units = np.rint(np.vstack([prices, volumes]) * UNIT).astype(np.int64)
    return Series(np.vstack([times[np.newaxis], units, quote_units[np.newaxis], trades[np.newaxis]]))


def _floats(column: Any) -> Any:
    return column.cast("float64").to_numpy()


def _choose_base(spans: Spans, start: int, symbols: tuple[str, ...]) -> tuple[int, tuple[str, ...]]:
    """Pick the finest interval at the start; symbols that lack it stay out unless they were asked for."""
    covering = {
        name: {length for length, (first, last) in found.items() if first <= start + DAY_MS and last >= start}
        for name, found in spans.items()
    }
    for length in sorted(set().union(*covering.values())):
        names = tuple(sorted(name for name, found in covering.items() if length in found))
        if not symbols or set(names) == set(symbols):
            return length, names
    ends = [end for found in spans.values() for span in found.values() for end in span]
    raise UnusableMarket(
        f"No candles cover {_moment(start)} for {', '.join(symbols) or 'any symbol'}: those there are run from "
        f"{_moment(min(ends))} to {_moment(max(ends))}. Choose another --from or other --symbols."
    )


def _fit(name: str, series: Series) -> Listing:
    """Refine the tick until every recorded price is a whole number of ticks."""
    prices = series.rows[1:5]
    tick = UNIT
    for decimals in range(_FINEST_DECIMALS + 1):
        tick = 10 ** (_FINEST_DECIMALS - decimals)
        if not (prices % tick).any():
            break
    return listing(name).with_tick(tick)


def _moment(milliseconds: int) -> str:
    return str(np.datetime64(milliseconds, "ms")).replace("T", " ")[:16] + " UTC"
