"""The journal: append-only and zero-sum by the database itself, chained, exact."""

from __future__ import annotations

from decimal import Decimal, Inexact

import pytest
from django.db import DatabaseError, IntegrityError, connection, transaction

from portfolio.jobs import verify
from portfolio.models import AuditEntry, LedgerAccount, LedgerEntry, LedgerTransaction
from portfolio.writers import ledger
from portfolio.writers.ledger import InsufficientBalance
from tests.portfolio.world import MARKET_AT, NOW, World, build
from trading.ledger import Leg, NotZeroSum, Pocket

D = Decimal
OPERATOR = Pocket("unallocated", None, "USDT")
OUTSIDE = Pocket("external_flow", None, "USDT")


def post(world: World, *legs: Leg, reference: str = "test:1") -> LedgerTransaction:
    """Post a transaction."""
    with transaction.atomic():
        return ledger.post(world.account(), kind="deposit", reference=reference, legs=legs, market_at=MARKET_AT, now=NOW)


@pytest.mark.parametrize("table", ["portfolio_ledgertransaction", "portfolio_ledgerentry", "portfolio_auditentry",
                                   "portfolio_allocation"])  # fmt: skip
@pytest.mark.parametrize("command", ["UPDATE {} SET id = id", "DELETE FROM {}"])
def test_the_journal_refuses_change_by_raw_sql(world: World, table: str, command: str) -> None:
    """History is append-only (promise 9), whoever asks."""
    assert AuditEntry.objects.exists()
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(command.format(table))


def test_the_journal_refuses_change_by_the_models(world: World) -> None:
    """The ORM has no side door."""
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        LedgerEntry.objects.update(amount=D(1))
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        LedgerTransaction.objects.order_by("-id")[0].save()


def test_a_fill_may_change_nothing_but_what_it_realised(world: World) -> None:
    """A late fill re-reads history; it does not rewrite trades."""
    world.decide(world.propose("enter", lots=380, limit_price=D("50505")))
    world.fill(world.send(world.order(kind="enter")), "0.0038", "50000")
    with connection.cursor() as cursor:
        cursor.execute("UPDATE portfolio_fill SET realised = 0")
        with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
            cursor.execute("UPDATE portfolio_fill SET price = 1")


@pytest.mark.django_db(transaction=True)
def test_the_database_refuses_a_transaction_that_does_not_sum_to_zero() -> None:
    """I-01 by a deferred trigger: nothing in Python stands in its way here."""
    world = build()
    pocket = LedgerAccount.objects.get(account=world.account_id, kind="unallocated", asset="USDT")
    outside = LedgerAccount.objects.get(account=world.account_id, kind="external_flow", asset="USDT")
    fields = {"account_id": world.account_id, "seq": 99, "kind": "x", "reference": "x", "market_at": MARKET_AT}
    before = LedgerTransaction.objects.count()

    def almost() -> None:
        header = LedgerTransaction.objects.create(**fields, recorded_at=NOW, hash="x")
        LedgerEntry.objects.create(transaction=header, ledger_account=pocket, amount=D("1"))
        LedgerEntry.objects.create(transaction=header, ledger_account=outside, amount=D("-0.999999999999999999"))

    with pytest.raises(IntegrityError, match="not zero-sum"), transaction.atomic():
        almost()
    with pytest.raises(IntegrityError, match="not zero-sum"), transaction.atomic():
        LedgerTransaction.objects.create(**fields, recorded_at=NOW, hash="x")
    # A leg slipped under an old transaction is refused as well.
    old = LedgerTransaction.objects.order_by("id")[0]
    with pytest.raises(IntegrityError, match="not zero-sum"), transaction.atomic():
        LedgerEntry.objects.create(transaction=old, ledger_account=pocket, amount=D("1"))

    assert LedgerTransaction.objects.count() == before
    assert world.verify() == []


def test_python_refuses_first(world: World) -> None:
    """I-01 and I-07 with a message that a person understands."""
    with pytest.raises(NotZeroSum):
        post(world, Leg(OPERATOR, D(1)), Leg(OUTSIDE, D("-1.1")))
    with pytest.raises(InsufficientBalance):
        post(world, Leg(OPERATOR, D("-0.02")), Leg(OUTSIDE, D("0.02")))
    with pytest.raises(Inexact):
        post(world, Leg(OPERATOR, D("1E-19")), Leg(OUTSIDE, D("-1E-19")))
    assert world.verify() == []


def test_the_database_refuses_a_pocket_of_ours_below_zero(world: World) -> None:
    """I-07 by constraint."""
    with pytest.raises(IntegrityError, match="ledger_balance_not_negative"), transaction.atomic():
        LedgerAccount.objects.filter(kind="unallocated").update(balance=D("-0.00000001"))


def test_a_reference_is_posted_once(world: World) -> None:
    """What caused a movement cannot cause it twice."""
    legs = (Leg(OPERATOR, D(1)), Leg(OUTSIDE, D(-1)))
    post(world, *legs)
    with pytest.raises(IntegrityError, match="ledger_reference_unique"), transaction.atomic():
        post(world, *legs)


@pytest.mark.fault("D19")
def test_the_smallest_and_the_largest_amounts_survive(world: World) -> None:
    """NUMERIC(38,18) on the way in and out, to the last digit."""
    amount = D("12345678901234567890.123456789012345678")
    # Plain operators would round to 28 digits here: the journal's own context does not.
    post(world, Leg(OPERATOR, amount), Leg(OUTSIDE, amount.copy_negate()))
    balance = LedgerAccount.objects.get(kind="unallocated", asset="USDT").balance
    assert balance == D("12345678901234567890.133456789012345678")
    assert world.verify() == []


@pytest.mark.parametrize(
    ("sql", "invariant"),
    [
        ("UPDATE portfolio_ledgeraccount SET balance = balance + 1 WHERE kind = 'unallocated'", "I-04"),
        ("UPDATE portfolio_ledgertransaction SET facts = '{\"percent\": \"21\"}' WHERE kind = 'allocation'", "I-05"),
        ("UPDATE portfolio_ledgertransaction SET seq = seq + 100 WHERE seq = 3", "I-05"),
        ("UPDATE portfolio_account SET ledger_hash = 'x'", "I-05"),
        ("UPDATE portfolio_ledgerentry SET amount = amount * 2", "I-05"),
        ("UPDATE portfolio_book SET net_flows = net_flows + 1 WHERE number = 1", "I-25"),
        ("UPDATE portfolio_reservation SET remaining = remaining - 1, voided = voided + 1 WHERE remaining > 0", "I-08"),
        ("DELETE FROM portfolio_reservation", "I-10"),
        ("UPDATE portfolio_order SET filled_quantity = 0.00001", "I-15"),
        ("UPDATE portfolio_account SET trades_posted = trades_posted + 1", "I-20"),
        ("UPDATE portfolio_position SET cost = cost + 1", "I-29"),
        ("UPDATE portfolio_position SET quantity = quantity + 1", "I-26"),
    ],
)
def test_the_audit_finds_what_was_tampered_with(world: World, sql: str, invariant: str) -> None:
    """Every check of the audit is proven by a mutant that it kills."""
    world.decide(world.propose("enter", lots=380, limit_price=D("50505")))
    world.fill(world.send(world.order(kind="enter")), "0.0038", "50000", fee="0.0000038", fee_asset="BTC")
    world.decide(world.propose("enter", 1, lots=380, limit_price=D("50505")))
    assert world.verify() == []

    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        # Triggers stop everybody but the owner of the tables, who can switch them off.
        cursor.execute("ALTER TABLE portfolio_ledgertransaction DISABLE TRIGGER USER")
        cursor.execute("ALTER TABLE portfolio_ledgerentry DISABLE TRIGGER USER")
        cursor.execute(sql)
        assert cursor.rowcount > 0
    assert invariant in {finding.invariant for finding in verify.verify(world.account_id)}
