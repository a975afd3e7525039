"""The books are verified as they grow: tampering is found in the next cycle, and a long journal makes no cycle longer."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection, transaction

from portfolio.jobs import checkpoints
from portfolio.jobs.verify import journal
from portfolio.models import LedgerCheckpoint
from portfolio.writers import accounts, ledger
from tests.portfolio.world import NOW, World
from trading.ledger import Leg, Pocket

D = Decimal
CYCLE = timedelta(seconds=30)


def verify(world: World, cycle: int = 0) -> list[str]:
    return [finding.invariant for finding in checkpoints.verify_new(world.account_id, now=NOW + cycle * CYCLE)]


def tamper(sql: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("ALTER TABLE portfolio_ledgertransaction DISABLE TRIGGER USER")
        cursor.execute("ALTER TABLE portfolio_ledgerentry DISABLE TRIGGER USER")
        cursor.execute(sql)
        assert cursor.rowcount > 0


def grow(world: World, count: int) -> None:
    """Post movements that change nothing in the end."""
    legs = [Leg(Pocket("unallocated", None, "USDT"), D(1)), Leg(Pocket("external_flow", None, "USDT"), D(-1))]
    back = [Leg(pocket, -amount) for pocket, amount in legs]
    with transaction.atomic():
        account = accounts.lock(world.account_id)
        for number in range(count):
            reference = f"{account.ledger_seq}:{number}"
            ledger.post(account, kind="test", reference=reference, legs=back if number % 2 else legs, market_at=NOW, now=NOW)


def checkpoint(world: World) -> LedgerCheckpoint:
    return LedgerCheckpoint.objects.get(account=world.account_id)


def test_a_checkpoint_follows_the_journal(world: World) -> None:
    assert verify(world) == []
    first = checkpoint(world).seq
    world.decide(world.propose("enter", lots=380, limit_price=D("50505")))
    world.fill(world.send(world.order(kind="enter")), "0.0038", "50000", fee="0.0000038", fee_asset="BTC")
    assert verify(world) == []
    after = checkpoint(world)
    assert after.seq == world.account().ledger_seq > first
    assert (after.hash, after.fill_count) == (world.account().ledger_hash, 1)


@pytest.mark.fault("D16")
@pytest.mark.parametrize(
    ("sql", "invariant"),
    [
        ("UPDATE portfolio_ledgeraccount SET balance = balance + 1 WHERE kind = 'unallocated'", "I-04"),
        ("UPDATE portfolio_account SET ledger_hash = 'x'", "I-05"),
        ("UPDATE portfolio_account SET ledger_seq = ledger_seq - 1", "I-05"),
        ("UPDATE portfolio_account SET trades_posted = trades_posted + 1", "I-20"),
        ("UPDATE portfolio_position SET quantity = quantity + 1", "I-26"),
        ("UPDATE portfolio_reservation SET remaining = remaining - 1, voided = voided + 1 WHERE remaining > 0", "I-08"),
    ],
)
def test_a_row_edited_behind_our_back_is_found_in_the_next_cycle(world: World, sql: str, invariant: str) -> None:
    world.decide(world.propose("enter", lots=380, limit_price=D("50505")))
    world.fill(world.send(world.order(kind="enter")), "0.0038", "50000", fee="0.0000038", fee_asset="BTC")
    world.decide(world.propose("enter", 1, lots=380, limit_price=D("50505")))
    assert verify(world) == []
    before = checkpoint(world)
    tamper(sql)
    assert invariant in verify(world, 1)
    # What is broken is not taken for verified: it is found again until somebody mends it.
    assert checkpoint(world).seq == before.seq
    assert invariant in verify(world, 2)


@pytest.mark.fault("D10", "D16")
@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE portfolio_ledgertransaction SET facts = '{\"x\": 1}' WHERE seq = 1",
        "UPDATE portfolio_ledgertransaction SET recorded_at = recorded_at + interval '1 second' WHERE seq = 2",
        "UPDATE portfolio_ledgerentry SET amount = amount * 2 WHERE id = (SELECT min(id) FROM portfolio_ledgerentry)",
    ],
    ids=["facts", "time", "amount"],
)
def test_old_history_that_was_rewritten_is_found_by_the_daily_look(world: World, sql: str) -> None:
    assert verify(world) == verify(world, 1) == []
    assert checkpoint(world).full_at is not None
    tamper(sql)
    day = int(timedelta(days=1) / CYCLE)
    assert verify(world, day) == []
    assert "I-05" in verify(world, day + 1)


@pytest.mark.fault("D18")
def test_a_cycle_reads_what_is_new_and_a_slice_of_the_old(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    grow(world, 60)
    monkeypatch.setattr(checkpoints, "SLICE", 25)
    monkeypatch.setattr(checkpoints, "_AGAIN_MIN", 10)
    seqs = []
    for cycle in range(4):
        assert verify(world, cycle) == []
        seqs.append(checkpoint(world).seq)
    head = world.account().ledger_seq
    assert seqs[:2] == [25, 50]
    assert seqs[-1] == head
    day = int(timedelta(days=1) / CYCLE) + 10
    small = rows_read(world, day, monkeypatch)
    grow(world, 200)
    cycle = day
    while checkpoint(world).seq < world.account().ledger_seq:
        cycle += 1
        assert verify(world, cycle) == []
    # Nothing new: a cycle costs a slice of the old, however long the journal has become.
    assert rows_read(world, 3 * day, monkeypatch) == small == 10


def rows_read(world: World, cycle: int, monkeypatch: pytest.MonkeyPatch) -> int:
    """Count the transactions of the journal that a cycle without news walks through."""
    walked: list[Any] = []

    def counting(*words: Any, **named: Any) -> Any:
        for row in journal(*words, **named):
            walked.append(row)
            yield row

    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "journal", counting)
        assert verify(world, cycle) == []
    return len(walked)


def test_the_whole_journal_is_verified_in_slices(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    grow(world, 30)
    monkeypatch.setattr(checkpoints, "SLICE", 7)
    assert checkpoints.verify_from_the_first(world.account_id) == []
    tamper("UPDATE portfolio_ledgertransaction SET facts = '{\"x\": 1}' WHERE seq = 20")
    assert [finding.invariant for finding in checkpoints.verify_from_the_first(world.account_id)] == ["I-05"]
