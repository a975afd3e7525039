from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bots import lineups
from bots.lineups import Plan
from tests.journeys.stack import Stack
from tests.portfolio.trader.conftest import desk

__all__ = ["desk"]


@pytest.fixture
def synthetic_stack(transactional_db: None, tmp_path: Path) -> Iterator[Stack]:
    """Have a stack over a fast synthetic market, with nothing started yet."""
    with Stack(tmp_path / "stack", ["--market", "synthetic", "--speed", "600"]) as stack:
        yield stack


@pytest.fixture
def lineup() -> Plan:
    """Answer the shipped line-up."""
    return lineups.load()
