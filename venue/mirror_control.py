"""The control address of mirrored prices: history first, then what happens, as it happens."""

import json
import time
from collections.abc import Callable
from typing import Any, Final

from aiohttp import web

from venue.amounts import IllegalAmount, TooPrecise, parse
from venue.errors import ApiError
from venue.exchange import Exchange
from venue.market.bars import Bar
from venue.market.live import bar_of, interval_of
from venue.mirror import MirrorClock, MirrorPacer

_UNREADABLE: Final = (KeyError, IndexError, TypeError, ValueError, ArithmeticError, IllegalAmount, TooPrecise)
Row = list[Any]


class MirrorControl:
    """Takes in what the process that reads the real exchange tells."""

    def __init__(self, exchange: Exchange, clock: MirrorClock, pacer: MirrorPacer) -> None:
        self._exchange = exchange
        self._clock = clock
        self._pacer = pacer
        self._events: dict[str, Callable[[Row], None]] = {
            "quote": self._quote,
            "trade": self._trade,
            "close": self._close,
            "dark": self._darken,
            "time": lambda row: self._clock.pass_time(_whole(row[1])),
        }

    def routes(self) -> list[web.RouteDef]:
        """Return what is answered where."""
        return [
            web.get("/control/mirror", self._show),
            web.get("/control/mirror/open", self._show_open),
            web.post("/control/mirror/history", self._learn),
            web.post("/control/mirror/open", self._open),
            web.post("/control/mirror", self._hear),
        ]

    async def _show(self, _request: web.Request) -> web.Response:
        return web.json_response(self._state())

    async def _show_open(self, _request: web.Request) -> web.Response:
        return web.json_response(self._state(), status=200 if self._clock.is_open else 503)

    async def _learn(self, request: web.Request) -> web.Response:
        body = await self._read(request)
        try:
            symbol, interval = self._symbol(body["symbol"]), interval_of(body["interval"])
            bars = [self._bar(symbol, _whole(row[0]), row[1:]) for row in body["rows"]]
        except _UNREADABLE as error:
            raise ApiError(400, f"these are no candles: {error}") from error
        if body.get("anew"):
            self._clock.source.forget(symbol)
        self._clock.source.learn(symbol, interval, bars)
        return web.json_response(self._state())

    async def _open(self, request: web.Request) -> web.Response:
        body = await self._read(request)
        self._clock.open_at(_whole(body.get("minute")))
        self._pacer.begin_minute()
        await self._exchange.durable()
        return web.json_response(self._state())

    async def _hear(self, request: web.Request) -> web.Response:
        body = await self._read(request)
        if not self._clock.is_open:
            raise ApiError(409, "the market is not open: tell its history first", status=409)
        for row in body.get("events", []):
            try:
                self._events[row[0]](row)
            except _UNREADABLE as error:
                raise ApiError(400, f"{str(row)[:120]} is nothing that can happen: {error!r}") from error
        await self._exchange.durable()
        return web.json_response(self._state())

    async def _read(self, request: web.Request) -> dict[str, Any]:
        try:
            body = json.loads(await request.text())
        except (ValueError, RecursionError, LookupError):
            raise ApiError(400, "the body must be JSON") from None
        if not isinstance(body, dict):
            raise ApiError(400, "the body must be a JSON object")
        if body.get("session") != self._clock.session:
            raise ApiError(409, "this exchange has started anew: tell its history first", status=409)
        self._clock.heard_at = time.monotonic()
        return body

    def _state(self) -> dict[str, Any]:
        clock = self._clock
        listed = {symbol: [book.listing.base, book.listing.quote] for symbol, book in self._exchange.engine.books.items()}
        return {
            "session": clock.session,
            "open": clock.is_open,
            "minute": clock.position.bar_open,
            "dark": clock.dark,
            "symbols": listed,
        }

    def _quote(self, row: Row) -> None:
        symbol, tick = self._symbol(row[1]), self._exchange.engine.books[row[1]].listing.tick
        bid, ask = parse(row[2]) // tick * tick, -(-parse(row[3]) // tick) * tick
        self._clock.quote(symbol, bid, ask)

    def _trade(self, row: Row) -> None:
        symbol, tick = self._symbol(row[1]), self._exchange.engine.books[row[1]].listing.tick
        price, quantity = (parse(row[2]) + tick // 2) // tick * tick, parse(row[3])
        if price and quantity:
            self._clock.trade(symbol, price, quantity, _whole(row[4]), buyer_is_maker=bool(row[5]))

    def _close(self, row: Row) -> None:
        minute = _whole(row[1])
        bars = {self._symbol(name): self._bar(name, minute, values) for name, values in row[2].items()}
        self._clock.close_minute(minute, bars)
        self._pacer.begin_minute()

    def _darken(self, row: Row) -> None:
        self._clock.darken([self._symbol(name) for name in row[1]])

    def _symbol(self, name: Any) -> str:
        if name not in self._exchange.engine.books:
            raise ValueError(f"{name!r} is not listed")
        return str(name)

    def _bar(self, symbol: str, open_time: int, values: Any) -> Bar:
        return bar_of(open_time, values, self._exchange.engine.books[symbol].listing.tick)


def _whole(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ApiError(400, f"{value!r} is no moment")
    return value
