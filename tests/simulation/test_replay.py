"""A seed is a history: the same one every time, in every process."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.simulation.history import History

SEEDS = range(40)
_PRINT = "import django; django.setup(); from tests.simulation.tiers import run; print(run(range(40)).hashes)"


def test_a_replayed_seed_gives_the_same_journal() -> None:
    """I-51: the same hash, the same orders, the same diary."""
    for seed in SEEDS:
        first, second = History(seed), History(seed)
        assert first.run().journal_hash == second.run().journal_hash
        assert first.world.diary == second.world.diary


@pytest.mark.fault("D17")
def test_another_process_gives_the_same_journal() -> None:
    """I-51: neither the order of sets nor the addresses of objects play a part."""
    told = set()
    for hash_seed in ("1", "2"):
        environment = os.environ | {"PYTHONHASHSEED": hash_seed, "DJANGO_SETTINGS_MODULE": "tests.typing_settings"}
        done = subprocess.run(
            [sys.executable, "-c", _PRINT], env=environment, capture_output=True, text=True, check=True, timeout=120
        )
        told.add(done.stdout)
    assert len(told) == 1
