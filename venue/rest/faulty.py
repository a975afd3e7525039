"""The gate while faults are armed: what a request suffers before it is answered, and its answer after that."""

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable
from typing import Any, Final

from aiohttp import web

from venue.errors import ApiError, no_such_order
from venue.exchange import Exchange
from venue.faults.answers import Answer, page
from venue.faults.book import Moment
from venue.faults.requests import Verdict, edited, judge, remember
from venue.faults.sight import LISTS, visible
from venue.parameters import read_pairs

KEY_HEADER: Final = "X-MBX-APIKEY"
HUGE_BYTES: Final = 200_000_000
_CHUNK: Final = b'"' + b"x" * 65_000 + b'",'
_CLIENT_IDS: Final = ("origClientOrderId", "newClientOrderId", "cancelOrigClientOrderId")

Ordinary = Callable[[web.Request], Awaitable[web.Response]]


async def answer(exchange: Exchange, request: web.Request, body: str, ordinary: Ordinary) -> web.StreamResponse:
    """Answer a request as the armed rules have it; `ordinary` is how it is answered without any."""
    moment = _moment(exchange, request, body)
    exchange.world.act_on(moment)
    verdict = judge(exchange.faults, moment)
    await asyncio.sleep(verdict.wait_before)
    if verdict.cut_before is not None:
        return await _cut(request, verdict.cut_before)
    if verdict.instead is not None:
        return _given(verdict.instead)
    response = await ordinary(request)
    response = _disturbed(exchange, verdict, moment, response)
    await asyncio.sleep(verdict.wait_after)
    if verdict.cut_after is not None:
        return await _cut(request, verdict.cut_after)
    if verdict.in_place is not None:
        return _given(verdict.in_place)
    if verdict.mangle is not None:
        return await _mangled(request, response, verdict.mangle)
    return response


def moment_of(exchange: Exchange, endpoint: str, key: str, values: dict[str, str]) -> Moment:
    """Describe a request for the rules."""
    caller = exchange.by_key.get(key)
    client_id = next((values[name] for name in _CLIENT_IDS if values.get(name)), "")
    account = {} if caller is None else {"uid": caller.account.uid, "account": caller.account.name}
    return Moment(endpoint=endpoint, symbol=values.get("symbol", ""), client_id=client_id, **account)  # type: ignore[arg-type]


def disturbed(exchange: Exchange, verdict: Verdict, moment: Moment, result: Any) -> Any:
    """Return a good answer as the rules have it: rows out of sight, edited, swapped. Raises if nothing is left to see."""
    place = LISTS.get(moment.endpoint)
    if place is not None:
        result = visible(exchange, moment, place, result)
        if result is None:
            raise no_such_order()
    if verdict.edits:
        result = edited(result, verdict.edits, moment)
    remember(exchange.faults, moment, result)
    return result


def _disturbed(exchange: Exchange, verdict: Verdict, moment: Moment, response: web.Response) -> web.Response:
    if response.status != 200 or response.text is None:
        return response
    try:
        result = disturbed(exchange, verdict, moment, json.loads(response.text))
    except ApiError as error:
        response.set_status(error.status)
        result = error.body()
    response.text = json.dumps(result, separators=(",", ":"))
    return response


def _moment(exchange: Exchange, request: web.Request, body: str) -> Moment:
    values: dict[str, str] = {}
    with contextlib.suppress(ApiError):
        values = read_pairs(request.raw_path.partition("?")[2], body)
    return moment_of(exchange, f"{request.method} {request.path}", request.headers.get(KEY_HEADER, ""), values)


async def _cut(request: web.Request, hang_seconds: float) -> web.Response:
    """Say nothing for a while, then end the connection without an answer."""
    await asyncio.sleep(hang_seconds)
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


def _given(made: Answer) -> web.Response:
    return web.Response(status=made.status, text=made.body, content_type=made.content_type, headers=made.headers)


async def _mangled(request: web.Request, response: web.Response, words: dict[str, Any]) -> web.StreamResponse:
    """Spoil an answer on the wire; what was asked for has been done."""
    text, how = response.text or "", words["how"]
    if how == "drip":
        return await _drip(request, text.encode(), words.get("seconds", 1.0))
    if how == "huge":
        return await _huge(request, words.get("bytes", HUGE_BYTES))
    if how == "html":
        return _given(page(200, {}))
    if how == "bad_gzip":
        headers = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
        return web.Response(body=b"\x1f\x8b\x08\x00" + text.encode()[: words.get("bytes", 64)], headers=headers)
    response.text = {"cut": text[: words.get("bytes", len(text) // 2)], "empty": "", "not_json": f"<<{text}"}[how]
    return response


async def _drip(request: web.Request, body: bytes, seconds: float) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": str(len(body))})
    await response.prepare(request)
    with contextlib.suppress(ConnectionError):
        for number in range(len(body)):
            await response.write(body[number : number + 1])
            await asyncio.sleep(seconds)
    return response


async def _huge(request: web.Request, size: int) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    await response.prepare(request)
    with contextlib.suppress(ConnectionError):
        await response.write(b"[")
        for _ in range(size // len(_CHUNK)):
            await response.write(_CHUNK)
        await response.write(b'""]')
    return response
