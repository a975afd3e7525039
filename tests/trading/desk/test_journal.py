"""The journal of one transaction: what lacks is named, and nothing of it is kept."""

from __future__ import annotations

from collections.abc import Collection
from decimal import Decimal

import pytest

from tests.trading.desk.world import NOW, build
from trading.desk.journal import InsufficientBalance, Journal
from trading.ledger import Leg, Pocket

D = Decimal
MINE = Pocket("available", 1, "USDT")
THEIRS = Pocket("available", 2, "USDT")


def test_a_pocket_that_would_be_overdrawn_is_named_with_what_it_would_hold() -> None:
    asked: list[Collection[int] | None] = []

    def load(scope: Collection[int] | None) -> dict[Pocket, Decimal]:
        asked.append(scope)
        found = {MINE: D(100), THEIRS: D(5)}
        return found if scope is None else {pocket: amount for pocket, amount in found.items() if pocket.book_id in scope}

    journal = Journal(build().memory.tables.account, load, now=NOW)
    journal.narrow([1])
    with pytest.raises(InsufficientBalance, match=r"^available of book 2 would hold -2\.?0* USDT$") as refusal:
        journal.post(kind="transfer", reference="x", legs=[Leg(THEIRS, D(-7)), Leg(MINE, D(7))], market_at=NOW)
    assert refusal.value.pocket == THEIRS
    # The second book lies outside of what was asked for first: it is loaded before anything is said of it.
    assert asked == [[1], None]
    assert journal.taken()[0] == []
