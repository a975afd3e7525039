"""One bot at a time over a real trader and the real venue: every hand-over policy, and a crash in the middle of one."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from django.utils import timezone

from portfolio.models import Account, BookTransfer, HandOver, Order, Position, Reconciliation
from portfolio.selectors.modes import newest_hand_over
from portfolio.services.modes import set_mode
from portfolio.writers.modes import Choice
from tests.portfolio.trader.desk import D, Desk
from trading.handover import Mode
from trading.rotation import Policy

pytestmark = pytest.mark.timeout(240)


def switch(desk: Desk, book: int, policy: Policy, *, wait_minutes: int = 0) -> None:
    """Have another book trade alone."""
    desk.price()
    instruments = [position.instrument_id for position in Position.objects.all()]
    traded = {row.pk: instruments for row in desk.books}
    choice = Choice(
        mode=Mode.SINGLE, book_id=desk.books[book].pk, policy=policy, wait_minutes=wait_minutes, budget=D(1000), traded=traded
    )
    set_mode(account_id=desk.account_id, choice=choice, needs={}, by=None, now=timezone.now(), reason="journey")


def newest(desk: Desk) -> HandOver:
    row = newest_hand_over(desk.account_id)
    assert row is not None
    return row


def wait_until_settled(desk: Desk) -> None:
    desk.wait(lambda: newest(desk).phase == "settled", "the account has passed on", 60)


def buy(desk: Desk, book: int) -> None:
    """Buy with a stop, on the candle after the hand-over."""
    desk.step(5)
    desk.enter(book=book, quote="200")
    desk.wait(lambda: stops(desk, book) == 1, "the coins are bought and protected", 60)
    desk.wait_until_quiet()


def stops(desk: Desk, book: int) -> int:
    return Order.objects.filter(book=desk.books[book], type="STOP_LOSS", status="open").count()


def see_to_the_stop(desk: Desk, book: int) -> None:
    """Wait for a stop; where the trader died with it on its way the position says that none stands, and the bot asks anew."""
    desk.wait(lambda: stops(desk, book) == 1 or lost_stop(desk, book) is not None, "a stop, or word that there is none")
    price = lost_stop(desk, book)
    if price is not None:
        desk.step(5)
        desk.price()
        desk.decide("move_stop", book=book, stop_price=price)
        desk.wait(lambda: stops(desk, book) == 1, "the stop stands for the next bot")


def lost_stop(desk: Desk, book: int) -> Decimal | None:
    """Return the price of a stop that a position should have and has not."""
    return Position.objects.filter(book=desk.books[book], is_unprotected=True).values_list("stop_price", flat=True).first()


def held(desk: Desk, book: int) -> bool:
    """Say whether a book holds more than the dust that a fee in coins leaves."""
    return Position.objects.filter(book=desk.books[book], quantity__gte=D("0.00001")).exists()


@pytest.mark.fault("C13")
def test_the_account_passes_on_under_each_policy_and_nobody_enters_out_of_turn(desk: Desk) -> None:
    desk.start_trader(crash_point="in_hand_over:1")
    desk.step(5)
    desk.wait(lambda: desk.account().synced_through_at is not None, "the trader knows the market's time")
    switch(desk, 0, Policy.FLATTEN)
    buy(desk, 0)

    # Handed on: the trader dies in the middle, and the next one goes on where it was.
    switch(desk, 1, Policy.TRANSFER)
    wait_until_settled(desk)
    see_to_the_stop(desk, 1)
    assert desk.deaths == ["in_hand_over:1"]
    assert BookTransfer.objects.count() == 1
    assert (held(desk, 0), held(desk, 1)) == (False, True)
    desk.step(5)
    assert desk.decide("enter", book=0, expect=False, lots=100, limit_price=D(1)).code == "MODE_BOT_NOT_ACTIVE"

    # Carried on: the position and its stop stay, exits pass, entries do not.
    switch(desk, 0, Policy.CARRY)
    wait_until_settled(desk)
    assert stops(desk, 1) == 1
    desk.step(5)
    assert desk.decide("enter", book=1, expect=False, lots=100, limit_price=D(1)).code == "MODE_BOT_NOT_ACTIVE"
    desk.exit(book=1)
    desk.wait(lambda: not held(desk, 1), "what was carried on is sold")
    buy(desk, 0)

    # Waited for, until market time says that it was long enough.
    switch(desk, 1, Policy.WAIT, wait_minutes=10)
    waiting = newest(desk)
    desk.step(5)
    assert (newest(desk).phase, stops(desk, 0)) == ("releasing", 1)
    desk.step(5)
    wait_until_settled(desk)
    assert waiting.wait_until == waiting.began_at + timedelta(minutes=10)
    assert not held(desk, 0)
    buy(desk, 1)

    # Sold.
    switch(desk, 0, Policy.FLATTEN)
    wait_until_settled(desk)
    assert not held(desk, 1)

    desk.wait_until_quiet()
    assert list(HandOver.objects.order_by("epoch").values_list("phase", flat=True)) == ["settled"] * 5
    assert not Reconciliation.objects.filter(outcome=Reconciliation.Outcome.RESIDUAL).exists()
    assert Account.objects.get(pk=desk.account_id).state == Account.State.ACTIVE
    desk.check_books()
    assert desk.reconcile().returncode == 0
