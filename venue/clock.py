"""Market time: bars open, are walked and close; nothing else moves prices.

One bar is walked in steps. Each step is a single change of state together with the fills it causes
and the new position, so that a restart goes on exactly where the last commit left the market.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Final

from trading.paths import bar_path, path_time
from venue.market.bars import Bar
from venue.market.candles import FormingCandles
from venue.market.source import MarketSource
from venue.matching.engine import Engine
from venue.ticker import book_ticker, kline_event, mini_ticker

# A segment of the path is this many parts; every pace takes a divisor of it at once.
PARTS: Final = 80
SEGMENTS: Final = 3
WHOLE: Final = SEGMENTS * PARTS
POSITION: Final = "position"


@dataclass(slots=True)
class Position:
    """Where the market is: which bar, how much of its path is walked, what resting orders may still take."""

    bar_open: int
    progress: int = 0
    budgets: dict[str, int] = field(default_factory=dict)
    is_finished: bool = False

    def encode(self) -> str:
        """Write the position."""
        return json.dumps(asdict(self))

    @classmethod
    def decode(cls, text: str) -> "Position":
        """Read a written position."""
        return cls(**json.loads(text))


class MarketClock:
    """Walks the source's bars through the engine."""

    # Whether candles can be asked for: a market of recorded or made prices always knows them.
    is_open = True

    def __init__(
        self,
        source: MarketSource,
        engine: Engine,
        position: Position | None,
        *,
        wanted: Callable[[str], bool] = lambda _stream: True,
        after_step: Callable[[], None] = lambda: None,
    ) -> None:
        """Open the market, or take it up where it was left. `wanted` tells which streams have listeners."""
        self.source = source
        self._wanted = wanted
        self._after_step = after_step
        self.engine = engine
        self._bars: dict[str, Bar] = {}
        fresh = position is None
        self.position = position or Position(source.start_time)
        self.candles = {symbol: FormingCandles(source, symbol, self.position.bar_open) for symbol in engine.books}
        if fresh:
            self._open(self.position.bar_open)
        else:
            self._resume()

    @property
    def now(self) -> int:
        """Return market time."""
        return self.engine.now

    @property
    def bar_end(self) -> int:
        """Return when the bar in progress ends."""
        return self.position.bar_open + self.source.base_interval_ms

    def walk(self, parts: int) -> None:
        """Walk a step of the path: it must not go past the end of a segment."""
        start = self.position.progress
        end = start + parts
        for symbol, bar in self._bars.items():
            self._walk_symbol(symbol, bar, start, end)
        self.position.progress = end
        self.engine.now = max(self.engine.now, self._time(end))
        self._after_step()
        self._note_position()

    def turn(self) -> bool:
        """Close the bar and open the next one as one step; answer whether there is a next one."""
        following = self.source.next_open(self.position.bar_open)
        closed_at = self.bar_end if following is None else following
        for symbol, bar in self._bars.items():
            self.candles[symbol].fold(bar)
        # The last tick of a bar has happened inside it; candles close with the bar, whatever comes next.
        self.engine.now = max(self.engine.now, closed_at)
        for symbol in self.engine.books:
            self._close_candles(symbol, closed_at)
        if following is None:
            self.position.is_finished = True
            self._note_position()
            return False
        self._open(following)
        return True

    def partial(self, symbol: str) -> Bar | None:
        """Return the base candle in progress."""
        bar = self._bars.get(symbol)
        if bar is None or self.position.is_finished:
            return None
        return partial_bar(bar, self.position.progress)

    def current_candle(self, symbol: str, interval_ms: int) -> Bar | None:
        """Return the unfinished candle of an interval."""
        part = self.partial(symbol)
        return self.candles[symbol].current(interval_ms, part)

    def _open(self, open_time: int) -> None:
        """Open a bar: its first tick, and whatever that tick already fills."""
        self._bars = self.source.bars_at(open_time)
        self.position.bar_open, self.position.progress = open_time, 0
        self.engine.now = open_time
        for symbol, book in self.engine.books.items():
            bar = self._bars.get(symbol)
            if bar is None:
                if not book.price:
                    book.price = self._last_price(symbol, open_time)
                book.close_for_outage()
                continue
            book.open_bar(bar.open, bar.volume)
            self.engine.move(symbol, bar.open, bar.open, lambda _level: open_time)
            self._print(symbol, bar, 0)
        self._after_step()
        self._note_position()

    def _resume(self) -> None:
        position = self.position
        self._bars = self.source.bars_at(position.bar_open)
        self.engine.now = self.bar_end if position.is_finished else self._time(position.progress)
        for symbol, book in self.engine.books.items():
            bar = self._bars.get(symbol)
            if bar is None:
                book.price = self._last_price(symbol, position.bar_open)
                continue
            book.open_bar(bar.open, bar.volume)
            book.budget = position.budgets.get(symbol, book.budget)
            book.price = price_at(bar, position.progress, book.listing.tick)

    def _last_price(self, symbol: str, now: int) -> int:
        base = self.source.base_interval_ms
        last = self.source.closed(symbol, base, first=0, last=now - 1, limit=1, forward=False)
        return last.bar(0).close if len(last) else 0

    def _walk_symbol(self, symbol: str, bar: Bar, start: int, end: int) -> None:
        tick = self.engine.books[symbol].listing.tick
        segment = start // PARTS
        turning = bar_path(bar.open, bar.high, bar.low, bar.close)
        first, last = turning[segment], turning[segment + 1]
        length, forward = abs(last - first), 1 if last >= first else -1

        def when(level: int) -> int:
            travelled = min(max((level - first) * forward, 0), length)
            return path_time(bar.open_time, self.source.base_interval_ms, segment, travelled, length)

        self.engine.move(symbol, price_at(bar, start, tick), price_at(bar, end, tick), when)
        if end % PARTS == 0:
            self._print(symbol, bar, segment + 1)
        self._show(symbol)

    def _print(self, symbol: str, bar: Bar, point: int) -> None:
        """Print one public trade at a turning point of the path, with its share of the volume."""
        step = self.engine.books[symbol].listing.step
        turning = bar_path(bar.open, bar.high, bar.low, bar.close)
        quantity = max(step, (_walked(bar.volume, point * PARTS) - _walked(bar.volume, (point - 1) * PARTS)) // step * step)
        falls = point > 0 and turning[point] < turning[point - 1]
        tape = self.engine.tape
        at = bar.open_time if point == 0 else self._time(point * PARTS)
        events = tape.print(symbol, tape.next_id(symbol), turning[point], quantity, at, buyer_is_maker=falls)
        self.engine.journal.counters[symbol] = (self.engine.last_order_id[symbol], tape.last_id[symbol])
        self.engine.journal.events.extend(events)
        if point == 0:
            self._show(symbol)

    def _show(self, symbol: str) -> None:
        self.engine.journal.events.append(book_ticker(self.engine.books[symbol], self.engine.tape.last_id[symbol]))

    def _close_candles(self, symbol: str, now: int) -> None:
        events = self.engine.journal.events
        ended = self.candles[symbol].close_until(now)
        events.extend(kline_event(symbol, interval_ms, bar, is_closed=True, at=now) for interval_ms, bar in ended)
        if ended and self._wanted(f"{symbol.lower()}@miniTicker"):
            events.append(mini_ticker(self.source, symbol, now))

    def _time(self, progress: int) -> int:
        if progress == 0:
            return self.position.bar_open
        segment, travelled = divmod(progress - 1, PARTS)
        return path_time(self.position.bar_open, self.source.base_interval_ms, segment, travelled + 1, PARTS)

    def _note_position(self) -> None:
        self.position.budgets = {symbol: self.engine.books[symbol].budget for symbol in self._bars}
        self.engine.journal.facts[POSITION] = self.position.encode()


def price_at(bar: Bar, progress: int, tick: int) -> int:
    """Return the price after a part of the path, on the grid."""
    turning = bar_path(bar.open, bar.high, bar.low, bar.close)
    segment, part = divmod(progress, PARTS)
    if part == 0:
        return turning[segment]
    first, last = turning[segment], turning[segment + 1]
    return first + (last - first) * part // PARTS // tick * tick


def partial_bar(bar: Bar, progress: int) -> Bar:
    """Return what a candle looks like after a part of its path."""
    turning = bar_path(bar.open, bar.high, bar.low, bar.close)
    seen = [*turning[: progress // PARTS + 1], price_at(bar, progress, 1)]
    return Bar(
        bar.open_time,
        bar.open,
        max(seen),
        min(seen),
        seen[-1],
        _walked(bar.volume, progress),
        _walked(bar.quote_volume, progress),
        max(1, bar.trades * progress // WHOLE),
    )


def _walked(amount: int, progress: int) -> int:
    """Spread a bar's volume over its path: a tenth at the open, the rest evenly."""
    return 0 if progress < 0 else amount // 10 + (amount - amount // 10) * progress // WHOLE
