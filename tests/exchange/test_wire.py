"""The wire itself: endless answers, slow ones, certificates of strangers, and orders whose time is over."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from exchange import wire
from exchange.binance.trading import BinanceTrading
from exchange.binance.wire import Connection
from exchange.budget import RequestBudget
from exchange.errors import ExchangeTrouble, Outcome
from exchange.ports import OrderTicket
from exchange.profiles import LOCAL_VENUE

TICKET = OrderTicket(client_order_id="t1-1-1-aa", symbol="BTCUSDT", side="buy", type="MARKET", quantity=Decimal(1))
QUICK = replace(LOCAL_VENUE, request_deadline_seconds=0.5)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def talking_to(handler: Handler, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[BinanceTrading]:
    """Have a port whose exchange answers everything with one handler."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    assert site._server is not None
    port = site._server.sockets[0].getsockname()[1]  # type: ignore[attr-defined]
    scheme = "https" if tls else "http"
    trading = BinanceTrading(
        profile=QUICK, key="k", secret="s", rest_url=f"{scheme}://127.0.0.1:{port}", stream_url=f"ws://127.0.0.1:{port}"
    )
    try:
        yield trading
    finally:
        await trading.close()
        await runner.cleanup()


def outcome_of_an_order(handler: Handler, *, tls: ssl.SSLContext | None = None, late_ms: int = -5_000) -> Outcome | None:
    """Send an order to such an exchange and answer what that came to."""

    async def send() -> Outcome | None:
        async with talking_to(handler, tls=tls) as port:
            try:
                await port.submit(TICKET, send_before_ms=int(time.time() * 1000) - late_ms)
            except ExchangeTrouble as trouble:
                return trouble.outcome
            return None

    return asyncio.run(send())


@pytest.mark.fault("E49")
def test_an_answer_without_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "ANSWER_BYTES_MAX", 100_000)
    written: list[int] = []

    async def endless(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        try:
            for number in range(10_000):
                await answer.write(b"[" * 10_000)
                written.append(number)
        except ConnectionError:
            pass
        return answer

    assert outcome_of_an_order(endless) == Outcome.UNKNOWN
    assert len(written) < 1_000


@pytest.mark.fault("E47")
def test_an_answer_that_drips_is_not_waited_for() -> None:
    heard: list[bytes] = []
    content = b'{"symbol":"BTCUSDT"}' * 3

    async def drip(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        try:
            for letter in content:
                await answer.write(bytes([letter]))
                heard.append(bytes([letter]))
                await asyncio.sleep(0.2)
        except ConnectionError:
            pass
        return answer

    assert outcome_of_an_order(drip) == Outcome.UNKNOWN
    assert len(heard) < len(content)


@pytest.mark.fault("E48")
def test_a_certificate_that_nobody_vouches_for_is_refused(tmp_path: Path) -> None:
    asked: list[str] = []

    async def trap(request: web.Request) -> web.StreamResponse:
        asked.append(request.path)
        return web.json_response({})

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(self_signed(tmp_path))
    assert outcome_of_an_order(trap, tls=context) == Outcome.REJECTED_LOCAL
    assert asked == []


@pytest.mark.fault("E01")
def test_a_port_that_nobody_listens_on_proves_that_nothing_was_sent() -> None:
    async def send() -> Outcome:
        async with talking_to(trap_door) as port:
            port._connection._move_to("http://127.0.0.1:9", "ws://127.0.0.1:9")
            with pytest.raises(ExchangeTrouble) as trouble:
                await port.submit(TICKET, send_before_ms=int(time.time() * 1000) + 5_000)
            return trouble.value.outcome

    assert asyncio.run(send()) == Outcome.REJECTED_LOCAL


@pytest.mark.fault("E01", "E02")
def test_a_connection_that_ends_after_the_request_proves_nothing() -> None:
    assert outcome_of_an_order(trap_door) == Outcome.UNKNOWN


async def trap_door(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.close()
    return web.Response()


@pytest.mark.fault("C20")
def test_an_order_whose_time_is_over_is_never_written() -> None:
    asked: list[str] = []

    async def note(request: web.Request) -> web.StreamResponse:
        asked.append(request.path)
        return web.json_response({})

    assert outcome_of_an_order(note, late_ms=1) == Outcome.REJECTED_LOCAL
    assert asked == []


@pytest.mark.fault("K02", "C20")
def test_a_clock_that_was_set_back_gives_no_second_life(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    async def note(request: web.Request) -> web.StreamResponse:
        asked.append(request.path)
        return web.json_response({})

    async def send() -> Outcome:
        async with talking_to(note) as port:

            async def stopped_for_two_minutes(weight: int, *, is_urgent: bool) -> None:
                # The process was stopped, and its wall clock set back by an hour meanwhile.
                later = time.monotonic() + 120
                monkeypatch.setattr("exchange.wire.time.monotonic", lambda: later)
                monkeypatch.setattr(port._connection.wire, "milliseconds", lambda: int(time.time() * 1000) - 3_600_000)

            monkeypatch.setattr(port.budget, "admit", stopped_for_two_minutes)
            with pytest.raises(ExchangeTrouble) as trouble:
                await port.submit(TICKET, send_before_ms=int(time.time() * 1000) + 2_000)
            monkeypatch.undo()
            return trouble.value.outcome

    assert asyncio.run(send()) == Outcome.REJECTED_LOCAL
    assert asked == []


@pytest.mark.fault("U01")
async def test_the_late_end_of_a_stream_is_not_taken_for_that_of_its_successor() -> None:
    """A broken line is told by an error and then by its close; by then another may have been opened in its place."""
    cuts: list[str] = []
    connection = Connection(
        profile=LOCAL_VENUE,
        budget=RequestBudget(wall_seconds=time.time),
        on_event=lambda _: None,
        on_cut=cuts.append,
        stream_url="ws://here",
    )
    client = connection.wire
    broken = client.client("ws://here/1")
    client.on_error(broken, ConnectionError("reset"))
    successor = client.client("ws://here/1")
    client.on_close(broken, 1006)
    client.on_error(broken, ConnectionError("once more"))
    assert (cuts, client.clients) == (["reset"], {"ws://here/1": successor})
    client.on_close(successor, 1001)
    assert (cuts[1:], client.clients) == (["closed 1001"], {})
    await connection.close()


def self_signed(directory: Path) -> Path:
    """Write a certificate and its key that no authority has signed."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    file = directory / "certificate.pem"
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    file.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    return file
