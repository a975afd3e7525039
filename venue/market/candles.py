"""The candle that is still forming, for every interval above the base."""

from dataclasses import dataclass

from venue.market.bars import INTERVALS, Bar
from venue.market.source import MarketSource


@dataclass(slots=True)
class _Forming:
    """A candle made of the base candles so far."""

    interval_ms: int
    bar: Bar | None = None

    def add(self, part: Bar) -> None:
        self.bar = combine(self.bar, part, self.interval_ms)


class FormingCandles:
    """All unfinished candles of one symbol."""

    def __init__(self, source: MarketSource, symbol: str, now: int) -> None:
        """Rebuild the unfinished candles at `now` from the base candles that have closed."""
        self._base_ms = source.base_interval_ms
        self._forming = {
            length: _Forming(length) for length in INTERVALS.values() if length >= self._base_ms and length % self._base_ms == 0
        }
        day = now // max(self._forming) * max(self._forming)
        closed = source.closed(symbol, self._base_ms, first=day, last=now - self._base_ms, limit=1440, forward=True)
        for bar in closed.bars():
            for candle in self._forming.values():
                if bar.open_time >= now // candle.interval_ms * candle.interval_ms:
                    candle.add(bar)

    @property
    def intervals(self) -> tuple[int, ...]:
        """Return the lengths of all candles kept."""
        return tuple(self._forming)

    def fold(self, bar: Bar) -> None:
        """Add a closed base candle to every unfinished candle."""
        for candle in self._forming.values():
            candle.add(bar)

    def close_until(self, now: int) -> list[tuple[int, Bar]]:
        """Take out the candles that have ended by `now`, finest interval first."""
        ended = []
        for candle in self._forming.values():
            if candle.bar is not None and candle.bar.open_time + candle.interval_ms <= now:
                ended.append((candle.interval_ms, candle.bar))
                candle.bar = None
        return ended

    def current(self, interval_ms: int, part: Bar | None) -> Bar | None:
        """Return the unfinished candle including the base candle in progress."""
        bar = self._forming[interval_ms].bar
        return bar if part is None else combine(bar, part, interval_ms)


def combine(so_far: Bar | None, part: Bar, interval_ms: int) -> Bar:
    """Add a base candle to a coarser one."""
    if so_far is None:
        return part._replace(open_time=part.open_time // interval_ms * interval_ms)
    return Bar(
        so_far.open_time,
        so_far.open,
        max(so_far.high, part.high),
        min(so_far.low, part.low),
        part.close,
        so_far.volume + part.volume,
        so_far.quote_volume + part.quote_volume,
        so_far.trades + part.trades,
    )
