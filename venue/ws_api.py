"""The WebSocket API: the same endpoints as REST, and the user stream."""

import asyncio
import json
import time
from typing import Any, Final

from aiohttp import web

from venue import sockets
from venue.accounts import Account
from venue.errors import ApiError, missing_parameter
from venue.exchange import Exchange
from venue.faults.answers import Answer
from venue.faults.requests import judge
from venue.hub import Listener
from venue.keys import READ, ApiKey
from venue.parameters import Parameters
from venue.rest import account, faulty, public, trade
from venue.rest.call import Call, Endpoint
from venue.signing import check_signature, check_time, usable_key

_REST: Final = public.ENDPOINTS | trade.ENDPOINTS | account.ENDPOINTS
PATHS: Final = {
    "ping": ("GET", "/api/v3/ping"),
    "time": ("GET", "/api/v3/time"),
    "exchangeInfo": ("GET", "/api/v3/exchangeInfo"),
    "depth": ("GET", "/api/v3/depth"),
    "trades.recent": ("GET", "/api/v3/trades"),
    "trades.aggregate": ("GET", "/api/v3/aggTrades"),
    "klines": ("GET", "/api/v3/klines"),
    "avgPrice": ("GET", "/api/v3/avgPrice"),
    "ticker.24hr": ("GET", "/api/v3/ticker/24hr"),
    "ticker.price": ("GET", "/api/v3/ticker/price"),
    "ticker.book": ("GET", "/api/v3/ticker/bookTicker"),
    "order.place": ("POST", "/api/v3/order"),
    "order.test": ("POST", "/api/v3/order/test"),
    "order.cancel": ("DELETE", "/api/v3/order"),
    "order.status": ("GET", "/api/v3/order"),
    "openOrders.status": ("GET", "/api/v3/openOrders"),
    "openOrders.cancelAll": ("DELETE", "/api/v3/openOrders"),
    "allOrders": ("GET", "/api/v3/allOrders"),
    "myTrades": ("GET", "/api/v3/myTrades"),
    "account.status": ("GET", "/api/v3/account"),
    "account.commission": ("GET", "/api/v3/account/commission"),
    "account.rateLimits.orders": ("GET", "/api/v3/rateLimit/order"),
}
METHODS: Final = {method: _REST[path] for method, path in PATHS.items()}
SUBSCRIBE: Final = "userDataStream.subscribe.signature"
UNSUBSCRIBE: Final = "userDataStream.unsubscribe"
SESSION: Final = "session.subscriptions"
RATE_LIMITS_SWITCH: Final = "returnRateLimits"


class Unanswered(Exception):
    """A fault keeps this request without an answer."""


class WebSocketApi:
    """Serves the WebSocket API."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Run a connection."""
        if sockets.is_refused(request, self._exchange.faults):
            return web.Response()
        listener = Listener()
        address = request.remote or ""

        async def on_message(text: str) -> None:
            answer = await self._answer(listener, address, text)
            if answer is not None:
                listener.send(json.dumps(answer, separators=(",", ":")))

        return await sockets.serve(request, self._exchange.hub, listener, on_message, conditions=self._exchange.conditions)

    async def _answer(self, listener: Listener, address: str, text: str) -> dict[str, Any] | None:
        number: Any = None
        status = 200
        try:
            message, values = _parsed(text)
            number = message.get("id") if isinstance(message.get("id"), int | str) else None
            outcome: dict[str, Any] = {"result": await self._run(listener, address, str(message.get("method")), values)}
        except ApiError as error:
            status, outcome = error.status, {"error": error.body()}
        except Unanswered:
            return None
        return {"id": number, "status": status, **outcome, "rateLimits": self._rate_limits(address)}

    async def _run(self, listener: Listener, address: str, method: str, values: dict[str, str]) -> Any:
        if method == UNSUBSCRIBE:
            return self._unsubscribe(listener, values)
        if method == SESSION:
            return [{"subscriptionId": number} for number in listener.accounts.values()]
        if method == SUBSCRIBE:
            caller, parameters = self._recognise(address, READ, values)
            parameters.refuse_unread()
            return self._subscribe(listener, caller.account)
        endpoint = METHODS.get(method)
        if endpoint is None:
            raise ApiError(-1000, f"Unknown method: {method}")
        if not self._exchange.faults.on_requests:
            return await self._call(endpoint, address, values)
        return await self._suffer(listener, address, PATHS[method], values)

    async def _suffer(self, listener: Listener, address: str, path: tuple[str, str], values: dict[str, str]) -> Any:
        """Call an endpoint as the armed faults have it."""
        exchange = self._exchange
        moment = faulty.moment_of(exchange, " ".join(path), values.get("apiKey", ""), values)
        exchange.world.act_on(moment)
        verdict = judge(exchange.faults, moment)
        await asyncio.sleep(verdict.wait_before)
        if verdict.cut_before is not None:
            listener.end()
            raise Unanswered
        if verdict.instead is not None:
            raise _refusal_of(verdict.instead)
        result = faulty.disturbed(exchange, verdict, moment, await self._call(_REST[path], address, values))
        await asyncio.sleep(verdict.wait_after)
        if verdict.cut_after is not None or verdict.mangle is not None:
            # Half a frame is no frame: whatever spoils an answer here means that none comes.
            listener.end()
            raise Unanswered
        if verdict.in_place is not None:
            raise _refusal_of(verdict.in_place)
        return result

    async def _call(self, endpoint: Endpoint, address: str, values: dict[str, str]) -> Any:
        exchange = self._exchange
        exchange.limits.use_weight(address, endpoint.weight(values), time.time())
        if not endpoint.is_signed:
            values.pop(RATE_LIMITS_SWITCH, None)
            return await endpoint.answer(Call(exchange, Parameters(values), None))
        caller, parameters = self._recognise(address, endpoint.right, values)
        if endpoint.is_order:
            exchange.limits.use_order(caller.account.uid, time.time())
        return await endpoint.answer(Call(exchange, parameters, caller))

    def _recognise(self, address: str, right: str, values: dict[str, str]) -> tuple[ApiKey, Parameters]:
        """Check key, signature and time of a request; the key is one of the signed parameters here."""
        caller = usable_key(values.get("apiKey"), self._exchange.by_key, right=right, address=address)
        signature = values.pop("signature", "")
        if not signature:
            raise missing_parameter("signature")
        payload = "&".join(f"{name}={value}" for name, value in sorted(values.items()))
        check_signature(caller, payload, signature)
        # Both are signed, and neither is the endpoint's business.
        for name in ("apiKey", RATE_LIMITS_SWITCH):
            values.pop(name, None)
        parameters = Parameters(values)
        check_time(parameters, self._exchange.protocol_ms())
        return caller, parameters

    def _subscribe(self, listener: Listener, caller: Account) -> dict[str, int]:
        if caller.uid in listener.accounts:
            raise ApiError(-2035, "User Data Stream subscription already active.")
        number = max(listener.accounts.values(), default=-1) + 1
        self._exchange.hub.follow(listener, caller.uid, number)
        return {"subscriptionId": number}

    def _unsubscribe(self, listener: Listener, values: dict[str, str]) -> dict[str, Any]:
        wanted = values.get("subscriptionId")
        chosen = [uid for uid, number in listener.accounts.items() if wanted in (None, str(number))]
        if not chosen:
            raise ApiError(-2036, "User Data Stream subscription not active.")
        for uid in chosen:
            self._exchange.hub.unfollow(listener, uid)
        return {}

    def _rate_limits(self, address: str) -> list[dict[str, Any]]:
        limits = self._exchange.limits
        return [limits.rules()[0] | {"count": limits.weight_used(address)}]


def _refusal_of(made: Answer) -> ApiError:
    """Put an answer of a fault into a frame: a page has no place in one."""
    try:
        body = json.loads(made.body)
        return ApiError(body["code"], body["msg"], status=made.status)
    except (ValueError, KeyError, TypeError):
        return ApiError(-1000, "An unknown error occurred while processing the request.", status=made.status)


def _parsed(text: str) -> tuple[dict[str, Any], dict[str, str]]:
    """Return a message and its parameters. Parsed twice: ids are given back as they are, numbers signed as written."""
    try:
        message, written = json.loads(text), json.loads(text, parse_int=str, parse_float=str)
        if isinstance(message, dict) and isinstance(message.get("params", {}), dict):
            return message, {name: _as_sent(value) for name, value in written.get("params", {}).items()}
    except (ValueError, RecursionError):
        # What cannot be read, or written back, is no request; anything deeper in is not caught here.
        pass
    raise ApiError(-1135, "Invalid JSON Request")


def _as_sent(value: Any) -> str:
    """Write a parameter the way it was signed."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value
    return json.dumps(value, separators=(",", ":"))
