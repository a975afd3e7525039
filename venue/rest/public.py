"""Endpoints that anybody may ask: the exchange, its prices, its candles."""

import json
import re
from collections.abc import Mapping
from typing import Any, Final

from venue.amounts import text
from venue.errors import ApiError, illegal_characters, invalid_symbol, missing_parameter, overloaded
from venue.listings import symbol_information
from venue.market.bars import INTERVALS
from venue.matching.book import SymbolBook
from venue.rest.call import Call, Endpoint, by_symbol, fixed
from venue.tape import aggregate_row, trade_row
from venue.ticker import day_ticker, kline_row, shown_depth

_FAR: Final = 2**53
_COUNT: Final = re.compile("[0-9]{1,6}")


async def ping(call: Call) -> dict[str, Any]:
    """Answer."""
    call.parameters.refuse_unread()
    return {}


async def server_time(call: Call) -> dict[str, Any]:
    """Tell wall time."""
    call.parameters.refuse_unread()
    return {"serverTime": call.exchange.protocol_ms()}


async def exchange_info(call: Call) -> dict[str, Any]:
    """Describe what is traded and under which filters."""
    symbols = _symbols(call)
    call.parameters.text("permissions")
    call.parameters.text("showPermissionSets")
    call.parameters.text("symbolStatus")
    call.parameters.refuse_unread()
    books = call.exchange.engine.books
    return {
        "timezone": "UTC",
        "serverTime": call.exchange.protocol_ms(),
        "rateLimits": call.exchange.limits.rules(),
        "exchangeFilters": [],
        "symbols": [
            symbol_information(books[symbol].listing, is_halted=books[symbol].is_halted)
            for symbol in symbols
            if not books[symbol].is_delisted
        ],
    }


async def klines(call: Call) -> list[list[object]]:
    """Return candles, the one in progress included."""
    symbol, name = call.parameters.symbol(), call.parameters.required("interval")
    start, end = call.parameters.whole("startTime"), call.parameters.whole("endTime")
    call.parameters.text("timeZone")
    limit = call.parameters.limit(default=500, largest=1000)
    call.parameters.refuse_unread()
    call.exchange.engine.book(symbol)
    interval = INTERVALS.get(name)
    source, clock = call.exchange.source, call.exchange.clock
    if interval is None or interval not in clock.candles[symbol].intervals:
        raise ApiError(-1120, "Invalid interval.")
    if not clock.is_open:
        # No candles would be taken for a market without any.
        raise overloaded()
    await call.exchange.durable()
    now = clock.now
    first, last = start or 0, _FAR if end is None else end
    # A candle is closed when the market has left it, not when its last trade has happened.
    newest_closed = now // interval * interval - interval
    closed = source.closed(symbol, interval, first=first, last=min(last, newest_closed), limit=limit, forward=start is not None)
    rows = [kline_row(bar, interval) for bar in closed.bars()]
    forming = clock.current_candle(symbol, interval)
    if forming is not None and first <= forming.open_time <= last and (start is None or len(rows) < limit):
        rows = [*rows, kline_row(forming, interval)][-limit:]
    return rows


async def depth(call: Call) -> dict[str, Any]:
    """Return bids and offers."""
    symbol, count = call.parameters.symbol(), call.parameters.limit(default=100, largest=5000)
    call.parameters.refuse_unread()
    book = call.exchange.engine.book(symbol)
    await call.exchange.durable()
    exchange = call.exchange
    return exchange.depths.snapshot(book, exchange.engine.tape.last_id[symbol], count)


async def trades(call: Call) -> list[dict[str, Any]]:
    """Return recent public trades."""
    symbol, count = call.parameters.symbol(), call.parameters.limit(default=500, largest=1000)
    call.parameters.refuse_unread()
    call.exchange.engine.book(symbol)
    await call.exchange.durable()
    return [trade_row(item) for item in call.exchange.engine.tape.recent(symbol, count)]


async def aggregate_trades(call: Call) -> list[dict[str, Any]]:
    """Return recent public trades, aggregated."""
    parameters = call.parameters
    symbol, from_id = parameters.symbol(), parameters.whole("fromId")
    start, end = parameters.whole("startTime") or 0, parameters.whole("endTime")
    count = parameters.limit(default=500, largest=1000)
    parameters.refuse_unread()
    call.exchange.engine.book(symbol)
    await call.exchange.durable()
    items = [
        item
        for item in call.exchange.engine.tape.recent(symbol, 1000)
        if item.trade_id >= (from_id or 0) and start <= item.time <= (_FAR if end is None else end)
    ]
    chosen = items[:count] if from_id is not None or start else items[-count:]
    return [aggregate_row(item) for item in chosen]


async def ticker_day(call: Call) -> Any:
    """Return the last 24 hours."""
    books, one = _books(call)
    await call.exchange.durable()
    engine, source = call.exchange.engine, call.exchange.source
    rows = [day_ticker(source, book, engine.now, engine.tape.last_id[book.listing.symbol]) for book in books]
    return rows[0] if one else rows


async def ticker_price(call: Call) -> Any:
    """Return the last price."""
    books, one = _books(call)
    await call.exchange.durable()
    rows = [{"symbol": book.listing.symbol, "price": text(book.price)} for book in books]
    return rows[0] if one else rows


async def ticker_book(call: Call) -> Any:
    """Return the best bid and offer."""
    books, one = _books(call)
    await call.exchange.durable()
    rows = [_best(book) for book in books]
    return rows[0] if one else rows


async def average_price(call: Call) -> dict[str, Any]:
    """Return the price that filters compare with."""
    symbol = call.parameters.symbol()
    call.parameters.refuse_unread()
    book = call.exchange.engine.book(symbol)
    await call.exchange.durable()
    return {"mins": 5, "price": text(book.price), "closeTime": call.exchange.engine.now}


def _best(book: SymbolBook) -> dict[str, str]:
    size = text(shown_depth(book))
    return {
        "symbol": book.listing.symbol,
        "bidPrice": text(book.bid),
        "bidQty": size,
        "askPrice": text(book.ask),
        "askQty": size,
    }


def _books(call: Call) -> tuple[list[SymbolBook], bool]:
    one = "symbol" in call.parameters
    symbols = _symbols(call)
    call.parameters.text("type")
    call.parameters.refuse_unread()
    return [call.exchange.engine.books[symbol] for symbol in symbols], one


def _symbols(call: Call) -> list[str]:
    """Read `symbol` or `symbols`, a JSON list; neither means all."""
    books = call.exchange.engine.books
    one, several = call.parameters.optional_symbol(), call.parameters.text("symbols")
    if one is not None and several is not None:
        raise ApiError(-1128, "Combination of optional parameters invalid.")
    if several is None:
        chosen = list(books) if one is None else [one]
    else:
        try:
            chosen = json.loads(several)
        except (ValueError, RecursionError):
            raise illegal_characters("symbols", r"^\[(\"[A-Z0-9-_.]{1,20}\"(,\"[A-Z0-9-_.]{1,20}\"){0,}){0,1}\]$") from None
        if not isinstance(chosen, list) or not chosen or not all(isinstance(name, str) for name in chosen):
            raise missing_parameter("symbols")
    if any(name not in books for name in chosen):
        raise invalid_symbol()
    return chosen


def _depth_weight(sent: Mapping[str, str]) -> int:
    asked = sent.get("limit", "")
    # What is no number is weighed like the default, and refused later.
    count = int(asked) if _COUNT.fullmatch(asked) else 100
    return next((weight for most, weight in ((100, 5), (500, 25), (1000, 50)) if count <= most), 250)


ENDPOINTS: Final = {
    ("GET", "/api/v3/ping"): Endpoint(ping, fixed(1)),
    ("GET", "/api/v3/time"): Endpoint(server_time, fixed(1)),
    ("GET", "/api/v3/exchangeInfo"): Endpoint(exchange_info, fixed(20)),
    ("GET", "/api/v3/klines"): Endpoint(klines, fixed(2)),
    ("GET", "/api/v3/depth"): Endpoint(depth, _depth_weight),
    ("GET", "/api/v3/trades"): Endpoint(trades, fixed(25)),
    ("GET", "/api/v3/aggTrades"): Endpoint(aggregate_trades, fixed(4)),
    ("GET", "/api/v3/avgPrice"): Endpoint(average_price, fixed(2)),
    ("GET", "/api/v3/ticker/24hr"): Endpoint(ticker_day, by_symbol(2, 80)),
    ("GET", "/api/v3/ticker/price"): Endpoint(ticker_price, by_symbol(2, 4)),
    ("GET", "/api/v3/ticker/bookTicker"): Endpoint(ticker_book, by_symbol(2, 4)),
}
