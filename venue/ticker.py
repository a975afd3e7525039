"""What market streams and tickers say about prices and candles."""

from typing import Any, Final

from venue.amounts import UNIT, text
from venue.journal import MarketEvent
from venue.market.bars import DAY_MS, INTERVAL_NAMES, MINUTE_MS, Bar
from venue.market.source import MarketSource
from venue.matching.book import SymbolBook

# A level of the book shows this many lots where the bar's volume says nothing.
_SHOWN_LOTS: Final = 1
_TAKER_SHARE: Final = 2


def book_ticker(book: SymbolBook, update_id: int) -> MarketEvent:
    """Tell the best bid and offer."""
    size = text(shown_depth(book))
    payload = {
        "u": update_id,
        "s": book.listing.symbol,
        "b": text(book.bid),
        "B": size,
        "a": text(book.ask),
        "A": size,
    }
    return MarketEvent(f"{book.listing.symbol.lower()}@bookTicker", payload)


def shown_depth(book: SymbolBook) -> int:
    """Return the quantity that a level of the book shows."""
    return book.depth or _SHOWN_LOTS * book.listing.step


def levels(book: SymbolBook, count: int) -> tuple[list[list[str]], list[list[str]]]:
    """Return bids and offers as the model of depth has them, best first."""
    if book.is_mirrored and book.quoted is None:
        return [], []
    size = text(shown_depth(book))
    bids = dict.fromkeys(book.demand(level) for level in range(1, count + 1))
    asks = dict.fromkeys(book.offer(level) for level in range(1, count + 1))
    return [[text(price), size] for price in bids], [[text(price), size] for price in asks]


def kline_event(symbol: str, interval_ms: int, bar: Bar, *, is_closed: bool, at: int) -> MarketEvent:
    """Tell how a candle stands."""
    name = INTERVAL_NAMES[interval_ms]
    candle = {
        "t": bar.open_time,
        "T": bar.open_time + interval_ms - 1,
        "s": symbol,
        "i": name,
        "f": -1,
        "L": -1,
        "o": text(bar.open),
        "c": text(bar.close),
        "h": text(bar.high),
        "l": text(bar.low),
        "v": text(bar.volume),
        "n": bar.trades,
        "x": is_closed,
        "q": text(bar.quote_volume),
        "V": text(bar.volume // _TAKER_SHARE),
        "Q": text(bar.quote_volume // _TAKER_SHARE),
        "B": "0",
    }
    return MarketEvent(f"{symbol.lower()}@kline_{name}", {"e": "kline", "E": at, "s": symbol, "k": candle})


def kline_row(bar: Bar, interval_ms: int) -> list[object]:
    """Show a candle as GET klines does."""
    return [
        bar.open_time,
        text(bar.open),
        text(bar.high),
        text(bar.low),
        text(bar.close),
        text(bar.volume),
        bar.open_time + interval_ms - 1,
        text(bar.quote_volume),
        bar.trades,
        text(bar.volume // _TAKER_SHARE),
        text(bar.quote_volume // _TAKER_SHARE),
        "0",
    ]


def day_bar(source: MarketSource, symbol: str, now: int) -> Bar:
    """Return the last 24 hours of closed candles as one candle."""
    base = source.base_interval_ms
    interval = max(base, 5 * MINUTE_MS)
    last = now // interval * interval - interval
    part = source.closed(symbol, interval, first=now - DAY_MS, last=last, limit=DAY_MS // interval, forward=False)
    if not len(part):
        part = source.closed(symbol, base, first=0, last=now - base, limit=1, forward=False)
    if not len(part):
        return Bar(now, 0, 0, 0, 0, 0, 0, 0)
    _, opens, highs, lows, closes, volumes, quotes, trades = part.rows
    return Bar(
        int(part.times[0]),
        int(opens[0]),
        int(highs.max()),
        int(lows.min()),
        int(closes[-1]),
        int(volumes.sum()),
        int(quotes.sum()),
        int(trades.sum()),
    )


def mini_ticker(source: MarketSource, symbol: str, now: int) -> MarketEvent:
    """Tell the last 24 hours in short."""
    day = day_bar(source, symbol, now)
    payload = {
        "e": "24hrMiniTicker",
        "E": now,
        "s": symbol,
        "c": text(day.close),
        "o": text(day.open),
        "h": text(day.high),
        "l": text(day.low),
        "v": text(day.volume),
        "q": text(day.quote_volume),
    }
    return MarketEvent(f"{symbol.lower()}@miniTicker", payload)


def day_ticker(source: MarketSource, book: SymbolBook, now: int, last_trade_id: int) -> dict[str, Any]:
    """Show the last 24 hours as GET ticker/24hr does."""
    day = day_bar(source, book.listing.symbol, now)
    change = book.price - day.open
    sign = "-" if change < 0 else ""
    percent = abs(change) * 100_000 // day.open if day.open else 0
    average = day.quote_volume * UNIT // day.volume if day.volume else book.price
    size = text(shown_depth(book))
    return {
        "symbol": book.listing.symbol,
        "priceChange": text(change),
        "priceChangePercent": f"{sign}{percent // 1000}.{percent % 1000:03d}",
        "weightedAvgPrice": text(average),
        "prevClosePrice": text(day.open),
        "lastPrice": text(book.price),
        "lastQty": size,
        "bidPrice": text(book.bid),
        "bidQty": size,
        "askPrice": text(book.ask),
        "askQty": size,
        "openPrice": text(day.open),
        "highPrice": text(max(day.high, book.price)),
        "lowPrice": text(min(day.low, book.price)),
        "volume": text(day.volume),
        "quoteVolume": text(day.quote_volume),
        "openTime": now - DAY_MS,
        "closeTime": now,
        "firstId": max(1, last_trade_id - day.trades),
        "lastId": last_trade_id,
        "count": day.trades,
    }
