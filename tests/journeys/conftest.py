from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from bots import lineups
from bots.lineups import Plan
from tests.journeys.browser import chromium
from tests.journeys.stack import Stack
from tests.portfolio.trader.conftest import desk

__all__ = ["desk"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Have a Chromium for the tests of a module that look at this process's own server."""
    # The driver runs a loop in this thread, and the database is asked from it between the browser's steps.
    with pytest.MonkeyPatch.context() as patch, chromium() as started:
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
        yield started


@pytest.fixture
def synthetic_stack(transactional_db: None, tmp_path: Path) -> Iterator[Stack]:
    """Have a stack over a fast synthetic market, with nothing started yet."""
    with Stack(tmp_path / "stack", ["--market", "synthetic", "--speed", "600"]) as stack:
        yield stack


@pytest.fixture
def lineup() -> Plan:
    """Answer the shipped line-up."""
    return lineups.load()
