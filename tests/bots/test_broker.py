"""The broker is a doorbell: what it loses is found again, and what strangers put into it is not run."""

from __future__ import annotations

import base64
import json
import os
import pickle
import threading
import uuid
from pathlib import Path
from typing import Any

import pytest
import redis
from celery.contrib.testing.worker import start_worker
from celery.signals import task_prerun

from bots import tasks
from bots.models import BotState
from portfolio.models import DecisionRecord
from tests.bots.conftest import Desk, clock, quiet
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


@app.task(name="tests.ring")
def ring() -> None:
    """Do nothing: that it is run says that the queue goes on."""


def serve_one(broker: redis.Redis) -> None:
    """Have a real worker serve the queue until it has come to our task, which is the last."""
    number, served = str(uuid.uuid4()), threading.Event()

    def note(task_id: str = "", **_facts: object) -> None:
        if task_id == number:
            served.set()

    task_prerun.connect(note, weak=False)
    try:
        ring.apply_async(queue=QUEUE, task_id=number)
        with start_worker(app, pool="solo", queues=[QUEUE], perform_ping_check=False, shutdown_timeout=60):
            assert served.wait(60), "the worker did not come to our task"
    finally:
        task_prerun.disconnect(note)
    assert broker.llen(QUEUE) == 0


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
