"""binance-sdk-spot 13.2.0, the exchange's own client, unmodified but for its addresses.

It parses every answer into strictly typed models and complains in the log when an answer does not fit; the suite fails on
such a complaint.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from binance_common import errors
from binance_common.configuration import ConfigurationRestAPI, ConfigurationWebSocketAPI, ConfigurationWebSocketStreams
from binance_common.utils import send_request
from binance_sdk_spot.spot import Spot
from pydantic import BaseModel

from tests.conformance.protocol import Addresses, Keys, Refused

CALLS = {
    "ping": "ping",
    "time": "time",
    "exchangeInfo": "exchange_info",
    "depth": "depth",
    "trades": "get_trades",
    "aggTrades": "agg_trades",
    "klines": "klines",
    "avgPrice": "avg_price",
    "ticker/24hr": "ticker24hr",
    "ticker/price": "ticker_price",
    "ticker/bookTicker": "ticker_book_ticker",
    "newOrder": "new_order",
    "order/test": "order_test",
    "order": "get_order",
    "cancelOrder": "delete_order",
    "cancelOpenOrders": "delete_open_orders",
    "openOrders": "get_open_orders",
    "allOrders": "all_orders",
    "myTrades": "my_trades",
    "account": "get_account",
    "rateLimit/order": "rate_limit_order",
}
METHODS = {
    "order.place": "order_place",
    "order.test": "order_test",
    "order.status": "order_status",
    "order.cancel": "order_cancel",
    "openOrders.status": "open_orders_status",
    "openOrders.cancelAll": "open_orders_cancel_all",
    "allOrders": "all_orders",
    "myTrades": "my_trades",
    "account.status": "account_status",
    "exchangeInfo": "exchange_info",
    "time": "time",
    "ping": "ping",
    "depth": "depth",
    "klines": "klines",
}
STREAMS = {"kline": "kline", "trade": "trade", "aggTrade": "agg_trade", "bookTicker": "book_ticker", "miniTicker": "mini_ticker"}
STATUSES: dict[type[Exception], int] = {
    errors.BadRequestError: 400,
    errors.UnauthorizedError: 401,
    errors.ForbiddenError: 403,
    errors.NotFoundError: 404,
    errors.RateLimitBanError: 418,
    errors.TooManyRequestsError: 429,
}
TIMEOUT_MS = 10_000
EXTRA = "additional_properties"


class OfficialSdk:
    """The exchange's own client."""

    def __init__(self, addresses: Addresses, keys: Keys) -> None:
        secrets = {"api_key": keys.key, "api_secret": keys.secret}
        self._client = Spot(
            ConfigurationRestAPI(**secrets, base_path=addresses.rest, timeout=TIMEOUT_MS, retries=0),
            ConfigurationWebSocketAPI(**secrets, stream_url=addresses.socket, timeout=TIMEOUT_MS),
            ConfigurationWebSocketStreams(stream_url=f"{addresses.streams}/stream"),
        )
        self._socket: Any = None
        self._streams: list[Any] = []

    async def ask(self, call: str, **parameters: Any) -> Any:
        """Call an endpoint by the client's own method for it."""
        return await _told(getattr(self._client.rest_api, CALLS[call]), **_snake(parameters))

    async def ask_raw(self, method: str, path: str, parameters: dict[str, Any], *, clock_offset_ms: int = 0) -> Any:
        """Send any signed request; the clock is wrong by the offset."""
        if clock_offset_ms:
            parameters = parameters | {"timestamp": int(time.time() * 1000) + clock_offset_ms}
        rest = self._client.rest_api
        # Its own door for this, send_signed_request, fails on itself in 13.2.0: it subscripts a function.
        return await _told(send_request, rest._session, rest.configuration, method, path, parameters, is_signed=True)

    async def ask_socket(self, method: str, **parameters: Any) -> Any:
        """Call a method of the WebSocket API."""
        connection = await self._connection()
        answer = _plain((await getattr(connection, METHODS[method])(**_snake(parameters))).data())
        if answer.get("error"):
            error = answer["error"]
            # This client keeps the status of an answer only when it succeeded.
            raise Refused(status=answer.get("status") or 0, code=error["code"], message=error["msg"])
        return answer.get("result")

    async def user_events(self) -> asyncio.Queue[dict[str, Any]]:
        """Subscribe to the user stream; return where its events arrive."""
        connection = await self._connection()
        return _listen((await connection.user_data_stream_subscribe_signature()).stream)

    async def market_events(self, stream: str, **parameters: Any) -> asyncio.Queue[dict[str, Any]]:
        """Subscribe to a market stream; return where its events arrive."""
        connection = await self._client.websocket_streams.create_connection()
        self._streams.append(connection)
        return _listen(await getattr(connection, STREAMS[stream])(**_snake(parameters)))

    async def close(self) -> None:
        """Close all connections."""
        for connection in (self._socket, *self._streams):
            if connection is not None:
                await connection.close_connection(close_session=True)

    async def _connection(self) -> Any:
        if self._socket is None:
            self._socket = await self._client.websocket_api.create_connection()
        return self._socket


def _listen(stream: Any) -> asyncio.Queue[dict[str, Any]]:
    events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    stream.on("message", lambda event: events.put_nowait(_plain(event)))
    return events


async def _told(call: Callable[..., Any], *words: Any, **parameters: Any) -> Any:
    """Call the client in a thread of its own: its REST half waits."""
    try:
        answer = await asyncio.to_thread(call, *words, **parameters)
    except errors.Error as error:
        if type(error) not in STATUSES:
            raise
        said = vars(error)
        # What this client calls a status code is the code of the exchange.
        raise Refused(status=STATUSES[type(error)], code=said["status_code"], message=said["error_message"]) from error
    return _plain(answer.data())


def _snake(parameters: dict[str, Any]) -> dict[str, Any]:
    """Name parameters the way this client does."""
    return {
        "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name): value
        for name, value in parameters.items()
    }


def _plain(data: Any) -> Any:
    """Undo the models: plain JSON in the exchange's own names."""
    if isinstance(data, list):
        return [_plain(row) for row in data]
    if isinstance(data, dict):
        return {name: _plain(value) for name, value in data.items()}
    if not isinstance(data, BaseModel):
        return data
    actual = getattr(data, "actual_instance", None)
    if actual is not None:
        # Which of several models it is stands in its name only: the event's own field is dropped.
        kind = type(actual).__name__
        return _plain(actual) if isinstance(actual, dict) else {"e": kind[0].lower() + kind[1:], **_plain(actual)}
    fields = {field.alias or name: getattr(data, name) for name, field in type(data).model_fields.items() if name != EXTRA}
    named = {name: _plain(value) for name, value in fields.items() if value is not None}
    return named | getattr(data, EXTRA, {})
