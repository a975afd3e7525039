"""The broker is a doorbell: what it loses is found again, and what strangers put into it is not run."""

from __future__ import annotations

import base64
import json
import os
import pickle
import threading
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import redis
from celery.contrib.testing.worker import start_worker
from celery.signals import task_prerun, task_revoked

from bots import tasks
from bots.models import BotState
from portfolio.models import DecisionRecord
from tests.bots.conftest import Desk, clock, quiet
from tradeapp import wiring
from tradeapp.celery import app

QUEUE = "hostile"


class Bomb:
    """Unpickled, it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        """Say how to be made anew."""
        return os.mkdir, (str(self.path),)


@pytest.fixture
def broker(redis_url: str) -> redis.Redis:
    """This worker's own Valkey, where the broker's queues are lists."""
    return redis.Redis.from_url(redis_url)


@pytest.mark.fault("R02", "R05")
def test_a_doorbell_that_the_broker_lost_is_found_again(desk: Desk, broker: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.bot("FIRST")
    desk.history(quiet)
    desk.close_bars([100.0])
    tasks.advance_account.apply_async(kwargs={"account_id": desk.account.pk})
    assert broker.llen("trading") == 1
    broker.flushdb()
    assert DecisionRecord.objects.count() == 0
    monkeypatch.setattr("bots.tasks.timezone.now", clock)
    tasks.sweep()
    assert DecisionRecord.objects.count() == 1
    assert BotState.objects.count() == 1


@pytest.mark.fault("R16")
def test_a_pickled_message_is_not_opened_and_the_next_one_is_served(broker: redis.Redis, tmp_path: Path) -> None:
    bomb = tmp_path / "opened"
    pickled = base64.b64encode(pickle.dumps([[], {"path": Bomb(bomb)}, {}])).decode()
    broker.lpush(QUEUE, message(pickled, content_type="application/x-python-serialize", content_encoding="binary"))
    serve_one(broker)
    assert not bomb.exists()


@pytest.mark.fault("R08")
def test_a_message_that_nobody_understands_does_not_stop_the_queue(broker: redis.Redis) -> None:
    arguments = base64.b64encode(json.dumps([["no", "such"], {"arguments": None}, {}]).encode()).decode()
    broker.lpush(QUEUE, message(base64.b64encode(b"[[], {").decode()))
    broker.lpush(QUEUE, message(arguments, task="nobody.knows.this"))
    broker.lpush(QUEUE, message(arguments, task="bots.sweep"))
    serve_one(broker)


@pytest.mark.fault("R07")
def test_a_doorbell_that_has_rung_for_too_long_wakes_nobody(broker: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sweep looks for itself; what a worker finds after an outage are the bells of yesterday."""
    broker.delete("trading")
    monkeypatch.setattr(wiring, "DOORBELL_SECONDS", -1)
    run, expired = list[str](), list[bool]()

    def begun(task: Any = None, **_facts: object) -> None:
        run.append(task.name)

    def revoked(**facts: Any) -> None:
        expired.append(facts["expired"])

    task_prerun.connect(begun, weak=False)
    task_revoked.connect(revoked, weak=False)
    try:
        wiring._send(1, datetime(2024, 3, 1, tzinfo=UTC), wiring.ADVANCE)
        assert broker.llen("trading") == 1
        serve_one(broker, "trading")
    finally:
        task_prerun.disconnect(begun)
        task_revoked.disconnect(revoked)
    assert (run, expired) == (["tests.ring"], [True])


@pytest.mark.fault("R06")
def test_doorbells_in_the_wrong_order_change_nothing(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each says no more than whose door it is: whoever comes first finds both candles, and the other finds none."""
    desk.bot("FIRST")
    desk.history(quiet)
    monkeypatch.setattr("bots.tasks.timezone.now", clock)
    desk.close_bars([100.0, 100.0])
    for _bell in ("of the second candle", "of the first"):
        tasks.advance_account.apply(kwargs={"account_id": desk.account.pk, "rung_by": "a later deploy"})
        decided = list(DecisionRecord.objects.order_by("bar_closed_at").values_list("bar_closed_at", flat=True).distinct())
        assert len(decided) == 2
    assert BotState.objects.get().bar_closed_at == decided[-1] == desk.market_at


@app.task(name="tests.ring")
def ring() -> None:
    """Do nothing: that it is run says that the queue goes on."""


def serve_one(broker: redis.Redis, queue: str = QUEUE) -> None:
    """Have a real worker serve the queue until it has come to our task, which is the last."""
    number, served = str(uuid.uuid4()), threading.Event()

    def note(task_id: str = "", **_facts: object) -> None:
        if task_id == number:
            served.set()

    task_prerun.connect(note, weak=False)
    try:
        ring.apply_async(queue=queue, task_id=number)
        with start_worker(app, pool="solo", queues=[queue], perform_ping_check=False, shutdown_timeout=60):
            assert served.wait(60), "the worker did not come to our task"
    finally:
        task_prerun.disconnect(note)
    assert broker.llen(queue) == 0


def message(
    body: str, *, task: str = "bots.sweep", content_type: str = "application/json", content_encoding: str = "utf-8"
) -> str:
    """Make a message as Celery's clients put it into a list."""
    number = str(uuid.uuid4())
    headers = {"lang": "py", "task": task, "id": number, "root_id": number, "argsrepr": "", "kwargsrepr": "", "retries": 0}
    return json.dumps(
        {
            "body": body,
            "content-encoding": content_encoding,
            "content-type": content_type,
            "headers": headers,
            "properties": {
                "correlation_id": number,
                "delivery_mode": 2,
                "delivery_info": {"exchange": "", "routing_key": QUEUE},
                "priority": 0,
                "body_encoding": "base64",
                "delivery_tag": number,
            },
        }
    )
