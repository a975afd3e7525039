"""A WebSocket connection: one writer, pings every twenty seconds, cut when nobody answers."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import WSMsgType, web

from venue.hub import Hub, Listener

PING_SECONDS: Final = 20.0
MESSAGE_BYTES_MAX: Final = 1 << 20


async def serve(
    request: web.Request, hub: Hub, listener: Listener, on_message: Callable[[str], Awaitable[None]]
) -> web.WebSocketResponse:
    """Run a connection until it ends: answer what comes in, pass on what the hub has."""
    socket = web.WebSocketResponse(heartbeat=PING_SECONDS, max_msg_size=MESSAGE_BYTES_MAX, compress=False)
    await socket.prepare(request)
    writer = asyncio.create_task(_write(socket, listener))
    try:
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                await on_message(message.data)
            elif message.type in (WSMsgType.ERROR, WSMsgType.BINARY):
                break
    finally:
        hub.drop(listener)
        writer.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await writer
    return socket


async def _write(socket: web.WebSocketResponse, listener: Listener) -> None:
    while (message := await listener.queue.get()) is not None:
        try:
            await socket.send_str(message)
        except ConnectionError:
            return
    await socket.close(code=1008, message=b"Too slow")
