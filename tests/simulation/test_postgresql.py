"""The same histories with the rows in PostgreSQL: the trader's own functions, transactions and constraints."""

from __future__ import annotations

import pytest
from django.db import transaction

from tests.simulation.clock import BEGIN
from tests.simulation.history import History
from tests.simulation.postgresql import PostgresShell

pytestmark = [pytest.mark.django_db, pytest.mark.slow]
FIRST = 100_000


@pytest.mark.fault("C08", "D03", "D04")
@pytest.mark.parametrize("seed", range(FIRST, FIRST + 12))
def test_no_history_breaks_an_invariant_in_postgresql(seed: int) -> None:
    live(seed)


@pytest.mark.nightly
@pytest.mark.parametrize("first", range(FIRST, FIRST + 1_000, 20))
def test_a_thousand_histories_in_postgresql(first: int) -> None:
    for seed in range(first, first + 20):
        live(seed)


def live(seed: int) -> None:
    """Live through one history and forget it."""
    with transaction.atomic():
        History(seed, shell=lambda: PostgresShell(now=BEGIN)).run()
        transaction.set_rollback(True)
