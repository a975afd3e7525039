"""A stand-in for the endpoints of Coinbase that ccxt calls to read its public market: shapes as documented, prices of our own."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import WSMsgType, web

PRODUCT = "BTC-USD"


@dataclass
class CoinbaseStandIn:
    """What it answers, and how it misbehaves when it is told to."""

    port: int = 0
    bid: float = 64_000.0
    status: int = 200
    unknown: list[str] = field(default_factory=list)
    sockets: list[web.WebSocketResponse] = field(default_factory=list)

    @property
    def addresses(self) -> dict[str, str]:
        return {"rest": f"http://127.0.0.1:{self.port}", "ws": f"ws://127.0.0.1:{self.port}/ws"}

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer every path."""
        path = request.path
        if path == "/ws":
            return await self._stream(request)
        if self.status != 200:
            return web.json_response({"error": "RESOURCE_EXHAUSTED", "message": "too many"}, status=self.status)
        if path == "/api/v3/brokerage/market/products":
            is_spot = request.query.get("product_type") in (None, "SPOT")
            return web.json_response({"products": [self._product()] if is_spot else [], "num_products": int(is_spot)})
        if path == f"/api/v3/brokerage/market/products/{PRODUCT}/candles":
            return web.json_response({"candles": self._candles(request)})
        if path == "/api/v3/brokerage/market/product_book":
            return web.json_response({"pricebook": {"product_id": PRODUCT, **self._book(), "time": _iso()}})
        if path in ("/v2/currencies", "/v2/currencies/crypto"):
            return web.json_response({"data": []})
        if path == "/v2/exchange-rates":
            return web.json_response({"data": {"currency": "USD", "rates": {"BTC": "0.0000156", "USD": "1.0"}}})
        self.unknown.append(path)
        return web.json_response({"error": "NOT_FOUND", "message": path}, status=404)

    async def _stream(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.sockets.append(socket)
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                asked = json.loads(message.data)
                task = asyncio.create_task(self._tell(socket, asked["channel"]))
                task.add_done_callback(lambda _done: None)
        return socket

    async def _tell(self, socket: web.WebSocketResponse, channel: str) -> None:
        number = 0
        while not socket.closed:
            number += 1
            ticker = {"type": "ticker", "product_id": PRODUCT, "price": str(self.bid), "best_bid": str(self.bid)}
            ticker |= {"best_ask": str(self.bid + 1), "best_bid_quantity": "1", "best_ask_quantity": "2"}
            trade = {
                "trade_id": str(number),
                "product_id": PRODUCT,
                "price": str(self.bid),
                "size": "0.5",
                "side": "BUY",
                "time": _iso(),
            }
            event: dict[str, Any] = (
                {"type": "update", "tickers": [ticker]} if channel == "ticker" else {"type": "update", "trades": [trade]}
            )
            head = {"channel": channel, "client_id": "", "timestamp": _iso(), "sequence_num": number}
            await socket.send_json(head | {"events": [event]})
            await asyncio.sleep(0.05)

    def _product(self) -> dict[str, Any]:
        known = {"product_id": PRODUCT, "price": str(self.bid), "base_increment": "0.00000001", "quote_increment": "0.01"}
        known |= {"base_min_size": "0.0001", "base_max_size": "3400", "quote_min_size": "1", "quote_max_size": "1000000"}
        known |= {"base_name": "Bitcoin", "quote_name": "US Dollar", "base_currency_id": "BTC", "quote_currency_id": "USD"}
        flags = {"is_disabled": False, "trading_disabled": False, "cancel_only": False, "view_only": False, "status": "online"}
        return known | flags | {"product_type": "SPOT", "price_increment": "0.01", "base_display_symbol": "BTC"}

    def _candles(self, request: web.Request) -> list[dict[str, str]]:
        begin, end = (int(request.query[name]) for name in ("start", "end"))
        starts = range(-(-begin // 60) * 60, min(end, int(time.time())) + 1, 60)
        rows = [
            {"start": str(at), "low": "63990", "high": "64010", "open": "64000", "close": "64001", "volume": "2.5"}
            for at in starts
        ]
        # The newest first, as Coinbase does.
        return rows[::-1][:350]

    def _book(self) -> dict[str, Any]:
        return {"bids": [{"price": str(self.bid), "size": "1"}], "asks": [{"price": str(self.bid + 1), "size": "2"}]}


@asynccontextmanager
async def serving() -> AsyncIterator[CoinbaseStandIn]:
    stand_in = CoinbaseStandIn()
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", stand_in.answer)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    stand_in.port = runner.addresses[0][1]
    try:
        yield stand_in
    finally:
        for socket in stand_in.sockets:
            await socket.close()
        await runner.cleanup()


def _iso() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S.000000Z", time.gmtime())
