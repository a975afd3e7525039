"""One history in both shells at once: after every step PostgreSQL and memory hold the same rows and the same hash."""

from __future__ import annotations

import pytest

from tests.portfolio.twins import Twins, in_memory, on_postgres

STEPS = 160
SEEDS = range(5)


@pytest.mark.django_db
@pytest.mark.parametrize("seed", SEEDS)
def test_both_shells_agree_after_every_step(seed: int) -> None:
    """I-51 across shells: what the simulation proves in memory holds in PostgreSQL."""
    twins = Twins(seed)
    for step in range(STEPS):
        twins.step()
        ours, theirs = on_postgres(twins.world), in_memory(twins.memory)
        for name, rows in ours.items():
            assert rows == theirs[name], f"{name} after step {step} of seed {seed}"
    assert twins.world.verify() == []
    # A thing that never happened proves nothing.
    assert len(twins.counts) >= 11, twins.counts
