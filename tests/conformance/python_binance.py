"""python-binance 1.0.37, unmodified but for its addresses."""

from __future__ import annotations

import asyncio
from typing import Any

from binance import AsyncClient, BinanceSocketManager
from binance.exceptions import BinanceAPIException
from binance.ws.constants import WSListenerState

from tests.conformance.protocol import Addresses, Keys, Refused

CALLS = {
    "ping": "ping",
    "time": "get_server_time",
    "exchangeInfo": "get_exchange_info",
    "depth": "get_order_book",
    "trades": "get_recent_trades",
    "aggTrades": "get_aggregate_trades",
    "klines": "get_klines",
    "avgPrice": "get_avg_price",
    "ticker/24hr": "get_ticker",
    "ticker/price": "get_symbol_ticker",
    "ticker/bookTicker": "get_orderbook_ticker",
    "newOrder": "create_order",
    "order/test": "create_test_order",
    "order": "get_order",
    "cancelOrder": "cancel_order",
    "cancelOpenOrders": "cancel_all_open_orders",
    "openOrders": "get_open_orders",
    "allOrders": "get_all_orders",
    "myTrades": "get_my_trades",
    "account": "get_account",
    "rateLimit/order": "get_current_order_count",
}
METHODS = {
    "order.place": "ws_create_order",
    "order.test": "ws_create_test_order",
    "order.status": "ws_get_order",
    "order.cancel": "ws_cancel_order",
    "openOrders.status": "ws_get_open_orders",
    "openOrders.cancelAll": "ws_cancel_all_open_orders",
    "allOrders": "ws_get_all_orders",
    "myTrades": "ws_get_my_trades",
    "account.status": "ws_get_account",
    "exchangeInfo": "ws_get_exchange_info",
    "time": "ws_get_time",
    "ping": "ws_ping",
    "depth": "ws_get_order_book",
    "klines": "ws_get_klines",
}
STREAMS = {
    "kline": "kline_socket",
    "trade": "trade_socket",
    "aggTrade": "aggtrade_socket",
    "bookTicker": "symbol_book_ticker_socket",
    "miniTicker": "symbol_miniticker_socket",
}


class PythonBinance:
    """The community's client."""

    def __init__(self, addresses: Addresses, keys: Keys) -> None:
        self._client = AsyncClient(keys.key, keys.secret)
        self._client.API_URL = f"{addresses.rest}/api"
        self._client.MARGIN_API_URL = f"{addresses.rest}/sapi"
        self._client.ws_api._url = addresses.socket
        self._streams = addresses.streams + "/"
        self._sockets: list[Any] = []
        self._is_open = True
        self._readers: list[asyncio.Task[None]] = []

    async def ask(self, call: str, **parameters: Any) -> Any:
        """Call an endpoint by the client's own method for it."""
        return await _told(getattr(self._client, CALLS[call])(**parameters))

    async def ask_raw(self, method: str, path: str, parameters: dict[str, Any], *, clock_offset_ms: int = 0) -> Any:
        """Send any signed request; the clock is wrong by the offset."""
        door = {"GET": self._client._get, "POST": self._client._post, "DELETE": self._client._delete}[method]
        self._client.timestamp_offset = clock_offset_ms
        try:
            return await _told(door(path.removeprefix("/api/v3/"), True, data=dict(parameters)))
        finally:
            self._client.timestamp_offset = 0

    async def ask_socket(self, method: str, **parameters: Any) -> Any:
        """Call a method of the WebSocket API."""
        return await _told(getattr(self._client, METHODS[method])(**parameters))

    async def user_events(self) -> asyncio.Queue[dict[str, Any]]:
        """Subscribe to the user stream; return where its events arrive."""
        return await self._follow(BinanceSocketManager(self._client).user_socket())

    async def market_events(self, stream: str, **parameters: Any) -> asyncio.Queue[dict[str, Any]]:
        """Subscribe to a market stream; return where its events arrive."""
        manager = BinanceSocketManager(self._client)
        manager.STREAM_URL = self._streams
        return await self._follow(getattr(manager, STREAMS[stream])(**parameters))

    async def close(self) -> None:
        """Close all connections."""
        self._is_open = False
        for reader in self._readers:
            reader.cancel()
        await asyncio.gather(*self._readers, return_exceptions=True)
        for socket in (*self._sockets, self._client.ws_api):
            await _hang_up(socket)
        await self._client.session.close()

    async def _follow(self, socket: Any) -> asyncio.Queue[dict[str, Any]]:
        events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        await socket.connect()
        self._sockets.append(socket)

        async def read() -> None:
            # A flag as well: this client's recv() may swallow a cancellation.
            while self._is_open:
                events.put_nowait(await socket.recv())

        self._readers.append(asyncio.create_task(read()))
        return events


async def _hang_up(socket: Any) -> None:
    """Close a socket from its end: this client itself leaves only when ten seconds went by without a message."""
    socket.ws_state = WSListenerState.EXITING
    if socket.ws is not None:
        await socket.ws.close()


async def _told(answer: Any) -> Any:
    try:
        return await answer
    except BinanceAPIException as error:
        raise Refused(status=error.status_code, code=error.code, message=error.message) from error
