"""What every test may use: a real PostgreSQL and a real Valkey, started by the first test that needs them."""

from __future__ import annotations

import os

import pytest

from tests import servers


@pytest.fixture(scope="session")
def embedded_servers() -> None:
    """Have PostgreSQL and Valkey running."""
    servers.ensure_running()


@pytest.fixture(scope="session")
def django_db_modify_db_settings(embedded_servers: None, django_db_modify_db_settings_parallel_suffix: None) -> None:
    """Have the servers running before pytest-django makes this worker's database."""


@pytest.fixture
def redis_url(embedded_servers: None) -> str:
    """Return the address of this worker's own Valkey."""
    return os.environ["REDIS_URL"]


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop the servers when the whole run is over."""
    if not hasattr(config, "workerinput"):
        servers.end_run()
