"""The servers that tests and small installations run on."""

from __future__ import annotations

import pytest
import redis
from django.core.cache import cache
from django.db import connection


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
