"""Shares over time: versions and going back, what waits for capital, re-bases by hand, on schedule and after flows."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, connection, transaction
from django.db.utils import InternalError
from django.test.utils import CaptureQueriesContext

from portfolio import selectors, services
from portfolio.jobs.allocations import tend
from portfolio.models import Account, AllocationVersion, AuditEntry, Book, RiskLimits
from portfolio.selectors.allocations import newest_version, slices_at, versions
from portfolio.services import UnableToAllocate
from portfolio.services.allocations import AllocationPlan
from portfolio.writers import flows
from portfolio.writers.books import forget_pending
from tests.portfolio.world import BAR, MARKET_AT, NOW, World
from trading.orders import ExchangeStatus

D = Decimal


def share(world: World, *percents: str, **more: object) -> AllocationPlan:
    """Set the shares of the first books."""
    wanted = {book.pk: D(percent) for book, percent in zip(world.books, percents, strict=False)}
    more.setdefault("by", None)
    return services.set_allocations(account_id=world.account_id, percents=wanted, now=NOW, **more)  # type: ignore[arg-type]


def percents(world: World) -> list[Decimal]:
    return [row.percent for row in selectors.book_numbers(world.account_id)]


def buy(world: World, book: int = 0) -> None:
    """Have a book hold 0.003 BTC for 150."""
    world.decide(world.propose("enter", book, lots=300, limit_price=D("50505")))
    order = world.send(world.order(kind="enter", book=book))
    world.fill(order, "0.003", "50000", fee="0", fee_asset="BTC")
    world.end(order, ExchangeStatus.FILLED)


def sell(world: World, book: int = 0) -> None:
    world.decide(world.propose("exit", book))
    order = world.send(world.order(kind="exit", book=book))
    world.fill(order, "0.003", "50000", fee="0", fee_asset="USDT")
    world.end(order, ExchangeStatus.FILLED)


def passed(world: World, *, hours: int = 0) -> bool:
    """Let market time pass and tend the shares."""
    world.market_at += BAR + timedelta(hours=hours)
    return tend(account_id=world.account_id, market_at=world.market_at, now=NOW)


def test_every_version_is_kept_with_what_it_changed_and_by_whom(world: World) -> None:
    ada = User.objects.create_user("ada")
    share(world, "10", "30", by=ada, note="Ribbon does well")
    share(world, "10", locks={world.books[1].pk: True})
    newest, middle, first = versions(account_id=world.account_id, cursor=None, limit=10)

    assert [view.version.number for view in (newest, middle, first)] == [3, 2, 1]
    assert (middle.version.set_by, middle.version.note, middle.version.total) == (ada, "Ribbon does well", D("9882.31"))
    assert [(row.book_id, row.before and row.before.percent, row.after and row.after.percent) for row in middle.changes] == [
        (world.books[0].pk, D(20), D(10)),
        (world.books[1].pk, D(20), D(30)),
    ]
    assert [(row.book_id, row.after and row.after.is_locked) for row in newest.changes] == [(world.books[1].pk, True)]
    assert len(first.changes) == 5
    with CaptureQueriesContext(
        connection,
    ) as queries:
        versions(account_id=world.account_id, cursor=None, limit=50)
    assert len(queries) == 3


def test_a_version_is_never_edited(world: World) -> None:
    with pytest.raises((InternalError, IntegrityError), match="append-only"), transaction.atomic():
        AllocationVersion.objects.update(note="never happened")


def test_going_back_is_a_version_of_its_own(world: World) -> None:
    share(world, "10", "30", policy={"band_percent": D(1)})
    share(world, "0", "40", locks={world.books[1].pk: True})
    preview = services.preview_rollback(account_id=world.account_id, number=2)
    done = services.roll_back_allocations(account_id=world.account_id, number=2, by=None, now=NOW, expected=3)

    assert preview.shares == done.shares
    assert (done.number, percents(world)[:2]) == (4, [D(10), D(30)])
    assert not slices_at(world.account_id)[world.books[1].pk].is_locked
    version = newest_version(world.account_id)
    assert version is not None
    assert (version.cause, version.restored, version.band_percent) == ("rollback", 2, D(1))
    assert [row.equity for row in selectors.book_numbers(world.account_id)][:2] == [D("988.23"), D("2964.69")]
    assert world.verify() == []


def test_a_book_that_came_later_has_nothing_after_going_back(world: World) -> None:
    share(world, "0")
    late = Book.objects.create(account_id=world.account_id, number=99, name="Late", opened_at=NOW)
    services.set_allocations(account_id=world.account_id, percents={late.pk: D(20)}, by=None, now=NOW)
    services.roll_back_allocations(account_id=world.account_id, number=1, by=None, now=NOW)

    assert percents(world) == [D(20)] * 5 + [D(0)]


def test_going_back_to_a_version_that_never_was_is_refused(world: World) -> None:
    with pytest.raises(UnableToAllocate) as refused:
        services.roll_back_allocations(account_id=world.account_id, number=7, by=None, now=NOW)
    assert refused.value.code == "ALLOCATION_UNKNOWN_VERSION"


def test_of_two_operators_who_edit_at_once_the_second_is_shown_what_the_first_did(world: World) -> None:
    share(world, "10", by=User.objects.create_user("ada"), expected=1)
    with pytest.raises(UnableToAllocate) as refused:
        share(world, "20", "0", expected=1)

    assert refused.value.code == "ALLOCATION_STALE"
    assert "version 2 by ada at 12:00:00 UTC set Book 1 from 20 to 10 %" in str(refused.value)
    assert refused.value.facts["changes"] == [
        {"version": 2, "book": world.books[0].pk, "before": "20", "after": "10"},
    ]
    assert percents(world)[:2] == [D(10), D(20)]


@pytest.mark.fault("O04")
def test_capital_in_use_follows_when_it_is_free_and_is_not_spent_again_meanwhile(world: World) -> None:
    RiskLimits.objects.update(fall_percent=1)
    buy(world)
    world.decide(world.propose("place", 0, side="buy", lots=90, limit_price=D("49000"), slot=1))
    plan = share(world, "0", "40")
    shrunk, grown = plan.shares
    book = Book.objects.get(pk=world.books[0].pk)

    # 150 are in coins and 44.10 in an order; the rest left at once, and the other book waits for what is missing.
    assert (shrunk.missing, book.pending, book.base_equity) == (D("-194.1"), D("-194.1"), 0)
    assert grown.missing == D("194.09"), "a cent was still unallocated"
    assert passed(world) is False

    world.end(world.send(world.order(kind="place")))
    denied = world.decide(world.propose("place", 0, side="buy", lots=20, limit_price=D("49000"), slot=2))
    assert denied[0].code in ("CAPITAL_INSUFFICIENT", "RISK_POSITION_CAP")
    assert selectors.books_exact([book.pk], {})[book.pk].free_units == 0
    assert passed(world) is True
    assert (Book.objects.get(pk=book.pk).pending, Book.objects.get(pk=world.books[1].pk).pending) == (D(-150), D("149.99"))

    sell(world)
    assert passed(world) is True
    numbers = selectors.book_numbers(world.account_id)
    assert [row.equity for row in numbers][:2] == [0, D("3952.92")]
    assert set(Book.objects.values_list("pending", flat=True)) == {D(0)}
    assert Book.objects.get(pk=world.books[1].pk).base_equity == D("3952.92")
    assert AuditEntry.objects.filter(action="allocation.complete").count() == 2
    assert world.verify() == []
    assert passed(world) is False


def test_a_smaller_share_keeps_freed_cash_from_the_next_entry(world: World) -> None:
    """The position cap would allow it; the money is on its way out."""
    Book.objects.update(position_cap_percent=100)
    RiskLimits.objects.update(fall_percent=1)
    buy(world)
    share(world, "1")
    sell(world)

    (outcome,) = world.decide(world.propose("enter", 0, lots=196, limit_price=D("50505")))
    assert (outcome.code, outcome.facts.get("leaving_the_book")) == ("CAPITAL_INSUFFICIENT", "51.18"), outcome


def test_what_is_pending_is_forgotten_when_another_mode_deals_capital_out(world: World) -> None:
    buy(world)
    share(world, "0")
    with transaction.atomic():
        forget_pending(world.account())
    Account.objects.update(allocation_mode="single")

    assert passed(world) is False
    with pytest.raises(UnableToAllocate) as refused:
        share(world, "20")
    assert refused.value.code == "MODE_NOT_PERCENTAGE"


def deposit(world: World, amount: str) -> None:
    with transaction.atomic():
        flows.record_flow(
            world.account(),
            asset="USDT",
            amount=D(amount),
            reference=f"test:{amount}",
            market_at=world.market_at,
            now=NOW,
        )


def test_a_rebase_deals_out_a_deposit_and_takes_a_withdrawal_from_all(world: World) -> None:
    share(world, "20", "20", "20", "20", "10", locks={world.books[3].pk: True})
    deposit(world, "1000")
    services.rebase_allocations(account_id=world.account_id, by=None, now=NOW, expected=2)
    assert [row.equity for row in selectors.book_numbers(world.account_id)] == [
        D("2176.46"), D("2176.46"), D("2176.46"), D("1976.46"), D("1088.23"),
    ]  # fmt: skip
    deposit(world, "-1000")
    services.rebase_allocations(account_id=world.account_id, by=None, now=NOW)
    assert [row.equity for row in selectors.book_numbers(world.account_id)][:4] == [D("1976.46")] * 4
    assert world.verify() == []


def test_deposits_are_dealt_out_by_themselves_where_the_policy_says_so(world: World) -> None:
    deposit(world, "500")
    share(world, policy={"rebases_after_flows": True})
    assert passed(world) is False, "flows before the policy are not its business"

    deposit(world, "1000")
    assert passed(world) is True
    assert passed(world) is False
    version = newest_version(world.account_id)
    assert version is not None
    assert (version.cause, version.number, version.rebases_after_flows) == ("flow", 3, True)
    assert {row.equity for row in selectors.book_numbers(world.account_id)} == {D("2276.46")}


def test_a_schedule_of_market_time_rebases_once_a_slot(world: World) -> None:
    share(world, policy={"rebase_hours": 24, "band_percent": D("0.5")}, market_at=MARKET_AT + timedelta(hours=2))
    buy(world)
    assert passed(world) is False
    deposit(world, "100")
    assert passed(world, hours=24) is False, "20 each is inside the band of 0.5 %"
    deposit(world, "1000")
    assert passed(world, hours=1) is False, "the slot is served"
    assert passed(world, hours=24) is True
    assert passed(world, hours=1) is False
    version = newest_version(world.account_id)
    assert version is not None
    assert version.cause == "schedule"
    assert {row.equity for row in selectors.book_numbers(world.account_id)} == {D("2196.46")}


def test_nothing_is_rebased_while_the_account_is_not_known_for_sure(world: World) -> None:
    share(world, policy={"rebases_after_flows": True})
    deposit(world, "1000")
    Account.objects.update(state=Account.State.ENTRIES_HALTED)
    assert passed(world) is False
    Account.objects.update(state=Account.State.ACTIVE)
    assert passed(world) is True


def test_looking_for_work_costs_two_reads(world: World) -> None:
    share(world, policy={"rebase_hours": 1, "rebases_after_flows": True})
    with CaptureQueriesContext(connection) as queries:
        assert passed(world) is False
    assert len(queries) == 3
