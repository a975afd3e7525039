"""Fixtures of the money world."""

from __future__ import annotations

import pytest

from tests.portfolio.world import World, build


@pytest.fixture
def world(db: None) -> World:
    """Return an account of 9,882.31 USDT with five books at 20 % each."""
    return build()
