"""The second half of the histories of every run: whatever goes wrong, the books and the exchange agree."""

from __future__ import annotations

import pytest

from tests.simulation.tiers import BLOCK, run

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("first", range(5_000, 10_000, BLOCK))
def test_no_history_breaks_an_invariant(first: int) -> None:
    """I-01 .. I-47 after every step and at rest, and every fault class and crash point has struck."""
    tally = run(range(first, first + BLOCK))
    print(tally.table())
    assert tally.broken == {}
    assert tally.never_fired == []
    assert sum(tally.crashes.values()) >= tally.histories
