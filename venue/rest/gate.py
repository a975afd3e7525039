"""The one way into the exchange over HTTP: weigh, recognise, check, answer.

Every REST request passes through `answer`; while faults about requests are armed it goes by way of `faulty`.
"""

import json
import time
from typing import Final

from aiohttp import web

from venue.errors import ApiError, illegal_text, missing_parameter
from venue.exchange import Exchange
from venue.parameters import Parameters, read_pairs
from venue.rest import account, capital, faulty, public, trade, transfers
from venue.rest.call import Call, Endpoint
from venue.signing import check_signature, check_time, signed_payload, usable_key

ENDPOINTS: Final = public.ENDPOINTS | trade.ENDPOINTS | account.ENDPOINTS | capital.ENDPOINTS | transfers.ENDPOINTS
BODY_BYTES_MAX: Final = 1 << 20
LISTEN_KEYS: Final = "/api/v3/userDataStream"


class Gate:
    """Answers REST requests."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer a request, whatever it is."""
        if not self._exchange.faults.on_requests:
            return await self._answer(request)
        try:
            body = await _body(request)
        except ApiError:
            return await self._answer(request)
        return await faulty.answer(self._exchange, request, body, self._answer)

    async def _answer(self, request: web.Request) -> web.Response:
        endpoint = ENDPOINTS.get((request.method, request.path))
        address = request.remote or ""
        headers: dict[str, str] = {}
        try:
            if endpoint is None:
                # Listen keys were taken away: the user stream is a subscription of the WebSocket API now.
                gone = request.path == LISTEN_KEYS
                return web.Response(status=410 if gone else 404, text="Gone" if gone else "Not Found")
            result = await self._run(request, endpoint, await _body(request), address, headers)
            return self._respond(200, result, headers, address)
        except ApiError as error:
            if error.retry_after is not None:
                headers["Retry-After"] = str(error.retry_after)
            return self._respond(error.status, error.body(), headers, address)

    async def _run(self, request: web.Request, endpoint: Endpoint, body: str, address: str, headers: dict[str, str]) -> object:
        exchange = self._exchange
        # The query as sent: a decoded and re-encoded one would not match its signature.
        query = request.raw_path.partition("?")[2]
        values = read_pairs(query, body)
        exchange.limits.use_weight(address, endpoint.weight(values), time.time())
        if not endpoint.is_signed:
            return await endpoint.answer(Call(exchange, Parameters(values), None))
        caller = usable_key(request.headers.get(faulty.KEY_HEADER), exchange.by_key, right=endpoint.right, address=address)
        signature = values.pop("signature", "")
        if not signature:
            raise missing_parameter("signature")
        check_signature(caller, signed_payload(query, body), signature)
        parameters = Parameters(values)
        check_time(parameters, exchange.protocol_ms())
        if endpoint.is_order:
            short, long = exchange.limits.use_order(caller.account.uid, time.time())
            headers |= {"X-MBX-ORDER-COUNT-10S": str(short), "X-MBX-ORDER-COUNT-1D": str(long)}
        return await endpoint.answer(Call(exchange, parameters, caller))

    def _respond(self, status: int, result: object, headers: dict[str, str], address: str) -> web.Response:
        used = str(self._exchange.limits.weight_used(address))
        headers |= {"X-MBX-USED-WEIGHT": used, "X-MBX-USED-WEIGHT-1M": used}
        text = json.dumps(result, separators=(",", ":"))
        return web.Response(status=status, text=text, content_type="application/json", headers=headers)


async def _body(request: web.Request) -> str:
    try:
        return await request.text()
    except (UnicodeError, LookupError):
        # Bytes that are no text, or a character set that nobody knows. Only here: further inside, a lookup that fails is a
        # fault of ours, and a client that is told "refused" would believe that its order never lived.
        raise illegal_text() from None
