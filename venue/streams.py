"""Market streams: /ws, /ws/NAME and /stream, with SUBSCRIBE and its relatives."""

import asyncio
import json
import re
from typing import Any, Final

from aiohttp import web

from venue import sockets
from venue.exchange import Exchange
from venue.hub import Listener
from venue.journal import MarketEvent, UserEvent
from venue.market.bars import INTERVALS
from venue.ticker import day_ticker, kline_event, levels, mini_ticker

REFRESH_SECONDS: Final = 0.25
TICKER_SECONDS: Final = 1.0
_VARIANTS: Final = "`SUBSCRIBE`, `UNSUBSCRIBE`, `LIST_SUBSCRIPTIONS`, `SET_PROPERTY`, `GET_PROPERTY`"
_STREAM = re.compile(
    r"(?P<symbol>[a-z0-9\-_.]{1,20})@(?P<kind>trade|aggTrade|bookTicker|miniTicker|ticker|kline|depth)"
    r"(?:(?<=kline)_(?P<interval>[0-9]+[mhd])|(?<=depth)(?P<depth>[0-9]*))?(?:@(?P<speed>1000ms|100ms))?"
)


class Streams:
    """Serves the market streams."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._shown: dict[str, object] = {}

    async def plain(self, request: web.Request) -> web.StreamResponse:
        """Serve /ws and /ws/NAME: messages as they are."""
        names = [name for name in request.match_info.get("names", "").split("/") if name]
        return await self._serve(request, Listener(combined=False), names)

    async def combined(self, request: web.Request) -> web.StreamResponse:
        """Serve /stream?streams=A/B: messages wrapped with the name of their stream."""
        names = [name for name in request.query.get("streams", "").split("/") if name]
        return await self._serve(request, Listener(combined=True), names)

    async def refresh(self) -> None:
        """Tell, a few times a second, how unfinished candles and day tickers stand."""
        beats = 0
        while True:
            await asyncio.sleep(REFRESH_SECONDS)
            beats += 1
            await self._exchange.durable()
            with_tickers = beats % round(TICKER_SECONDS / REFRESH_SECONDS) == 0
            events: list[UserEvent | MarketEvent] = []
            names = self._exchange.hub.wanted()
            self._exchange.depths.keep(names)
            for name in names:
                event = self._current(name, with_tickers=with_tickers)
                if event is not None:
                    events.append(event)
            self._exchange.hub.stir()
            self._exchange.hub.publish(events)

    async def _serve(self, request: web.Request, listener: Listener, names: list[str]) -> web.StreamResponse:
        exchange = self._exchange
        if sockets.is_refused(request, exchange.faults):
            return web.Response()
        if len(names) > exchange.conditions.streams_max:
            return web.Response(status=400, text=f"At most {exchange.conditions.streams_max} streams a connection.")
        exchange.hub.subscribe(listener, [name for name in names if self._is_known(name)])

        async def on_message(text: str) -> None:
            listener.send(json.dumps(self._command(listener, text)))

        return await sockets.serve(request, exchange.hub, listener, on_message, conditions=exchange.conditions, is_limited=True)

    def _command(self, listener: Listener, text: str) -> dict[str, Any]:
        try:
            message = json.loads(text)
        except (ValueError, RecursionError):
            return _refusal(None, 3, "Invalid JSON: expected value at line 1 column 1")
        if not isinstance(message, dict):
            return _refusal(None, 2, "Invalid request: request must be a JSON object")
        number, method, names = message.get("id"), message.get("method"), message.get("params", [])
        if method == "LIST_SUBSCRIPTIONS":
            return {"result": list(listener.streams), "id": number}
        if method in ("SET_PROPERTY", "GET_PROPERTY"):
            return self._property(listener, method, names, number)
        if method not in ("SUBSCRIBE", "UNSUBSCRIBE"):
            return _refusal(number, 2, f"Invalid request: unknown variant `{method}`, expected one of {_VARIANTS}")
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            return _refusal(number, 2, "Invalid request: params must be a list of streams")
        if method == "UNSUBSCRIBE":
            self._exchange.hub.unsubscribe(listener, names)
            return {"result": None, "id": number}
        most = self._exchange.conditions.streams_max
        if len(listener.streams) + len(names) > most:
            return _refusal(number, 1, f"Invalid value: at most {most} streams a connection")
        # Like the exchange: a stream that does not exist is accepted and stays silent.
        self._exchange.hub.subscribe(listener, names)
        return {"result": None, "id": number}

    def _property(self, listener: Listener, method: str, values: Any, number: Any) -> dict[str, Any]:
        if not isinstance(values, list) or values[:1] != ["combined"]:
            return _refusal(number, 0, "Unknown property")
        if method == "GET_PROPERTY":
            return {"result": listener.combined, "id": number}
        if len(values) != 2 or not isinstance(values[1], bool):
            return _refusal(number, 1, "Invalid value type: expected Boolean")
        listener.combined = values[1]
        return {"result": None, "id": number}

    def _is_known(self, name: str) -> bool:
        match = _STREAM.fullmatch(name)
        return match is not None and match["symbol"].upper() in self._exchange.engine.books

    def _current(self, name: str, *, with_tickers: bool) -> MarketEvent | None:
        """Return what a stream of states has to say, if it has changed."""
        match = _STREAM.fullmatch(name)
        if match is None or match["symbol"].upper() not in self._exchange.engine.books:
            return None
        symbol, kind = match["symbol"].upper(), match["kind"]
        if kind == "kline":
            return self._candle(name, symbol, match["interval"])
        if kind == "depth":
            return self._depth(name, symbol, match["depth"])
        exchange = self._exchange
        now, book = exchange.engine.now, exchange.engine.books[symbol]
        if not with_tickers or self._shown.get(name) == (now, book.price):
            return None
        self._shown[name] = (now, book.price)
        if kind == "miniTicker":
            return mini_ticker(exchange.source, symbol, now)
        if kind == "ticker":
            day = day_ticker(exchange.source, book, now, exchange.engine.tape.last_id[symbol])
            return MarketEvent(name, _ticker_event(day, now))
        return None

    def _candle(self, name: str, symbol: str, interval: str | None) -> MarketEvent | None:
        length = INTERVALS.get(interval or "", 0)
        clock = self._exchange.clock
        if length not in clock.candles[symbol].intervals:
            return None
        bar = clock.current_candle(symbol, length)
        if bar is None or self._shown.get(name) == bar:
            return None
        self._shown[name] = bar
        return kline_event(symbol, length, bar, is_closed=False, at=clock.now)

    def _depth(self, name: str, symbol: str, count: str | None) -> MarketEvent | None:
        book, last_id = self._exchange.engine.books[symbol], self._exchange.engine.tape.last_id[symbol]
        if count:
            bids, asks = levels(book, int(count))
            return MarketEvent(name, {"lastUpdateId": last_id, "bids": bids, "asks": asks})
        changes = self._exchange.depths.changes(book, last_id, stream=name)
        if changes is None:
            return None
        return MarketEvent(name, {"e": "depthUpdate", "E": self._exchange.engine.now, "s": symbol} | changes)


def _ticker_event(day: dict[str, Any], now: int) -> dict[str, Any]:
    names = {
        "s": "symbol", "p": "priceChange", "P": "priceChangePercent", "w": "weightedAvgPrice", "x": "prevClosePrice",
        "c": "lastPrice", "Q": "lastQty", "b": "bidPrice", "B": "bidQty", "a": "askPrice", "A": "askQty",
        "o": "openPrice", "h": "highPrice", "l": "lowPrice", "v": "volume", "q": "quoteVolume", "O": "openTime",
        "C": "closeTime", "F": "firstId", "L": "lastId", "n": "count",
    }  # fmt: skip
    return {"e": "24hrTicker", "E": now} | {short: day[name] for short, name in names.items()}


def _refusal(number: Any, code: int, message: str) -> dict[str, Any]:
    return {"error": {"code": code, "msg": message}, "id": number}
