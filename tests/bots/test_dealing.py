"""Money that came is dealt out before the decisions of the next candle, once, and never between two candles."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django.db import transaction

from bots import jobs
from bots.models import Bot
from portfolio import services
from portfolio.models import AllocationVersion, Book, Intent
from portfolio.writers import accounts, flows
from tests.bots.conftest import NOW, Desk, clock, open_desk, quiet
from tests.bots.pair_of_bots import LEVEL, Two, two

__all__ = ["two"]
EAGER: dict[str, Any] = {"regime_filter": False, "cost_gate": 0.0, "oversold": 45.0, "stop_share": 0.05}
CRASH = [99.0, 97.5, 95.0]


def follow_flows(desk: Desk, percent: int) -> None:
    """Have every bot of an account share in what comes and goes."""
    shares = dict.fromkeys(Book.objects.filter(account=desk.account).values_list("pk", flat=True), Decimal(percent))
    asked: dict[str, Any] = {"percents": shares, "policy": {"rebases_after_flows": True}}
    services.set_allocations(account_id=desk.account.pk, **asked, by=None, now=NOW, market_at=desk.market_at)


def deposit(desk: Desk, amount: str) -> None:
    with transaction.atomic():
        account = accounts.lock(desk.account.pk)
        told: dict[str, Any] = {"asset": "USDT", "amount": Decimal(amount), "reference": f"test:{amount}:{desk.market_at}"}
        flows.record_flow(account, **told, market_at=desk.market_at, now=NOW)


def crash(desk: Desk, *, deposit_before: int | None = None) -> tuple[int, int]:
    """Let a market fall until the bot enters; answer on which candle, and how many lots."""
    desk.bot("FIRST", **EAGER)
    desk.history(quiet)
    follow_flows(desk, 20)
    for number, price in enumerate(CRASH):
        if number == deposit_before:
            deposit(desk, "9882.31")
        desk.close_bars([price])
        jobs.advance_account(account_id=desk.account.pk, clock=clock)
        if (entry := Intent.objects.filter(book__account=desk.account).first()) is not None:
            return number, entry.lots
    raise AssertionError("nothing was bought")


def test_an_entry_on_the_candle_after_a_deposit_has_its_part_of_it(db: None) -> None:
    number, lots = crash(open_desk())
    with_deposit = crash(open_desk(name="other", epoch="other", deploy="t2"), deposit_before=number)

    assert with_deposit[0] == number
    # Twice the money buys twice as much, but for what is less than a lot.
    assert abs(with_deposit[1] - 2 * lots) <= 1


def test_a_ring_between_two_candles_deals_out_nothing(desk: Desk) -> None:
    desk.bot("FIRST")
    desk.history(quiet)
    follow_flows(desk, 20)
    desk.close_bars([100.0])
    jobs.advance_account(account_id=desk.account.pk, clock=clock)
    before = AllocationVersion.objects.filter(account=desk.account).count()
    deposit(desk, "1000")
    jobs.advance_account(account_id=desk.account.pk, clock=clock)
    assert AllocationVersion.objects.filter(account=desk.account).count() == before

    desk.close_bars([100.0])
    for _ in range(2):
        jobs.advance_account(account_id=desk.account.pk, clock=clock)
    assert AllocationVersion.objects.filter(account=desk.account).count() == before + 1


def test_an_account_without_a_bot_at_work_is_dealt_out_as_well(desk: Desk) -> None:
    bot = desk.bot("FIRST")
    desk.history(quiet)
    follow_flows(desk, 20)
    Bot.objects.filter(pk=bot.pk).update(status=Bot.Status.STOPPED)
    deposit(desk, "1000")
    desk.close_bars([100.0])
    jobs.advance_account(account_id=desk.account.pk, clock=clock)

    bot.book.refresh_from_db()
    assert bot.book.base_equity == Decimal("2176.46")


def test_a_pair_decides_with_what_was_dealt_out_to_it(two: Two) -> None:
    leader, follower = two.started()
    for desk in two.sides:
        follow_flows(desk, 40)
    two.close(LEVEL, LEVEL)
    deposit(two.far, "1000")
    two.close(LEVEL, LEVEL)

    for bot in (leader, follower):
        bot.book.refresh_from_db()
    assert follower.book.base_equity - leader.book.base_equity == Decimal(400)
