"""Four bots take turns over three days across a change of the clock; a restart in a slot, and crashes inside hand-overs."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from django.utils import timezone

from bots.lineups import Plan
from bots.services import Wish, switch_mode
from marketdata.candles import milliseconds
from portfolio.jobs import verify
from portfolio.models import Account, DecisionRecord, HandOver, Order, Reconciliation
from portfolio.selectors.modes import newest_version, rotation_of
from portfolio.trader import records
from tests.journeys.stack import Stack
from tests.portfolio.trader.desk import D
from trading.desk.mode_rules import HANDED_OVER
from trading.desk.rows import ENTRIES
from trading.desk.turns import SLOT_CLOSED
from trading.rotation import turn_at

pytestmark = [pytest.mark.timeout(3600), pytest.mark.nightly]

KILLED = 137
BEGIN = datetime(2024, 3, 30, tzinfo=UTC)
# The clock in Berlin springs forward at one o'clock UTC of the second day.
WEEK = """
zone Europe/Berlin
daily 00:00-06:00 MEAN_REVERSION flatten
daily 06:00-12:00 GRID_TRADING carry
daily 12:00-18:00 SASHA_HYBRID transfer
daily 18:00-24:00 TRIPLE_EMA wait 30m
"""


def run_until(stack: Stack, trader: str, at: datetime) -> int:
    """Let market time pass until a moment; a trader that dies is followed by another; answer how many died."""
    deaths = 0

    def has_come() -> bool:
        nonlocal deaths
        if stack.processes[trader].poll() == KILLED:
            deaths += 1
            stack.restart(trader)
        return bool(stack.clock()["market_time"] >= milliseconds(at))

    stack.control("/control/resume", {})
    stack.wait_until(has_come, what=f"market time {at}", seconds=1800)
    stack.control("/control/pause", {})
    return deaths


def start_dying(stack: Stack, trader: str, crash_point: str) -> None:
    """Replace the trader by one that will die at a point."""
    stack.kill(trader)
    os.environ["CRASH_POINT"] = crash_point
    try:
        stack.restart(trader)
    finally:
        os.environ.pop("CRASH_POINT")


def entries_out_of_turn(account: Account) -> list[str]:
    """Name every entry that was decided outside its book's slot, or on the candle of a switch."""
    version = newest_version(account.pk)
    assert version is not None
    rotation, found = rotation_of(version), []
    rows = Order.objects.filter(account=account, intent__kind__in=ENTRIES, side="buy").select_related("book", "intent")
    for order in rows:
        turn = turn_at(rotation, order.intent.market_at)
        if turn.bot != str(order.book_id) or order.intent.market_at <= turn.begin_at:
            found.append(f"{order.book.name} {order.client_order_id} at {order.intent.market_at}")
    return found


@pytest.mark.fault("C13", "K07")
def test_no_bot_trades_outside_its_slot_whatever_dies(
    transactional_db: None, shared_data: Path, tmp_path: Path, lineup: Plan
) -> None:
    market = ["--market", "replay", "--data", str(shared_data / "ohlcv"), "--exchange", "binance", "--from", "2024-03-30"]
    market += ["--symbols", "BTCUSDT,ETHUSDT", "--speed", "1000000", "--paused"]
    four = replace(lineup, bots=tuple(bot for bot in lineup.bots if bot.key != "EMA_RIBBON"))
    with Stack(tmp_path / "stack", market) as stack:
        stack.start_venue()
        demo = stack.set_up(four)
        account = demo.account
        clock = datetime.fromtimestamp(stack.clock()["market_time"] / 1000, UTC)
        switch_mode(
            account_id=account.pk, wish=Wish(mode="rotation", rotation=WEEK), by=None, now=timezone.now(), market_at=clock
        )
        stack.start_all()
        trader, worker = f"trader {account.pk}", "worker trading"
        ready = Account.objects.filter(pk=account.pk, state=Account.State.ACTIVE)
        stack.wait_until(ready.exists, what="the trader recovers", seconds=120)

        run_until(stack, trader, BEGIN + timedelta(hours=8))
        epoch = HandOver.objects.order_by("-epoch")[0].epoch
        stack.kill(trader)
        stack.kill(worker)
        stack.restart(trader)
        stack.restart(worker)
        run_until(stack, trader, BEGIN + timedelta(hours=9))
        assert HandOver.objects.order_by("-epoch")[0].epoch == epoch, "a restart inside a slot changes nothing"

        deaths = 0
        for number in (1, 2, 3):
            start_dying(stack, trader, "in_hand_over:1")
            deaths += run_until(stack, trader, BEGIN + timedelta(hours=9 + 12 * number))
        run_until(stack, trader, BEGIN + timedelta(days=3))
        synced = Account.objects.filter(pk=account.pk, synced_through_at__gte=BEGIN + timedelta(days=3))
        stack.wait_until(synced.exists, what="every fill is posted")

        assert deaths == 3, "each of the three died in the middle of a hand-over"
        switches = HandOver.objects.exclude(phase=HandOver.OVERTAKEN).order_by("epoch")
        began = [row.began_at for row in switches]
        # Berlin's 00:00, 06:00, 12:00 and 18:00: at 23, 5, 11 and 17 UTC before the change, an hour earlier after it.
        assert began[1:] == [
            datetime(2024, 3, day, hour, tzinfo=UTC)
            for day, hours in ((30, (5, 11, 17, 23)), (31, (4, 10, 16, 22)))
            for hour in hours
        ] + [datetime(2024, 4, 1, hour, tzinfo=UTC) for hour in (4, 10, 16, 22)]
        entries = Order.objects.filter(account=account, intent__kind__in=ENTRIES, side="buy")
        told = Counter(entries.values_list("book__name", flat=True))
        print(f"\nentries by bot: {dict(told)}; hand-overs {switches.count()}")
        refused = DecisionRecord.objects.filter(book__account=account, denial=SLOT_CLOSED).count()
        sold = Order.objects.filter(account=account, intent__reason=HANDED_OVER).count()
        print(f"refused out of turn: {refused}; orders of hand-overs: {sold}")
        assert entries_out_of_turn(account) == []
        # Out of its turn a book has no money, and most bots do not even ask.
        assert refused >= 2, "others wanted to enter, and only their turn was in the way"
        assert sum(told.values()) >= 4
        assert len(told) >= 2
        assert not Reconciliation.objects.filter(account=account, outcome=Reconciliation.Outcome.RESIDUAL).exists()
        assert verify.verify(account.pk) == []
        held = {asset: D(row["free"]) + D(row["locked"]) for asset, row in stack.books()["balances"].items()}
        assert records.ledger_totals(account.pk) == {asset: total for asset, total in held.items() if total}
