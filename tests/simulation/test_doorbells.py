"""Doorbells are hints: a trader that never hears one does the same work, for it looks at the rows itself."""

from __future__ import annotations

import pytest

from tests.simulation.tiers import run
from tests.simulation.world import World


@pytest.mark.fault("D14")
def test_histories_hold_though_no_doorbell_is_ever_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that dies between its commit and the ringing: the orders are sent all the same, and everything settles (I-43)."""
    monkeypatch.setattr(World, "stir", lambda _world: None)
    tally = run(range(20))
    assert tally.broken == {}
    assert tally.fills > 0
    assert sum(tally.statuses[name] for name in ("ready", "sending")) == 0
