"""The store in memory is as strict as a database: what it is handed is there once, whole and in its order."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from tests.trading.desk.world import NOW, World, build
from trading.desk.memory import ConstraintBroken, Memory, MemoryStore
from trading.desk.plain import Account
from trading.desk.store import Changes, Movement
from trading.ledger import Leg, Pocket

D = Decimal
MARKET_AT = datetime(2024, 3, 1, tzinfo=UTC)


@pytest.fixture
def world() -> World:
    return build()


def movement(seq: int, reference: str, *amounts: str) -> Movement:
    """Make a movement of the operator's money against the outside."""
    pockets = (Pocket("unallocated", None, "USDT"), Pocket("external_flow", None, "USDT"))
    return Movement(
        seq=seq,
        kind="deposit",
        reference=reference,
        market_at=MARKET_AT,
        recorded_at=NOW,
        facts={},
        hash_previous="",
        hash=reference,
        legs=[Leg(pocket, D(amount)) for pocket, amount in zip(pockets, amounts, strict=True)],
    )


def write(world: World, *movements: Movement) -> None:
    """Hand movements to the store, as a desk does, in one transaction."""
    with world.memory.transaction() as store:
        store.account.ledger_seq += len(movements)
        store.write(Changes(movements=list(movements), account_fields={"ledger_seq"}))


def test_who_has_no_prices_says_none() -> None:
    memory = Memory(Account(pk=1, deploy="t1"), books=(), instruments=())
    with memory.transaction() as store:
        assert store.marks({1}) == {}


def test_what_is_no_zero_sum_is_not_committed_and_what_was_committed_is_not_summed_again(world: World) -> None:
    """I-01 is looked at once; what stands is history."""
    seq = world.memory.tables.account.ledger_seq
    before = world.memory.tables
    with pytest.raises(ConstraintBroken, match=rf"^Transaction {seq + 1} is not zero-sum: "):
        write(world, movement(seq + 1, "one-sided", "2", "-1"))
    assert world.memory.tables is before

    before.movements.append(movement(seq + 1, "history", "2", "-1"))
    with world.memory.transaction() as store:
        store.write(Changes())
    assert world.memory.tables.movements[-1].reference == "history"


def test_a_reference_is_posted_once(world: World) -> None:
    """I-20, whatever number it comes with, in one transaction or later."""
    seq = world.memory.tables.account.ledger_seq
    first, again = (movement(seq + n, "the same", "1", "-1") for n in (1, 2))
    with pytest.raises(ConstraintBroken, match=r"is posted already$"):
        write(world, first, again)
    write(world, first)
    with pytest.raises(ConstraintBroken, match=r"is posted already$"):
        write(world, again)


@pytest.mark.parametrize("step", [0, 2], ids=["a number again", "a number left out"])
def test_the_numbers_of_movements_follow_each_other(world: World, step: int) -> None:
    seq = world.memory.tables.account.ledger_seq
    with pytest.raises(ConstraintBroken):
        write(world, movement(seq + step, "new", "1", "-1"))


def test_audits_of_all_transactions_stay(world: World) -> None:
    for book in (1, 2):
        with world.at_desk() as desk:
            desk.halt_book(book, "TEST")
    assert [note.subject for note in world.memory.tables.audits[-2:]] == ["book:1", "book:2"]


def test_doorbells_of_all_writes_are_rung_once_at_the_commit(world: World) -> None:
    with world.memory.transaction() as store:
        store.write(Changes(wakes={"orders": None}))
        store.write(Changes(wakes={"cancel": None, "orders": None}))
        assert world.memory.wakes == []
    assert world.memory.wakes == ["orders", "cancel"]


def test_a_desk_goes_on_after_it_has_written(world: World) -> None:
    """What was written is not written again, and what comes then is."""
    with world.memory.transaction() as store:
        desk = world.desk(store)
        for book in (1, 2):
            desk.halt_book(book, "TEST")
            desk.write()
    assert [note.subject for note in world.memory.tables.audits] == ["book:1", "book:2"]
    assert [row.is_halted for row in world.memory.tables.books.values()] == [True, True, False]


def test_a_new_row_is_written_as_new_and_not_as_moved(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database would have to write it twice; one that was there before is written as moved."""
    world.decide(world.propose("place", side="buy", lots=100, limit_price=D(49000)))
    old = world.order("place")
    handed: list[Changes] = []
    honest = MemoryStore.write

    def watched(store: MemoryStore, changes: Changes) -> Any:
        handed.append(changes)
        return honest(store, changes)

    monkeypatch.setattr(MemoryStore, "write", watched)
    with world.at_desk() as desk:
        waiting = desk.store.make_intent(
            book_id=1, kind="place", instrument=desk.instrument(1), side="buy", lots=50, reason="TEST", market_at=MARKET_AT,
            limit_price=D(48000), slot=1,
        )  # fmt: skip
        new = desk.order(desk.admit(waiting), order_type="LIMIT_MAKER", quantity=D("0.0005"), price=D(48000))
        for order in (new, desk.know(desk.store.order(old.pk))):
            desk.touch_order(order)
            desk.touch_reservation(order)
    (changes,) = handed
    assert [order.client_order_id for order in changes.orders] == [new.client_order_id]
    assert changes.orders_moved.keys() == changes.reservations_moved.keys() == {old.client_order_id}
    assert waiting.seq not in changes.intents_moved
