"""Shares over a real trader and the real venue: re-based after a deposit and a withdrawal, and shrunk below what is in use."""

from __future__ import annotations

from decimal import Decimal

import pytest
from django.utils import timezone

from portfolio import selectors, services
from portfolio.jobs.allocations import tend
from portfolio.models import Account, Book, Order, Reconciliation
from portfolio.selectors.allocations import newest_version
from tests.journeys.test_trader_faults import arm
from tests.portfolio.trader.desk import D, Desk

pytestmark = [pytest.mark.timeout(400), pytest.mark.nightly]

CENT = D("0.01")


def share_out(desk: Desk, *percents: int, after_flows: bool = False) -> None:
    desk.price()
    asked = {book.pk: D(percent) for book, percent in zip(desk.books, percents, strict=True)}
    policy = {"rebases_after_flows": True} if after_flows else {}
    services.set_allocations(account_id=desk.account_id, percents=asked, policy=policy, by=None, now=timezone.now())


def follow(desk: Desk) -> None:
    """Let a candle pass, and do what a worker does for the shares after it."""
    market_at = desk.step(5)
    desk.price()
    tend(account_id=desk.account_id, market_at=market_at, now=timezone.now())


def flow(desk: Desk, amount: str) -> None:
    """Have somebody pay in or out at the exchange, and wait until it is the operator's."""
    before = desk.account().net_flows
    arm(desk, {"id": "E42", "action": "flow", "with": {"account": desk.uid, "asset": "USDT", "amount": amount}})
    desk.wait(lambda: desk.account().net_flows == before + D(amount), f"{amount} has been seen", 60)


def held(desk: Desk) -> list[Decimal]:
    """Return what each book is worth."""
    return [book.equity for book in sorted(selectors.book_numbers(desk.account_id), key=lambda row: row.number)]


def assert_exact(desk: Desk) -> None:
    """Nothing is unexplained, and no book has more than its share of the whole."""
    overview = selectors.account_overview(desk.account_id)
    assert overview.suspense == {}
    assert not Reconciliation.objects.filter(account=desk.account_id, outcome=Reconciliation.Outcome.RESIDUAL).exists()
    assert desk.account().state == Account.State.ACTIVE
    assert sum((book.equity for book in overview.books), overview.unallocated) == overview.equity


@pytest.mark.fault("E42")
def test_shares_follow_deposits_and_withdrawals_and_give_back_what_is_in_use_when_it_is_free(desk: Desk) -> None:
    desk.start_trader()
    desk.step(5)
    desk.wait(lambda: desk.account().synced_through_at is not None, "the trader knows the market's time")
    share_out(desk, 40, 20, after_flows=True)
    first, second = held(desk)
    assert (first, second) == (D("3952.92"), D("1976.46"))
    version = newest_version(desk.account_id)
    assert version is not None

    flow(desk, "1000")
    follow(desk)
    total = selectors.account_overview(desk.account_id).equity
    assert total == D("10882.31")
    assert held(desk) == [D("4352.92"), D("2176.46")]
    after = newest_version(desk.account_id)
    assert after is not None
    assert (after.number, after.cause) == (version.number + 1, "flow")
    assert_exact(desk)

    # Most of the first book's money is in coins with a stop; its share shrinks below that.
    desk.enter(book=0, quote="2000")
    desk.wait(lambda: Order.objects.filter(book=desk.books[0], type="STOP_LOSS", status="open").count() == 1, "bought, protected")
    desk.wait_until_quiet()
    share_out(desk, 10, 20)
    book = Book.objects.get(pk=desk.books[0].pk)
    assert book.pending < 0, "what is in coins follows when it is free"
    # Its share leaves it nothing to buy with, and the stop's worst case is beyond a cap that shrank with it.
    refused = desk.decide("enter", book=0, expect=False, lots=1000, limit_price=desk.price()).code
    assert refused in ("CAPITAL_INSUFFICIENT", "RISK_DAILY_LOSS_CAP")
    assert_exact(desk)

    flow(desk, "-2000")
    follow(desk)
    assert_exact(desk)
    desk.exit(book=0)
    desk.wait(
        lambda: Order.objects.filter(book=desk.books[0], intent__kind="exit", status="filled").exists(), "the coins are sold", 60
    )
    desk.wait_until_quiet()
    follow(desk)
    follow(desk)
    overview = selectors.account_overview(desk.account_id)
    tenth, fifth = held(desk)
    assert abs(tenth - overview.equity / 10) < 5, "the rest was given back"
    assert abs(fifth - overview.equity / 5) < 5
    assert Book.objects.get(pk=desk.books[0].pk).pending == 0
    assert_exact(desk)
    desk.check_books_with_strangers()
    assert desk.reconcile().returncode == 0
