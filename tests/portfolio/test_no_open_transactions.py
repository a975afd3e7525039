"""No transaction is open while an exchange is asked: neither a request's, nor one of the process that asks (D13)."""

from __future__ import annotations

import asyncio

import pytest
from django.conf import settings
from django.core.exceptions import SynchronousOnlyOperation
from django.db import connection, transaction

pytestmark = pytest.mark.fault("D13")


def test_no_request_is_a_transaction() -> None:
    assert not any(database.get("ATOMIC_REQUESTS") for database in settings.DATABASES.values())


def test_where_exchanges_are_asked_django_opens_no_transaction(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every adapter is awaited in an event loop; the database is asked from threads of its own, one transaction each."""
    monkeypatch.delenv("DJANGO_ALLOW_ASYNC_UNSAFE", raising=False)

    async def ask() -> None:
        with pytest.raises(SynchronousOnlyOperation):
            connection.cursor()
        with pytest.raises(SynchronousOnlyOperation), transaction.atomic():
            pass

    asyncio.run(ask())
