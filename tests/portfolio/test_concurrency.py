"""Many processes at once on one account: nothing is spent twice, nothing is lost."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal
from threading import Barrier

import pytest
from django.db import connection, transaction

from portfolio import selectors, services
from portfolio.jobs import checkpoints
from portfolio.jobs.coordinate import coordinate
from portfolio.models import Account, Book, Fill, LedgerCheckpoint, Order, RiskLimits
from portfolio.services import UnableToAllocate
from portfolio.writers import accounts, fills, orders
from tests.portfolio.world import MARKET_AT, NOW, World, build
from trading.orders import TradeReport

D = Decimal
THREADS = 4


def together(*works: Callable[[], object]) -> list[object]:
    """Start all at the same moment, each on a connection of its own."""
    barrier = Barrier(len(works))

    def run(work: Callable[[], object]) -> object:
        barrier.wait()
        try:
            return work()
        finally:
            connection.close()

    with ThreadPoolExecutor(len(works)) as pool:
        return list(pool.map(run, works))


@pytest.fixture
def shared_world(transactional_db: None) -> World:
    """Return a world that other connections see."""
    return build()


def test_capital_is_never_granted_twice(shared_world: World) -> None:
    """Promise 3 under concurrency: 4 workers ask for 60 % of one book's cash, again and again."""
    world = shared_world
    Book.objects.update(position_cap_percent=999, orders_per_minute=10_000)
    RiskLimits.objects.update(fall_percent=1, order_value_max=10_000)

    def ask(worker: int) -> int:
        granted = 0
        for number in range(6):
            proposal = world.propose(
                "place", 0, side="buy", lots=2400 - worker, limit_price=D("50000"), slot=worker * 10 + number
            )
            market_at = MARKET_AT + timedelta(minutes=worker * 100 + number)
            with transaction.atomic():
                (outcome,) = coordinate(accounts.lock(world.account_id), [proposal], market_at=market_at, now=NOW)
            granted += outcome.is_accepted
        return granted

    granted = together(*(lambda worker=worker: ask(worker) for worker in range(THREADS)))
    assert sum(int(str(count)) for count in granted) == 1
    assert world.verify() == []


@pytest.mark.fault("D02")
def test_no_movement_is_lost_when_fills_orders_and_shares_race(shared_world: World) -> None:
    """Lost updates would break I-04, I-05 or I-15."""
    world = shared_world
    Book.objects.update(position_cap_percent=999, orders_per_minute=10_000)
    RiskLimits.objects.update(fall_percent=1, order_value_max=10_000)
    trades: list[TradeReport] = []
    for book in range(3):
        world.decide(world.propose("enter", book, lots=2000, limit_price=D("50500"), stop_price=D("49000")))
        order = world.send(world.order(kind="enter", book=book))
        for _ in range(8):
            trades.append(
                world.exchange.fill(
                    order.client_order_id, quantity=D("0.0025"), price=D("50000"), fee=D("0.0000025"), fee_asset="BTC"
                )
            )

    def post(mine: list[TradeReport]) -> None:
        for trade in mine:
            with transaction.atomic():
                fills.post_fill(accounts.lock(world.account_id), trade, now=NOW)

    def ask() -> None:
        for number in range(8):
            proposal = world.propose("place", 4, "ETH/USDT", side="buy", lots=100, limit_price=D("2400"), slot=number)
            market_at = MARKET_AT + timedelta(hours=1, minutes=number)
            with transaction.atomic():
                coordinate(accounts.lock(world.account_id), [proposal], market_at=market_at, now=NOW)

    def share() -> None:
        for percent in (19, 18, 17, 16):
            try:
                services.set_allocations(account_id=world.account_id, percents={world.books[3].pk: D(percent)}, by=None, now=NOW)
            except UnableToAllocate as refused:
                raise AssertionError(refused.code) from refused

    # Both sources deliver every trade: the stream and the page reader.
    together(lambda: post(trades), lambda: post(trades[::-1]), ask, share)

    assert Fill.objects.count() == Account.objects.get(id=world.account_id).trades_posted == len(trades)
    assert Order.objects.filter(intent__kind="enter", status="filled").count() == 3
    assert Order.objects.filter(intent__kind="stop").count() == 3
    assert Order.objects.filter(intent__kind="place").count() == 8
    shared = selectors.account_overview(world.account_id).books[3]
    assert shared.percent == D(16)
    assert shared.equity == shared.base_equity == shared.target == shared.net_flows
    assert world.verify() == []
    assert world.compare().outcome == "exact"


@pytest.mark.fault("R03")
def test_an_order_is_claimed_by_one_of_many_senders(shared_world: World) -> None:
    """I-12: T2 is a claim; a withdrawal races with it and one of them wins."""
    world = shared_world
    world.decide(world.propose("enter", lots=380, limit_price=D("50505")))
    order = world.order(kind="enter")

    def withdraw() -> int:
        with transaction.atomic():
            return orders.request_cancels(accounts.lock(world.account_id), now=NOW)

    claims = together(*[lambda: orders.mark_sending(order.pk, epoch=1, now=NOW)] * 3, withdraw)
    order.refresh_from_db()
    sent = sum(claim is True for claim in claims[:3])
    assert (sent, order.status) in ((1, "sending"), (0, "withdrawn"))
    assert world.verify() == []


def raise_version(account_id: int) -> None:
    """Do to the account's row what every posting does: lock it, then change it."""
    with transaction.atomic():
        accounts.changed(accounts.lock(account_id))


def test_books_that_never_stand_still_are_verified_all_the_same(shared_world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A trader under load has no other moment for its first look; a look that failed would end its session."""
    world = shared_world
    count_fills = checkpoints._count_fills

    def meanwhile(account: Account, checkpoint: LedgerCheckpoint) -> tuple[int, int]:
        together(lambda: raise_version(account.pk))
        return count_fills(account, checkpoint)

    monkeypatch.setattr(checkpoints, "_count_fills", meanwhile)

    for cycle in range(2):
        assert checkpoints.verify_new(world.account_id, now=NOW + timedelta(minutes=cycle)) == []
    assert LedgerCheckpoint.objects.get().seq == Account.objects.get().ledger_seq
