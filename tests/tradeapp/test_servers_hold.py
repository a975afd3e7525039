"""What the embedded servers are told: nothing that was committed is lost, no work is evicted, nobody holds a lock for ever."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis
from django.db import connection

from tradeapp.celery import app
from tradeapp.up.postgres import CONFIGURATION, PROCESS_ROLE
from tradeapp.up.server_account import choose
from tradeapp.up.valkey import Valkey


@pytest.mark.fault("D08")
def test_a_commit_is_on_the_disk_before_an_order_is_sent() -> None:
    """The product's own command line, for the servers of these tests are told to be fast."""
    assert {CONFIGURATION[name] for name in ("fsync", "full_page_writes", "synchronous_commit")} == {"on"}


@pytest.mark.fault("D11")
@pytest.mark.django_db
def test_a_process_can_hold_neither_a_statement_nor_a_lock_for_ever() -> None:
    settings: dict[str, Any] = connection.settings_dict
    with psycopg.connect(host=settings["HOST"], dbname=settings["NAME"], user=PROCESS_ROLE) as session:
        limits = {name: session.execute(f"SHOW {name}").fetchone() for name in ("statement_timeout", "lock_timeout")}
        assert limits == {"statement_timeout": ("1min",), "lock_timeout": ("15s",)}
        session.execute("SET statement_timeout = '50ms'")
        with pytest.raises(psycopg.errors.QueryCanceled):
            session.execute("SELECT pg_sleep(60)")
    assert CONFIGURATION["idle_in_transaction_session_timeout"] == "60s"


@pytest.mark.fault("R10")
def test_a_full_valkey_forgets_what_expires_and_keeps_the_work(redis_url: str) -> None:
    """The embedded server's own policy, on a server that is full: caches go, queues stay."""
    words = Valkey(Path("valkey"), Path("x"), Path("x/socket"), choose()).command()
    policy = words[words.index("--maxmemory-policy") + 1]
    assert policy == "volatile-lru"
    # The client's types allow for an asynchronous one.
    server: Any = redis.Redis.from_url(redis_url)
    before = {name: server.config_get(name)[name] for name in ("maxmemory", "maxmemory-policy")}
    server.lpush("work", *(b"x" * 1000 for _ in range(100)))
    try:
        server.config_set("maxmemory-policy", policy)
        server.config_set("maxmemory", int(server.info("memory")["used_memory"]) + 1_000_000)
        for number in range(3000):
            server.set(f"cached:{number}", b"x" * 1000, ex=600)
        assert server.info("stats")["evicted_keys"] > 0
        assert server.llen("work") == 100
    finally:
        for name, value in before.items():
            server.config_set(name, value)
        server.flushdb()


@pytest.mark.fault("R14", "R15")
def test_a_worker_takes_one_task_at_a_time_and_keeps_no_result() -> None:
    app.loader.import_default_modules()
    assert app.conf.worker_prefetch_multiplier == 1
    ours = [task for name, task in app.tasks.items() if not name.startswith(("celery.", "tests."))]
    assert ours
    assert [task.name for task in ours if not (task.ignore_result or app.conf.task_ignore_result)] == []
    # What takes minutes waits elsewhere than what trades.
    assert getattr(app.tasks["bots.warm_rest"], "queue", "") == "backtests"
    assert getattr(app.tasks["bots.sweep"], "queue", "") == "trading"
