"""A WebSocket connection: one writer, pings, cut when nobody answers, when it talks too much, or after a day."""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import WSMsgType, web

from venue.faults.book import Faults, Moment
from venue.faults.catalogue import CONNECTION
from venue.faults.conditions import Conditions
from venue.hub import Hub, Listener

MESSAGE_BYTES_MAX: Final = 1 << 20
_COUNTED_SECONDS: Final = 1.0


async def serve(
    request: web.Request,
    hub: Hub,
    listener: Listener,
    on_message: Callable[[str], Awaitable[None]],
    *,
    conditions: Conditions,
    is_limited: bool = False,
) -> web.WebSocketResponse:
    """Run a connection until it ends: answer what comes in, pass on what the hub has."""
    socket = web.WebSocketResponse(heartbeat=conditions.ping_seconds or None, max_msg_size=MESSAGE_BYTES_MAX, compress=False)
    await socket.prepare(request)
    writer = asyncio.create_task(_write(socket, listener))
    end = asyncio.get_running_loop().call_later(conditions.life_seconds, listener.end)
    heard: deque[float] = deque(maxlen=conditions.messages_per_second)
    try:
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                if is_limited and _is_too_much(heard):
                    await socket.close(code=1008, message=b"Too many requests")
                    break
                await on_message(message.data)
            elif message.type in (WSMsgType.ERROR, WSMsgType.BINARY):
                break
    finally:
        end.cancel()
        hub.drop(listener)
        writer.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await writer
    return socket


def is_refused(request: web.Request, faults: Faults) -> bool:
    """Cut a connection that a fault does not let in."""
    if not faults.on_connections:
        return False
    moment = Moment(endpoint=f"GET {request.path}")
    if not faults.lasting("refuse_connections", moment) and not faults.ask(CONNECTION, moment):
        return False
    if request.transport is not None:
        request.transport.abort()
    return True


def _is_too_much(heard: deque[float]) -> bool:
    now = time.monotonic()
    is_full = len(heard) == heard.maxlen
    is_too_much = is_full and now - heard[0] < _COUNTED_SECONDS
    heard.append(now)
    return is_too_much


async def _write(socket: web.WebSocketResponse, listener: Listener) -> None:
    while (message := await listener.queue.get()) is not None:
        try:
            await socket.send_str(message)
        except ConnectionError:
            return
    await socket.close(code=1008, message=b"Disconnected")
