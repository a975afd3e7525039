"""The invariants are worth something: each wrong turn is found within a few histories (T4)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.simulation.history import History
from tests.simulation.mutants import MUTANTS, alive, trader_remembers_nothing
from tests.simulation.tiers import root_of, run
from trading.desk.memory import MemoryStore
from trading.desk.store import TradeFacts
from trading.orders import TradeReport

HISTORIES_MAX = 60


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.__name__)
def test_every_wrong_turn_is_found(mutant: Callable[[], list[Any]]) -> None:
    with alive(mutant):
        for seed in range(HISTORIES_MAX):
            try:
                History(seed).run()
            except Exception as error:  # noqa: BLE001 - a wrong turn may break anything.
                found = root_of(error)
                print(f"{mutant.__name__}: seed {seed}: {type(found).__name__} {found}"[:200])
                # A mutant that no longer fits the code it replaces is found by Python, which proves nothing.
                assert not isinstance(found, (AttributeError, NameError, TypeError)), found
                return
    pytest.fail(f"{mutant.__name__} lived through {HISTORIES_MAX} histories")


def test_the_books_post_each_trade_once_though_the_trader_forgets(monkeypatch: pytest.MonkeyPatch) -> None:
    """I-20: what was recorded comes again and again, and changes nothing."""
    repeats = 0
    original = MemoryStore.trade_facts

    def counted(self: MemoryStore, trade: TradeReport) -> TradeFacts:
        nonlocal repeats
        facts = original(self, trade)
        repeats += facts.is_posted
        return facts

    monkeypatch.setattr(MemoryStore, "trade_facts", counted)
    with alive(trader_remembers_nothing):
        assert run(range(HISTORIES_MAX)).broken == {}
    assert repeats > HISTORIES_MAX
