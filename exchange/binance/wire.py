"""ccxt's Binance client, made to tell what really came over the wire. Import it late: it brings all of ccxt."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any, Final

import aiohttp
import ccxt
import ccxt.pro
import structlog

from exchange.budget import RequestBudget
from exchange.classifier import banned_until_ms, classify, error_of
from exchange.errors import ExchangeTrouble, Outcome, SendRefused
from exchange.profiles import VenueProfile

log = structlog.get_logger()
# At DEBUG ccxt writes whole requests, with our key and signature in them, into the log.
logging.getLogger("ccxt").setLevel(logging.WARNING)
Events = Callable[[dict[str, Any]], None]
Cut = Callable[[str], None]

# Set round a call that must not be written to the wire after this wall time in milliseconds, and this monotonic second.
_write_before: ContextVar[tuple[int, float] | None] = ContextVar("write_before", default=None)
_OPENED: Final = "opened:"
# What budgets call the exchange's own address.
DEFAULT_HOST: Final = "binance"
_AMERICAN_WS_API: Final = "wss://ws-api.binance.us:443/ws-api/v3"
# exchangeInfo of every symbol is about 15 MB.
ANSWER_BYTES_MAX: Final = 64 * 2**20


class AnswerTooLong(aiohttp.ClientError):
    """Raised for an answer that no request of ours can have asked for."""


class _BoundedAnswer(aiohttp.ClientResponse):
    """An answer that is read piece by piece and given up when there is no end to it (E49)."""

    async def read(self) -> bytes:
        """Read the body, up to a size."""
        if self._body is None:
            pieces, size = [], 0
            async for piece in self.content.iter_any():
                size += len(piece)
                if size > ANSWER_BYTES_MAX:
                    self.close()
                    raise AnswerTooLong(f"An answer of more than {ANSWER_BYTES_MAX} bytes")
                pieces.append(piece)
            self._body = b"".join(pieces)
        return self._body


class Wire(ccxt.pro.binance):  # type: ignore[misc]
    """ccxt for signing, sending and streaming; our own classifier, budget and deadlines instead of its."""

    def __init__(self, config: dict[str, Any], *, budget: RequestBudget, on_event: Events, on_cut: Cut) -> None:
        # First: ccxt gives each class camel-case twins of every attribute that it finds on the new object.
        super().__init__(config)
        self.last_retry_after: float | None = None
        self.budget = budget
        self.on_stream_event = on_event
        self.on_stream_cut = on_cut

    def open(self, lazy: bool = False) -> None:
        """Open the sockets; certificates are always checked (E48)."""
        if getattr(self, "session", None) is None and not (lazy and self.closed_by_user):
            self.ssl_context = ssl.create_default_context(cafile=self.cafile)
            self.tcp_connector = aiohttp.TCPConnector(ssl=self.ssl_context, family=socket.AF_UNSPEC)
            self.session = aiohttp.ClientSession(connector=self.tcp_connector, response_class=_BoundedAnswer)
        super().open(lazy)

    async def fetch(self, url: str, method: str = "GET", headers: Any = None, body: Any = None) -> Any:
        """Write a signed request, unless its time is over: everything before the signature may have waited."""
        deadline = _write_before.get()
        # By both clocks: one may have been set back, the other stands still while the machine sleeps.
        if deadline is not None and (self.milliseconds() >= deadline[0] or time.monotonic() >= deadline[1]):
            # Nothing was written: that much is certain.
            raise ExchangeTrouble(Outcome.REJECTED_LOCAL, "The time to send this order was over before its first byte.")
        return await super().fetch(url, method, headers, body)

    def on_rest_response(self, _code: int, _reason: str, _url: str, _method: str, headers: Any, body: str, *_rest: Any) -> str:
        """Note the weight that the exchange says we have used."""
        self.budget.note_answer(headers)
        self.last_retry_after = _seconds(headers.get("Retry-After"))
        return body.strip()

    def handle_errors(
        self, code: int, _reason: str, _url: str, method: str, _headers: Any, body: str, response: Any, *_rest: Any
    ) -> None:
        """Raise what an answer means by our own table instead of ccxt's classes."""
        if code == 200 and response is not None:
            return
        error_code, message = error_of(body)
        # An error on a WebSocket comes without an HTTP method, and with its code in place of the status.
        status = code if method else 400
        outcome = classify(status=status, code=error_code, message=message, method=method or "GET")
        pause = self.last_retry_after
        if outcome == Outcome.BANNED and (until := banned_until_ms(message)) is not None:
            pause = max(pause or 0.0, (until - self.milliseconds()) / 1000)
        trouble = ExchangeTrouble(outcome, f"HTTP {code}: {message}", code=error_code, retry_after_seconds=pause)
        self.budget.note_trouble(trouble)
        raise trouble

    def handle_message(self, client: Any, message: Any) -> None:
        """Hand raw events over before ccxt turns their amounts into floats."""
        if not isinstance(message, dict):
            super().handle_message(client, message)
            return
        event = message.get("event") or message.get("data") or message
        if "e" in event or "b" in event or "a" in event:
            self.on_stream_event(event)
            if event.get("e") == "eventStreamTerminated":
                super().handle_message(client, message)
                self.on_stream_cut("eventStreamTerminated")
        elif "id" in message and "status" not in message and "error" not in message:
            client.resolve(message, f"{_OPENED}{message['id']}")
        else:
            super().handle_message(client, message)

    def on_error(self, client: Any, error: Any) -> None:
        """Note that a stream broke."""
        super().on_error(client, error)
        # ccxt keeps a client that failed to dial; the next attempt must be a fresh one.
        self.clients.pop(client.url, None)
        self.on_stream_cut(str(error))

    def on_close(self, client: Any, error: Any) -> None:
        """Note that a stream ended."""
        super().on_close(client, error)
        self.clients.pop(client.url, None)
        self.on_stream_cut(f"closed {error}")

    async def open_user_stream(self) -> None:
        """Subscribe to the account's events; raise what the exchange says, not what ccxt stumbles over then."""
        try:
            await self.ensure_user_data_stream_ws_subscribe_signature("spot")
        except KeyError as stumble:
            # It forgets a refused subscription twice, and the second time hides the refusal (U06).
            if isinstance(stumble.__context__, ExchangeTrouble):
                raise stumble.__context__ from None
            raise

    async def open_market_stream(self, names: list[str]) -> None:
        """Subscribe to public streams and wait for the exchange's word that they run."""
        url = f"{self.urls['api']['ws']['spot']}/1"
        number = self.request_id(url)
        request = {"method": "SUBSCRIBE", "params": names, "id": number}
        opened = f"{_OPENED}{number}"
        await self.watch(url, opened, request, opened, {"id": number})


class AmericanWire(Wire, ccxt.pro.binanceus):  # type: ignore[misc]
    """The same for Binance.US: the same protocol at other addresses, one of which ccxt does not know."""

    def __init__(self, config: dict[str, Any], *, budget: RequestBudget, on_event: Events, on_cut: Cut) -> None:
        super().__init__(config, budget=budget, on_event=on_event, on_cut=on_cut)
        # ccxt inherits Binance's: our orders and our key would go to another exchange.
        self.urls["api"]["ws"]["ws-api"] = {"spot": _AMERICAN_WS_API}


def wire_of(exchange: str) -> type[Wire]:
    """Return the client that speaks to an exchange."""
    return AmericanWire if exchange == "binanceus" else Wire


def default_host(wire_class: type[Wire]) -> str:
    """Return what budgets call the exchange that a wire speaks to."""
    return "binanceus" if issubclass(wire_class, AmericanWire) else DEFAULT_HOST


class Connection:
    """Calls on one wire with our deadlines, and its errors as ours."""

    def __init__(
        self,
        *,
        profile: VenueProfile,
        budget: RequestBudget,
        on_event: Events,
        on_cut: Cut,
        rest_url: str = "",
        stream_url: str = "",
        key: str = "",
        secret: str = "",
        wire_class: type[Wire] = Wire,
    ) -> None:
        self.profile = profile
        self.budget = budget
        config = {
            "apiKey": key,
            "secret": secret,
            "enableRateLimit": False,
            "timeout": int(profile.request_deadline_seconds * 1000),
            "options": {
                "defaultType": "spot",
                "recvWindow": profile.recv_window_ms,
                # ccxt's own re-sending would repeat orders.
                "maxRetriesOnFailure": 0,
                "fetchMarkets": {"types": ["spot"]},
            },
        }
        self.wire = wire_class(config, budget=budget, on_event=on_event, on_cut=on_cut)
        self._check()
        if rest_url:
            self._move_to(rest_url.rstrip("/"), stream_url.rstrip("/"))

    async def call(
        self,
        name: str,
        parameters: Mapping[str, Any] | None = None,
        *,
        method: str,
        weight: int,
        is_urgent: bool = False,
        write_before_ms: int | None = None,
    ) -> Any:
        """Call one endpoint by ccxt's name for it, and answer its JSON as it came."""
        left = (write_before_ms - self.wire.milliseconds()) / 1000 if write_before_ms is not None else 0.0
        deadline = (write_before_ms, time.monotonic() + left) if write_before_ms is not None else None
        await self.budget.admit(weight, is_urgent=is_urgent)
        token = _write_before.set(deadline)
        try:
            async with asyncio.timeout(self.profile.request_deadline_seconds + 1):
                return await getattr(self.wire, name)(dict(parameters or {}))
        except TimeoutError as error:
            raise ExchangeTrouble(_silence(method), f"{name} was not answered in time") from error
        except ccxt.BaseError as error:
            raise ExchangeTrouble(_outcome_of_network(error, method), f"{name}: {error}") from error
        finally:
            _write_before.reset(token)
            await self.budget.tell()

    async def close(self) -> None:
        """Close every socket."""
        await self.wire.close()

    async def drop_streams(self) -> None:
        """Close every stream; the next subscription dials anew."""
        for url in list(self.wire.clients):
            client = self.wire.clients.pop(url)
            # What it still tells belongs to a stream that was given up.
            client.on_message_callback = client.on_error_callback = client.on_close_callback = _ignore
            await client.close(1000)

    def _check(self) -> None:
        # A wrong value here would send orders twice; no test may be needed to notice.
        if self.wire.options["maxRetriesOnFailure"] != 0 or self.wire.enableRateLimit:
            raise SendRefused("ccxt would repeat or delay requests by itself.")
        if not self.wire.verify:
            raise SendRefused("Certificates must be checked.")
        if self.wire.options["recvWindow"] > 5000:
            raise SendRefused("recvWindow must not be above 5000 ms.")

    def _move_to(self, rest_url: str, stream_url: str) -> None:
        """Point every address that ccxt knows to this server."""
        api = self.wire.urls["api"]
        for name, url in list(api.items()):
            if isinstance(url, str):
                path = url.split("://", 1)[1].partition("/")[2]
                api[name] = f"{rest_url}/{path}"
        streams = {name: f"{stream_url}/ws" for name, url in api["ws"].items() if isinstance(url, str)}
        api["ws"] = streams | {"ws-api": dict.fromkeys(api["ws"]["ws-api"], f"{stream_url}/ws-api/v3")}
        self.wire.hostname = rest_url.split("://", 1)[1]


def _ignore(_client: Any, _message: Any) -> None:
    pass


def _outcome_of_network(error: BaseException, method: str) -> Outcome:
    # Only a connection that never stood proves that nothing was written; a re-used one proves nothing (E01).
    if method == "POST" and isinstance(error.__cause__, aiohttp.ClientConnectorError):
        return Outcome.REJECTED_LOCAL
    return _silence(method)


def _silence(method: str) -> Outcome:
    return Outcome.UNAVAILABLE if method == "GET" else Outcome.UNKNOWN


def _seconds(text: str | None) -> float | None:
    return float(text) if text and text.isdigit() else None
