"""The invariants are worth something: each wrong turn is found within a few histories (T4)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.simulation.history import History
from tests.simulation.mutants import MUTANTS, alive

HISTORIES_MAX = 60


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.__name__)
def test_every_wrong_turn_is_found(mutant: Callable[[], list[Any]]) -> None:
    with alive(mutant):
        for seed in range(HISTORIES_MAX):
            try:
                History(seed).run()
            except Exception as found:  # noqa: BLE001 - a wrong turn may break anything.
                print(f"{mutant.__name__}: seed {seed}: {found}"[:200])
                return
    pytest.fail(f"{mutant.__name__} lived through {HISTORIES_MAX} histories")
