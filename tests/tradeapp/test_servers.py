"""The servers that tests and small installations run on."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import redis
from django.core.cache import cache
from django.db import connection

from tradeapp.up.binaries import PostgresPrograms
from tradeapp.up.postgres import Postgres
from tradeapp.up.server_account import ServerAccount


@pytest.mark.django_db
def test_the_database_is_postgresql_18_with_checksums() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('server_version_num')::int / 10000, current_setting('data_checksums')")
        assert cursor.fetchone() == (18, "on")


def test_valkey_answers_on_a_unix_socket(redis_url: str) -> None:
    assert redis_url.startswith("unix://")
    assert redis.Redis.from_url(redis_url).ping()


def test_the_cache_keeps_a_value(redis_url: str) -> None:
    cache.set("house", 1, timeout=5)

    assert cache.get("house") == 1


def test_a_lock_file_whose_number_belongs_to_a_stranger_is_cleared(tmp_path: Path) -> None:
    account = ServerAccount("me", os.getuid(), os.getgid(), is_other=False)
    lock = tmp_path / "postmaster.pid"
    lock.write_text(f"{os.getpid()}\n{tmp_path}\n")
    server = Postgres(PostgresPrograms(tmp_path, tmp_path), cluster=tmp_path, sockets=tmp_path, account=account)

    server.clear_stale_lock()

    assert not lock.exists()
