"""ccxt's clients, made to keep deadlines, to tell what really came over the wire, and never to repeat by themselves.

Import it late: it brings all of ccxt.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any, Final, Generic, TypeVar

import aiohttp
import ccxt
import ccxt.async_support

from exchange.budget import RequestBudget
from exchange.errors import ExchangeTrouble, Outcome, SendRefused
from exchange.profiles import VenueProfile

# At DEBUG ccxt writes whole requests, with our key and signature in them, into the log.
logging.getLogger("ccxt").setLevel(logging.WARNING)
Events = Callable[[dict[str, Any]], None]
Cut = Callable[[str], None]

# Set round a call that must not be written to the wire after this wall time in milliseconds, and this monotonic second.
_write_before: ContextVar[tuple[int, float] | None] = ContextVar("write_before", default=None)
# A list of all instruments is about 15 MB.
ANSWER_BYTES_MAX: Final = 64 * 2**20
# What ccxt is told whatever the exchange: our own budget paces, and its re-sending would repeat orders.
OPTIONS: Final = {"maxRetriesOnFailure": 0}


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


class CarefulWire(ccxt.async_support.Exchange):  # type: ignore[misc]
    """What every client of ours adds to ccxt's: checked certificates, bounded answers, deadlines before the first byte."""

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

    def on_error(self, client: Any, error: Any) -> None:
        """Note that a stream broke."""
        if self.clients.get(client.url) is not client:
            return
        super().on_error(client, error)
        # ccxt keeps a client that failed to dial; the next attempt must be a fresh one.
        self.clients.pop(client.url, None)
        self.on_stream_cut(str(error))

    def on_close(self, client: Any, error: Any) -> None:
        """Note that a stream ended, once: what comes after an error would be told of the stream that has taken its place."""
        if self.clients.get(client.url) is not client:
            return
        super().on_close(client, error)
        self.clients.pop(client.url, None)
        self.on_stream_cut(f"closed {error}")


W = TypeVar("W", bound=CarefulWire)


class Calls(Generic[W]):
    """Calls on one wire with our deadlines, and its errors as ours."""

    def __init__(self, *, wire: W, profile: VenueProfile, budget: RequestBudget) -> None:
        self.wire = wire
        self.profile = profile
        self.budget = budget
        self._check()

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


def settings(profile: VenueProfile, *, key: str, secret: str, **options: Any) -> dict[str, Any]:
    """Return what a client of ccxt's is set up with."""
    timeout = int(profile.request_deadline_seconds * 1000)
    return {"apiKey": key, "secret": secret, "enableRateLimit": False, "timeout": timeout, "options": OPTIONS | options}


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
