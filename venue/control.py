"""The control address: clock, pacing, accounts and the exchange's own books. Loopback only."""

import json
import math
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any, Final, TypeGuard

from aiohttp import web

from venue.accounts import Account
from venue.amounts import IllegalAmount, TooPrecise, parse, parse_signed, text
from venue.errors import ApiError
from venue.exchange import Exchange
from venue.faults.rules import UnusableFaults, read_numbered, read_seed
from venue.keys import RIGHTS

HOLD_SECONDS_MAX: Final = 60.0
SPEED_MAX: Final = 1_000_000.0

Body = dict[str, Any]


class Control:
    """Answers the control address."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    def routes(self) -> list[web.RouteDef]:
        """Return what is answered where."""
        return [
            web.get("/control/clock", self._clock),
            web.get("/control/hold", self._hold),
            web.post("/control/clients", _with_body(self._register)),
            web.delete("/control/clients/{name}", self._forget),
            web.post("/control/ack", _with_body(self._acknowledge)),
            web.post("/control/speed", _with_body(self._speed)),
            web.post("/control/pause", self._pause),
            web.post("/control/resume", self._resume),
            web.post("/control/step", _with_body(self._step)),
            web.get("/control/limits", self._show_limits),
            web.post("/control/limits", _with_body(self._limits)),
            web.post("/control/accounts", _with_body(self._open_account)),
            web.post("/control/keys", _with_body(self._make_key)),
            web.delete("/control/keys/{key}", self._revoke_key),
            web.post("/control/faucet", _with_body(self._faucet)),
            web.get("/control/books/{uid}", self._books),
            web.get("/control/faults", self._show_faults),
            web.post("/control/faults", _with_body(self._arm)),
            web.delete("/control/faults", self._disarm),
            web.delete("/control/faults/{number}", self._disarm),
        ]

    async def _clock(self, _request: web.Request) -> web.Response:
        await self._exchange.durable()
        return web.json_response(self._exchange.clock_state())

    async def _hold(self, request: web.Request) -> web.Response:
        try:
            after = int(request.query.get("after", "-1"))
            seconds = float(request.query.get("timeout", "30"))
        except ValueError:
            return _refuse("after and timeout must be numbers")
        seconds = min(max(seconds, 0.0), HOLD_SECONDS_MAX) if math.isfinite(seconds) else HOLD_SECONDS_MAX
        if not await self._exchange.pacer.wait_hold(after, seconds):
            return web.Response(status=204)
        await self._exchange.durable()
        return web.json_response(self._exchange.clock_state())

    async def _register(self, body: Body) -> web.Response:
        self._exchange.pacer.register(_text(body, "client"))
        await self._exchange.durable()
        return web.json_response(self._exchange.clock_state())

    async def _forget(self, request: web.Request) -> web.Response:
        self._exchange.pacer.forget(request.match_info["name"])
        await self._exchange.durable()
        return web.json_response({"clients": self._exchange.pacer.clients})

    async def _acknowledge(self, body: Body) -> web.Response:
        name, hold_time = _text(body, "client"), body.get("hold_time")
        counts = body.get("trades", {})
        if not _is_whole(hold_time) or not isinstance(counts, dict) or not all(map(_is_whole, counts.values())):
            return _refuse("hold_time must be a whole number and trades an object of whole numbers")
        if name not in self._exchange.pacer.clients:
            return _refuse(f"no client is called {name}", status=404)
        missing = {}
        for uid, posted in counts.items():
            account = self._account(uid)
            if account.trade_count > posted:
                missing[str(uid)] = account.trade_count
        if missing:
            return web.json_response({"trades": missing}, status=409)
        released = self._exchange.pacer.acknowledge(name, hold_time)
        await self._exchange.durable()
        return web.json_response({"released": released})

    async def _speed(self, body: Body) -> web.Response:
        speed = body.get("speed")
        if isinstance(speed, bool) or not isinstance(speed, int | float) or not 0 < speed <= SPEED_MAX:
            return _refuse(f"speed must be a number above 0 and at most {SPEED_MAX:g}")
        self._exchange.pacer.change(speed=float(speed))
        return await self._paced()

    async def _pause(self, _request: web.Request) -> web.Response:
        self._exchange.pacer.change(paused=True)
        return await self._paced()

    async def _resume(self, _request: web.Request) -> web.Response:
        self._exchange.pacer.change(paused=False)
        return await self._paced()

    async def _step(self, body: Body) -> web.Response:
        bars = body.get("bars", 1)
        if not _is_whole(bars) or bars < 1:
            return _refuse("bars must be a whole number above 0")
        self._exchange.pacer.change(bars=bars)
        return await self._paced()

    async def _show_limits(self, _request: web.Request) -> web.Response:
        limits = self._exchange.limits
        return web.json_response({"weight": limits.weight_limit, "orders": limits.order_limit})

    async def _limits(self, body: Body) -> web.Response:
        limits = self._exchange.limits
        weight, orders = body.get("weight", limits.weight_limit), body.get("orders", limits.order_limit)
        if not _is_whole(weight) or not _is_whole(orders) or min(weight, orders) < 1:
            return _refuse("weight (a minute) and orders (in ten seconds) must be whole numbers above 0")
        limits.weight_limit, limits.order_limit = weight, orders
        return web.json_response({"weight": weight, "orders": orders})

    async def _paced(self) -> web.Response:
        self._exchange.keep_pace()
        await self._exchange.durable()
        return web.json_response(self._exchange.clock_state())

    async def _open_account(self, body: Body) -> web.Response:
        balances = body.get("balances", {})
        if not isinstance(balances, dict):
            return _refuse("balances must be an object of amounts")
        amounts = {str(asset): _amount(str(amount)) for asset, amount in balances.items()}
        parent = self._account(body["parent"]).uid if "parent" in body else 0
        account = self._exchange.open_account(_text(body, "name"), amounts, parent=parent)
        await self._exchange.durable()
        keys = {"uid": str(account.uid), "api_key": account.api_key, "api_secret": account.api_secret}
        return web.json_response(keys)

    async def _make_key(self, body: Body) -> web.Response:
        account = self._account(body.get("uid"))
        rights, addresses = body.get("rights", list(RIGHTS)), body.get("addresses", [])
        if not isinstance(rights, list) or any(right not in RIGHTS for right in rights):
            return _refuse(f"rights must be a list of some of {', '.join(RIGHTS)}")
        if not isinstance(addresses, list) or not all(isinstance(address, str) for address in addresses):
            return _refuse("addresses must be a list of texts such as 127.0.0.1")
        made = self._exchange.make_key(account, tuple(rights), tuple(addresses))
        await self._exchange.durable()
        return web.json_response({"uid": str(account.uid), "api_key": made.key, "api_secret": made.secret})

    async def _revoke_key(self, request: web.Request) -> web.Response:
        if not self._exchange.revoke_key(request.match_info["key"]):
            return _refuse("this key is not valid anyway", status=404)
        await self._exchange.durable()
        return web.json_response({"revoked": True})

    async def _faucet(self, body: Body) -> web.Response:
        account, asset = self._account(body.get("uid")), _text(body, "asset")
        self._exchange.move_outside(account, asset, _amount(str(body.get("amount")), signed=True))
        await self._exchange.durable()
        balance = account.balance(asset)
        return web.json_response({"free": text(balance.free), "locked": text(balance.locked)})

    async def _books(self, request: web.Request) -> web.Response:
        account = self._account(request.match_info["uid"])
        await self._exchange.durable()
        return web.json_response(self._exchange.dump(account))

    async def _arm(self, body: Body) -> web.Response:
        given = {"rules": [body]} if "action" in body else body
        if not given or set(given) - {"seed", "rules"}:
            return _refuse('the body must be {"seed": 7, "rules": [...]} or one rule')
        try:
            seed = read_seed(given["seed"]) if "seed" in given else None
            armed = self._exchange.arm(read_numbered(given.get("rules", [])), seed=seed)
        except UnusableFaults as error:
            return _refuse(str(error))
        await self._exchange.durable()
        return web.json_response({"armed": [item.written() for item in armed]})

    async def _show_faults(self, _request: web.Request) -> web.Response:
        faults = self._exchange.faults
        answer = {
            "seed": faults.seed,
            "rules": [item.written() for item in faults.armed],
            "counts": dict(faults.counts),
            "firings": [asdict(firing) for firing in faults.firings],
        }
        return web.json_response(answer)

    async def _disarm(self, request: web.Request) -> web.Response:
        number = request.match_info.get("number")
        if number is not None and not number.isdecimal():
            return _refuse("the number of a fault is a whole number")
        gone = self._exchange.disarm(None if number is None else int(number))
        if number is not None and not gone:
            return _refuse(f"no fault has the number {number}", status=404)
        return web.json_response({"disarmed": gone})

    def _account(self, uid: object) -> Account:
        try:
            return self._exchange.engine.accounts[int(str(uid))]
        except (KeyError, ValueError):
            raise ApiError(404, f"no account has the uid {uid}", status=404) from None


@web.middleware
async def explain_refusals(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Turn refusals into answers that say what is wrong."""
    try:
        return await handler(request)
    except ApiError as error:
        return _refuse(error.message, status=error.status)


def _with_body(handler: Callable[[Body], Awaitable[web.Response]]) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def read_and_handle(request: web.Request) -> web.Response:
        try:
            body = json.loads(await request.text() or "{}")
        except (ValueError, RecursionError, LookupError):
            return _refuse("the body must be JSON")
        if not isinstance(body, dict):
            return _refuse("the body must be a JSON object")
        return await handler(body)

    return read_and_handle


def _is_whole(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _text(body: Body, name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str) or not value:
        raise ApiError(400, f"{name} must be a text")
    return value


def _amount(written: str, *, signed: bool = False) -> int:
    try:
        return parse_signed(written) if signed else parse(written)
    except (IllegalAmount, TooPrecise):
        raise ApiError(400, f"{written!r} is no amount with at most eight decimals") from None


def _refuse(message: str, *, status: int = 400) -> web.Response:
    return web.json_response({"error": message}, status=status)
