"""Histories that once broke an invariant hold for ever."""

from __future__ import annotations

import pytest

from tests.simulation.faults import CLASSES, KINDS
from tests.simulation.history import History
from tests.simulation.tiers import PERMANENT


@pytest.mark.parametrize("seed", PERMANENT)
def test_a_history_that_once_broke_holds(seed: int) -> None:
    # They broke before there was an exchange of another kind.
    assert History(seed, allowed=frozenset(CLASSES) - KINDS.keys()).run().orders > 0
