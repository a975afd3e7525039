"""Fifty edits and two hundred intents at the same moment: nothing is dealt out twice, nothing is lost, everybody is answered."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import pytest
from django.db import connection, transaction

from portfolio import selectors, services
from portfolio.jobs.coordinate import coordinate
from portfolio.models import Allocation, AllocationVersion, AuditEntry, Book, Order, Reservation, RiskLimits
from portfolio.selectors.allocations import slices_at
from portfolio.services import UnableToAllocate
from portfolio.writers import accounts
from tests.portfolio.world import BAR, MARKET_AT, NOW, World, build

D = Decimal
EDITORS = 50
INTENTS = 200
# Each on a connection of its own; PostgreSQL is set to 120 of them.
WORKERS = 80


@pytest.fixture
def crowd(transactional_db: None) -> World:
    """Return a world that other connections see."""
    return build(percent="10")


def at_once(works: Sequence[Callable[[], str]]) -> list[str]:
    """Let all begin at the same moment, each on a connection of its own; answer what each was told."""
    barrier = threading.Barrier(len(works))

    def run(work: Callable[[], str]) -> str:
        connection.ensure_connection()
        barrier.wait()
        try:
            return work()
        finally:
            connection.close()

    with ThreadPoolExecutor(len(works)) as pool:
        return list(pool.map(run, works))


def edit(world: World, percents: dict[int, Decimal], expected: int | None = None) -> Callable[[], str]:
    def work() -> str:
        try:
            plan = services.set_allocations(account_id=world.account_id, percents=percents, by=None, now=NOW, expected=expected)
        except UnableToAllocate as refused:
            return refused.code
        return f"version {plan.number}"

    return work


@pytest.mark.fault("C14")
def test_of_fifty_who_edit_the_same_version_one_wins_and_all_others_are_told(crowd: World) -> None:
    answers = at_once([edit(crowd, {crowd.books[0].pk: D(11 + number)}, expected=1) for number in range(EDITORS)])

    assert Counter(answers) == {"version 2": 1, "ALLOCATION_STALE": EDITORS - 1}
    assert AllocationVersion.objects.count() == 2
    assert AuditEntry.objects.filter(action="allocation.set").count() == 2
    assert crowd.verify() == []


def test_fifty_edits_at_once_neither_deal_out_too_much_nor_lose_one(crowd: World) -> None:
    """Each wants 11 to 60 % for one of five books: they cannot all fit."""
    wanted = [{crowd.books[number % 5].pk: D(11 + number)} for number in range(EDITORS)]
    answers = at_once([edit(crowd, percents) for percents in wanted])

    told = Counter(answer.split()[0] for answer in answers)
    assert told["version"] + told["ALLOCATION_ABOVE_TOTAL"] == EDITORS
    assert min(told["version"], told["ALLOCATION_ABOVE_TOTAL"]) > 0, told
    # Every version that somebody was promised is there, once, with what was asked for.
    numbers = [int(answer.split()[1]) for answer in answers if answer.startswith("version")]
    assert sorted(numbers) == list(range(2, 2 + told["version"]))
    for percents, answer in zip(wanted, answers, strict=True):
        if answer.startswith("version"):
            (row,) = Allocation.objects.filter(plan=int(answer.split()[1]))
            assert {row.book_id: row.percent} == percents
    for number in range(1, 2 + told["version"]):
        assert sum(part.percent for part in slices_at(crowd.account_id, number).values()) <= 100
    overview = selectors.account_overview(crowd.account_id)
    assert (overview.equity, overview.unallocated >= 0) == (D("9882.31"), True)
    assert crowd.verify() == []


def test_two_hundred_intents_at_once_reserve_what_there_is_and_no_more(crowd: World) -> None:
    """Each asks for a fortieth of its book's cash in a crowd of forty a book, while shares are edited."""
    Book.objects.update(position_cap_percent=999, orders_per_minute=10_000)
    RiskLimits.objects.update(fall_percent=1, order_value_max=10_000, orders_per_minute=100_000)
    proposals = [
        crowd.propose("place", number % 5, side="buy", lots=65, limit_price=D("49000"), slot=number) for number in range(INTENTS)
    ]

    def ask(start: int) -> Callable[[], str]:
        def work() -> str:
            codes = []
            for proposal in proposals[start::WORKERS]:
                with transaction.atomic():
                    account = accounts.lock(crowd.account_id)
                    (outcome,) = coordinate(account, [proposal], market_at=MARKET_AT + BAR, now=NOW)
                codes.append(outcome.code or "accepted")
            return " ".join(codes)

        return work

    editors = [edit(crowd, {crowd.books[book].pk: D(percent)}) for book in (0, 1) for percent in (2, 6)]
    answers = at_once([*(ask(start) for start in range(WORKERS)), *editors])
    codes = Counter(" ".join(answers[:WORKERS]).split())

    assert codes.total() == INTENTS
    assert set(codes) <= {"accepted", "CAPITAL_INSUFFICIENT", "RISK_DAILY_LOSS_CAP"}
    assert min(codes["accepted"], INTENTS - codes["accepted"]) > 0, codes
    assert Order.objects.count() == Reservation.objects.count() == codes["accepted"]
    for book in selectors.book_numbers(crowd.account_id):
        held = sum(Reservation.objects.filter(order__book=book.book_id).values_list("remaining", flat=True), D(0))
        assert (book.reserved, book.cash >= 0) == (held, True)
        assert held <= book.net_flows
    assert all(answer.startswith("version") for answer in answers[WORKERS:])
    assert crowd.verify() == []
