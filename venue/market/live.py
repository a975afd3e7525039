"""A market that happens elsewhere: its candles are told to this exchange by whoever reads the real one.

Nothing is kept on disk: the real exchange knows its past better, and is asked again after every start.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from venue.amounts import UNIT, IllegalAmount, TooPrecise, parse
from venue.listings import Listing, NotListed, listing
from venue.market.bars import EMPTY, INTERVALS, MINUTE_MS, Bar, Series, Units, aggregate
from venue.market.source import UnusableMarket

_FIRST_ROOM: Final = 4096
# Where a real exchange knows no bound, or one that no order of ours will ever meet.
_LARGEST: Final = 9_000_000_000 * UNIT
# Quote volume that makes up one trade where nobody counts them.
_QUOTE_PER_TRADE: Final = 1_000 * UNIT


@dataclass(frozen=True, slots=True)
class Upstream:
    """The real exchange, as it was when it was last asked."""

    exchange: str
    title: str
    market_ms: int
    listings: tuple[Listing, ...]


def read_upstream(path: Path) -> Upstream:
    """Read what was learned of the real exchange before the start."""
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        found = tuple(_listing(row) for row in told["listings"])
        if not found:
            raise ValueError("no symbols")
        return Upstream(str(told["exchange"]), str(told["title"]), int(told["market_ms"]), found)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UnusableMarket(
            f"{path} does not describe a real exchange ({error!r}). `manage.py up --market live` writes it."
        ) from error


@dataclass(slots=True, eq=False)
class _Column:
    """Candles of one interval that grow at their end."""

    rows: Units = field(default_factory=lambda: np.empty((len(Bar._fields), _FIRST_ROOM), dtype=np.int64))
    count: int = 0

    @property
    def series(self) -> Series:
        return Series(self.rows[:, : self.count])

    def append(self, bar: Bar) -> None:
        if self.count == self.rows.shape[1]:
            self.rows = np.concatenate([self.rows, np.empty_like(self.rows)], axis=1)
        self.rows[:, self.count] = bar
        self.count += 1


class LiveMarket:
    """One-minute candles as a real exchange closes them, on top of its own history."""

    kind = "live"
    base_interval_ms = MINUTE_MS
    end_time: int | None = None

    def __init__(self, upstream: Upstream, symbols: tuple[str, ...] = ()) -> None:
        chosen = tuple(item for item in upstream.listings if not symbols or item.symbol in symbols)
        missing = sorted(set(symbols) - {item.symbol for item in chosen})
        if missing:
            raise UnusableMarket(f"{upstream.title} does not list {', '.join(missing)}.")
        self.listings: tuple[Listing, ...] = chosen
        self.start_time = upstream.market_ms // MINUTE_MS * MINUTE_MS
        self._upstream = upstream
        self._columns: dict[str, dict[int, _Column]] = {item.symbol: {} for item in chosen}
        self._whole: dict[tuple[str, int], tuple[int, Series]] = {}

    @property
    def label(self) -> str:
        """Say in words what is shown."""
        return f"Live prices of {self._upstream.title}, paper fills"

    @property
    def identity(self) -> str:
        """Tell this market from any other: it is the same tomorrow."""
        return f"live|{self._upstream.exchange}|{','.join(item.symbol for item in self.listings)}"

    def bars_at(self, open_time: int) -> dict[str, Bar]:  # noqa: ARG002 - nothing is known of any moment.
        """Return nothing: nobody knows a candle before it has happened."""
        return {}

    def next_open(self, after: int) -> int | None:
        """Return the next minute."""
        return after // MINUTE_MS * MINUTE_MS + MINUTE_MS

    def closed(self, symbol: str, interval_ms: int, *, first: int, last: int, limit: int, forward: bool) -> Series:
        """Return candles that open from `first` to `last`: the first ones, or else the last ones."""
        part = self._known(symbol, interval_ms).cut(first, last)
        return part.oldest(limit) if forward else part.newest(limit)

    def forget(self, symbol: str) -> None:
        """Forget a symbol's candles: they are about to be told anew."""
        self._columns[symbol] = {}

    def learn(self, symbol: str, interval_ms: int, bars: Iterable[Bar]) -> None:
        """Take in closed candles, oldest first; what is known already, or older than that, is left out."""
        column = self._columns[symbol].setdefault(interval_ms, _Column())
        newest = int(column.rows[0, column.count - 1]) if column.count else -1
        for bar in bars:
            if bar.open_time > newest:
                column.append(bar)
                newest = bar.open_time
        self._whole = {key: known for key, known in self._whole.items() if key[0] != symbol}

    def _known(self, symbol: str, interval_ms: int) -> Series:
        """Put what only coarser candles know before the candles made of finer ones."""
        key = (symbol, interval_ms)
        count = sum(column.count for column in self._columns[symbol].values())
        kept = self._whole.get(key)
        if kept is not None and kept[0] == count:
            return kept[1]
        whole = EMPTY
        for length, column in sorted(self._columns[symbol].items()):
            if length > interval_ms or interval_ms % length:
                continue
            made = aggregate(column.series, interval_ms)
            before = int(whole.times[0]) - 1 if len(whole) else 2**62
            whole = Series(np.concatenate([made.cut(0, before).rows, whole.rows], axis=1))
        self._whole[key] = (count, whole)
        return whole


def bar_of(open_time: int, values: Iterable[Any], tick: int) -> Bar:
    """Make a candle of five numbers; the middle of the candle stands for its average price. Raises ValueError."""
    prices_and_volume = [float(value) for value in values]
    if len(prices_and_volume) != 5 or not all(np.isfinite(prices_and_volume)):
        raise ValueError("a candle has four prices and a volume")
    open_, high, low, close = (max(tick, round(value * UNIT / tick) * tick) for value in prices_and_volume[:4])
    volume = round(prices_and_volume[4] * UNIT)
    if min(prices_and_volume[:4]) <= 0 or volume < 0 or not low <= min(open_, close) <= max(open_, close) <= high:
        raise ValueError(f"this candle cannot be true: {prices_and_volume}")
    quote = volume * ((open_ + high + low + close) // 4) // UNIT
    return Bar(open_time, open_, high, low, close, volume, quote, 1 + quote // _QUOTE_PER_TRADE)


def interval_of(name: object) -> int:
    """Return the length of an interval by its name. Raises ValueError."""
    if not isinstance(name, str) or name not in INTERVALS:
        raise ValueError(f"{name!r} is no interval")
    return INTERVALS[name]


def _listing(row: dict[str, Any]) -> Listing:
    try:
        plain = listing(str(row["symbol"]))
        tick, step = parse(row["tick"]), parse(row["step"])
        smallest, largest = parse(row["min_quantity"]), min(_LARGEST, parse(row["max_quantity"]))
        exact = replace(plain, tick=tick, step=step, max_quantity=largest, market_max_quantity=largest)
        exact = replace(exact, min_notional=parse(row["min_notional"])).with_tick(tick)
    except (NotListed, IllegalAmount, TooPrecise) as error:
        raise ValueError(f"{row}: {error!r}") from error
    if not tick or not step or not largest:
        raise ValueError(f"{row} has no steps")
    return replace(exact, min_quantity=max(smallest, exact.step))
