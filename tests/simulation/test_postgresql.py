"""The same histories with the rows in PostgreSQL: the trader's own functions, transactions and constraints."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from django.db import transaction

from tests.simulation.clock import BEGIN
from tests.simulation.postgresql import PostgresShell
from tests.simulation.tiers import BLOCK, Tally, run

pytestmark = [pytest.mark.django_db, pytest.mark.slow]
FIRST = 100_000


@pytest.fixture(scope="module")
def tally() -> Iterator[Tally]:
    """Collect what all blocks met: of so many histories each fault class and crash point has struck one."""
    whole = Tally()
    yield whole
    if whole.histories >= BLOCK:
        assert whole.never_fired == []


@pytest.mark.fault("C08", "D03", "D04")
@pytest.mark.parametrize("seed", range(FIRST, FIRST + 12))
def test_no_history_breaks_an_invariant_in_postgresql(seed: int) -> None:
    assert live([seed]).broken == {}


@pytest.mark.nightly
@pytest.mark.parametrize("first", range(FIRST, FIRST + 1_000, 20))
def test_a_thousand_histories_in_postgresql(first: int, tally: Tally) -> None:
    block = live(range(first, first + 20))
    tally.add(block)
    # The last of them says how often each fault class and crash point struck in all (with -rP or -s).
    print(tally.table())
    assert block.broken == {}


def live(seeds: range | list[int]) -> Tally:
    """Live through histories and forget each of them."""
    return run(seeds, shell=lambda: PostgresShell(now=BEGIN), around=_forgotten)


@contextmanager
def _forgotten() -> Iterator[None]:
    with transaction.atomic():
        yield
        transaction.set_rollback(True)
