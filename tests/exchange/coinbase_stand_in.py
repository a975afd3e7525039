"""A stand-in for the endpoints of Coinbase that ccxt calls: shapes as documented, prices of our own."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from aiohttp import WSMsgType, web

from tests.exchange.coinbase_accounts import Accounts, Refused

PRODUCT = "BTC-USD"
PREFIX = "/api/v3/brokerage/"


@dataclass
class CoinbaseStandIn:
    """What it answers, and how it misbehaves when it is told to."""

    port: int = 0
    bid: float = 64_000.0
    status: int = 200
    unknown: list[str] = field(default_factory=list)
    sockets: list[web.WebSocketResponse] = field(default_factory=list)
    # Sockets that follow an account, with the number of their next message.
    ears: list[tuple[str, web.WebSocketResponse]] = field(default_factory=list)
    sequences: dict[web.WebSocketResponse, int] = field(default_factory=dict)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.accounts = Accounts(PRODUCT, lambda: (Decimal(str(self.bid)), Decimal(str(self.bid + 1))), self._tell_account)

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
        if path == f"{PREFIX}time":
            return web.json_response({"iso": _iso(), "epochSeconds": str(int(time.time())), "epochMillis": str(_now_ms())})
        if path.startswith(PREFIX) and not path.startswith(f"{PREFIX}market/"):
            try:
                return await self.accounts.answer(request, path.removeprefix(PREFIX))
            except Refused as error:
                words = {"error": error.error, "message": error.message, "error_details": error.message}
                return web.json_response(words, status=error.status)
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
                if asked["channel"] in ("user", "heartbeats"):
                    await self._follow(socket, asked)
                    continue
                task = asyncio.create_task(self._tell(socket, asked["channel"]))
                task.add_done_callback(lambda _done: None)
        return socket

    async def _follow(self, socket: web.WebSocketResponse, asked: dict[str, Any]) -> None:
        try:
            if asked["channel"] == "user":
                self.ears.append((self.accounts.signed(asked["jwt"]).key, socket))
        except Refused:
            await socket.send_json({"type": "error", "message": "authentication failure"})
            return
        await self._send(socket, "subscriptions", {"subscriptions": {asked["channel"]: []}})

    def _tell_account(self, key: str, event: dict[str, Any]) -> None:
        for ear, socket in self.ears:
            if ear == key and not socket.closed:
                task = asyncio.create_task(self._send(socket, "user", event))
                self.tasks.add(task)
                task.add_done_callback(self.tasks.discard)

    async def _send(self, socket: web.WebSocketResponse, channel: str, event: dict[str, Any]) -> None:
        number = self.sequences.get(socket, 0)
        self.sequences[socket] = number + 1
        await socket.send_json({"channel": channel, "timestamp": _iso(), "sequence_num": number, "events": [event]})

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


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _iso() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S.000000Z", time.gmtime())
