"""Histories that once broke an invariant hold for ever."""

from __future__ import annotations

import pytest

from tests.simulation.history import History
from tests.simulation.tiers import PERMANENT


@pytest.mark.parametrize("seed", PERMANENT)
def test_a_history_that_once_broke_holds(seed: int) -> None:
    assert History(seed).run().orders > 0
