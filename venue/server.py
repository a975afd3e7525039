"""The process: its listening addresses, its background work, its end."""

import asyncio
import signal
import sys
from collections.abc import Coroutine
from typing import Any, Final

from aiohttp import web

from venue.config import Options
from venue.control import Control, explain_refusals
from venue.exchange import Exchange
from venue.mirror import MirrorClock, MirrorPacer
from venue.mirror_control import MirrorControl
from venue.rest.gate import BODY_BYTES_MAX, Gate
from venue.streams import Streams
from venue.ws_api import WebSocketApi

LOOPBACK: Final = "127.0.0.1"
SHUTDOWN_SECONDS: Final = 1.0


class PortTaken(Exception):
    """An address is in use; the text says which."""


async def run(exchange: Exchange, options: Options) -> None:
    """Serve until told to stop, or until the store fails."""
    streams = Streams(exchange)
    runners = [await _listen(_public(exchange, streams), options.host, options.port)]
    if options.control_port is not None:
        runners.append(await _listen(_control(exchange), LOOPBACK, options.control_port))
    _announce(exchange, options)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    work: list[Coroutine[Any, Any, Any]] = [
        exchange.committer.run(), exchange.pacer.run(), streams.refresh(), stop.wait()
    ]  # fmt: skip
    tasks = [asyncio.ensure_future(job) for job in work]
    # The market may end; commits, streams and waiting for a signal do not.
    lasting = [tasks[0], tasks[2], tasks[3]]
    watched: set[asyncio.Future[Any]] = set(tasks)
    try:
        while not any(task.done() for task in lasting):
            done, watched = await asyncio.wait(watched, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        endings = (asyncio.wait_for(runner.cleanup(), SHUTDOWN_SECONDS) for runner in runners)
        await asyncio.gather(*endings, return_exceptions=True)
    exchange.close()


def _public(exchange: Exchange, streams: Streams) -> web.Application:
    gate, api = Gate(exchange), WebSocketApi(exchange)
    application = web.Application(client_max_size=BODY_BYTES_MAX)
    application.router.add_get("/ws", streams.plain)
    application.router.add_get("/ws/{names:.*}", streams.plain)
    application.router.add_get("/stream", streams.combined)
    application.router.add_get("/ws-api/v3", api.serve)
    application.router.add_route("*", "/{path:.*}", gate.answer)
    return application


def _control(exchange: Exchange) -> web.Application:
    application = web.Application(middlewares=[explain_refusals])
    application.router.add_routes(Control(exchange).routes())
    if isinstance(exchange.clock, MirrorClock) and isinstance(exchange.pacer, MirrorPacer):
        application.router.add_routes(MirrorControl(exchange, exchange.clock, exchange.pacer).routes())
    return application


async def _listen(application: web.Application, host: str, port: int) -> web.AppRunner:
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=SHUTDOWN_SECONDS / 2)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError as error:
        await runner.cleanup()
        raise PortTaken(f"{host}:{port} cannot be used ({error.strerror}). Choose another port.") from error
    return runner


def _announce(exchange: Exchange, options: Options) -> None:
    control = f", control on {LOOPBACK}:{options.control_port}" if options.control_port is not None else ""
    speed = f"{exchange.pace.speed:g} x"
    print(f"{exchange.source.label} at {speed} on {options.host}:{options.port}{control}", file=sys.stderr, flush=True)
