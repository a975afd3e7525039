"""Histories that once broke an invariant hold for ever."""

from __future__ import annotations

import pytest

from tests.simulation.faults import CLASSES, DRAWN_APART
from tests.simulation.history import History
from tests.simulation.tiers import PERMANENT


@pytest.mark.parametrize("seed", PERMANENT)
def test_a_history_that_once_broke_holds(seed: int) -> None:
    # They broke before there was an exchange of another kind, or a market that passes stops on their way.
    assert History(seed, allowed=frozenset(CLASSES) - DRAWN_APART.keys()).run().orders > 0
