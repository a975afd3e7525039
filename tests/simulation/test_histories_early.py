"""The first half of the histories of every run: whatever goes wrong, the books and the exchange agree."""

from __future__ import annotations

import pytest

from tests.simulation.tiers import BLOCK, run

pytestmark = pytest.mark.slow
# `make faults` lives through the first block alone.
FAULTS = pytest.mark.fault(
    *("E02", "E03", "E04", "E05", "E06", "E07", "E09", "E10", "E19", "E20", "E22", "E25", "E27", "E28", "E30", "E31", "E32"),
    *("E36", "E37", "E38", "E42", "E43", "U01", "U02", "U03", "U05", "U09", "U11", "C14", "D03", "D04", "R12", "R13", "O05"),
)
FIRSTS = [pytest.param(first, marks=FAULTS if first == 0 else ()) for first in range(0, 5_000, BLOCK)]


@pytest.mark.parametrize("first", FIRSTS)
def test_no_history_breaks_an_invariant(first: int) -> None:
    """I-01 .. I-47 after every step and at rest, and every fault class and crash point has struck."""
    tally = run(range(first, first + BLOCK))
    print(tally.table())
    assert tally.broken == {}
    assert tally.never_fired == []
    assert sum(tally.crashes.values()) >= tally.histories
