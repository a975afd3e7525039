"""Valkey answers slowly, or not at all while somebody waits: orders and pages do not notice (R11)."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import redis
from django.contrib.auth.models import User
from django.core.cache import cache
from django.db import transaction
from django.test import Client
from django.utils import timezone

from stream import errands, publish
from tradeapp import wiring
from tradeapp.celery import app

WAIT_SECONDS = 60.0


class SlowValkey:
    """Stands before the real one and keeps every answer until it is told to let go."""

    def __init__(self, address: str) -> None:
        self.is_asked = threading.Event()
        self.may_answer = threading.Event()
        self._options = options = redis.connection.parse_url(address)  # type: ignore[no-untyped-call]
        self._server = socket.create_server(("127.0.0.1", 0))
        self.url = f"redis://127.0.0.1:{self._server.getsockname()[1]}/{options.get('db', 0)}"
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self.may_answer.set()
        self._server.close()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            real = self._reach()
            threading.Thread(target=self._pass, args=(client, real, self.is_asked, None), daemon=True).start()
            threading.Thread(target=self._pass, args=(real, client, None, self.may_answer), daemon=True).start()

    def _reach(self) -> socket.socket:
        if "path" not in self._options:
            return socket.create_connection((self._options["host"], self._options["port"]))
        real = socket.socket(socket.AF_UNIX)
        real.connect(self._options["path"])
        return real

    def _pass(
        self, source: socket.socket, target: socket.socket, note: threading.Event | None, gate: threading.Event | None
    ) -> None:
        try:
            while said := source.recv(65536):
                if note is not None:
                    note.set()
                if gate is not None:
                    gate.wait()
                target.sendall(said)
        except OSError:
            pass
        finally:
            source.close()
            target.close()


@pytest.fixture
def slow(redis_url: str, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[SlowValkey]:
    """Have everything of this process that speaks to Valkey speak to a slow one."""
    made = SlowValkey(redis_url)
    settings.REDIS_URL = made.url
    settings.CACHES = {"default": {**settings.CACHES["default"], "LOCATION": made.url}}
    publish._client.cache_clear()
    monkeypatch.setattr(publish, "PUSHES", errands.Errands("pushes"))
    monkeypatch.setattr(wiring, "DOORBELLS", errands.Errands("doorbells"))
    yield made
    made.close()
    publish.PUSHES.finish(WAIT_SECONDS)
    wiring.DOORBELLS.finish(WAIT_SECONDS)
    publish._client.cache_clear()


@pytest.mark.fault("R11")
def test_a_commit_does_not_wait_for_a_slow_valkey(transactional_db: None, slow: SlowValkey, redis_url: str) -> None:
    """The trader publishes after its commits; here it has gone on while Valkey has not answered one of them."""
    with redis.Redis.from_url(redis_url).pubsub() as heard:  # type: ignore[no-untyped-call]
        heard.psubscribe("stream:*")
        assert heard.get_message(timeout=WAIT_SECONDS)
        for number in range(3):
            with transaction.atomic():
                publish.publish_on_commit("portfolio", "fill", {}, seq=number)
        assert slow.is_asked.wait(WAIT_SECONDS)
        assert publish.PUSHES.waiting() == 3
        slow.may_answer.set()
        assert publish.PUSHES.finish(WAIT_SECONDS)
        told = heard.get_message(timeout=WAIT_SECONDS)
        assert told is not None
        assert told["channel"] == b"stream:portfolio"


@pytest.mark.fault("R11")
def test_ringing_for_bots_does_not_wait_for_a_slow_valkey(slow: SlowValkey, monkeypatch: pytest.MonkeyPatch) -> None:
    rung: list[dict[str, Any]] = []
    monkeypatch.setattr(app, "send_task", lambda _task, **facts: rung.append(facts["kwargs"]))
    now = timezone.now()
    wiring._ring(7, now)
    assert slow.is_asked.wait(WAIT_SECONDS)
    assert wiring.DOORBELLS.waiting() == 1
    assert rung == []
    # It gives up by itself, and the sweep finds the work.
    assert wiring.DOORBELLS.finish(WAIT_SECONDS)
    assert rung == []
    slow.may_answer.set()
    wiring._ring(7, now + timedelta(minutes=1))
    assert wiring.DOORBELLS.finish(WAIT_SECONDS)
    assert rung == [{"account_id": 7}]


@pytest.mark.fault("R11")
def test_pages_answer_while_valkey_does_not(transactional_db: None, slow: SlowValkey) -> None:
    with pytest.raises(redis.TimeoutError):
        cache.get("anything")
    client = Client()
    client.force_login(User.objects.create_superuser("admin"))
    for path in ("/", "/coordinator/", "/api/v1/alarms"):
        assert client.get(path, follow=True).status_code == 200


def test_an_errand_that_fails_keeps_no_other_and_too_many_are_dropped() -> None:
    chores, gate = errands.Errands("test"), threading.Event()
    done: list[int] = []

    def wait() -> None:
        gate.wait(WAIT_SECONDS)

    def fail() -> None:
        raise ZeroDivisionError("a bug")

    chores.leave(wait)
    chores.leave(fail)
    chores.leave(lambda: done.append(1))
    # One of them is being done.
    until = time.monotonic() + WAIT_SECONDS
    while chores._queue.qsize() > 2 and time.monotonic() < until:
        time.sleep(0.01)
    left = sum(chores.leave(lambda: None) for _ in range(errands.WAITING_MAX))
    assert left == errands.WAITING_MAX - 2
    assert not chores.finish(0.0)
    gate.set()
    assert chores.finish(WAIT_SECONDS)
    assert done == [1]
