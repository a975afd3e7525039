"""A proxy between trader and venue that loses requests or answers of chosen calls."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import aiohttp
from aiohttp import web

HOP_BY_HOP = {"transfer-encoding", "content-length", "connection", "content-encoding"}
# What to do with a call: pass it, lose it before or after the venue has seen it, or answer in its place.
Rule = Callable[[str, str, str], str | tuple[int, str]]


class FaultProxy:
    """Forwards HTTP in a thread of its own; `rule(method, path, body)` decides about each call."""

    def __init__(self, target_port: int, port: int) -> None:
        self.port = port
        self.rule: Rule = lambda _method, _path, _body: "pass"
        self.lost: list[str] = []
        self._target = f"http://127.0.0.1:{target_port}"
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._runner: web.AppRunner | None = None
        self._session: aiohttp.ClientSession | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(10)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)

    def lose_next(self, method: str, path: str, where: str) -> None:
        """Lose the next call of this kind `before` or `after` the venue has it."""
        left = [where]

        def rule(its_method: str, its_path: str, _body: str) -> str:
            return left.pop() if left and its_method == method and its_path.startswith(path) else "pass"

        self.rule = rule

    def answer_next(self, method: str, path: str, status: int, body: str) -> None:
        """Answer the next call of this kind without the venue."""
        left: list[tuple[int, str]] = [(status, body)]

        def rule(its_method: str, its_path: str, _body: str) -> str | tuple[int, str]:
            return left.pop() if left and its_method == method and its_path.startswith(path) else "pass"

        self.rule = rule

    async def _start(self) -> None:
        self._session = aiohttp.ClientSession()
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()

    async def _stop(self) -> None:
        assert self._session is not None
        assert self._runner is not None
        await self._session.close()
        await self._runner.cleanup()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        verdict = self.rule(request.method, request.path, body.decode())
        if isinstance(verdict, tuple):
            return web.Response(status=verdict[0], text=verdict[1])
        if verdict == "before":
            return self._lose(request)
        status, headers, content = await self._forward(request, body)
        if verdict == "after":
            return self._lose(request)
        return web.Response(status=status, headers=headers, body=content)

    async def _forward(self, request: web.Request, body: bytes) -> tuple[int, dict[str, str], bytes]:
        assert self._session is not None
        headers = {name: value for name, value in request.headers.items() if name.lower() != "host"}
        url = f"{self._target}{request.raw_path}"
        async with self._session.request(request.method, _exact(url), data=body, headers=headers) as answer:
            kept = {name: value for name, value in answer.headers.items() if name.lower() not in HOP_BY_HOP}
            return answer.status, kept, await answer.read()

    def _lose(self, request: web.Request) -> web.StreamResponse:
        self.lost.append(f"{request.method} {request.path}")
        assert request.transport is not None
        request.transport.close()
        return web.Response(status=500)


def _exact(url: str) -> Any:
    from yarl import URL

    return URL(url, encoded=True)
