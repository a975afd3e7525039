"""A trader on a market that waits for nobody, with the time bounds of a real exchange."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import connection

from marketdata.models import Market
from portfolio.models import Account, Heartbeat, Order, TraderStart
from tests.portfolio.trader.desk import Desk, new_desk

pytestmark = [pytest.mark.timeout(240), pytest.mark.slow]


@pytest.fixture
def unpaced(transactional_db: None, tmp_path: Path) -> Iterator[Desk]:
    """Have a venue whose market goes on at the speed of life, and an account that treats it as any exchange."""
    with new_desk(tmp_path / "desk", speed=1, is_paced=False) as opened:
        # This market's time is not ours, so what counts as traded before the opening is its own.
        Account.objects.update(opened_at=opened.market_at() - timedelta(seconds=1))
        opened.stack.control("/control/resume", {})
        yield opened


def statuses(desk: Desk) -> list[tuple[str, str]]:
    rows = Order.objects.filter(account=desk.account_id).order_by("id")
    return [(row.intent.kind, row.status) for row in rows.select_related("intent")]


def candle_closes(desk: Desk) -> None:
    """Do what the feed does when a candle has closed."""
    Market.objects.update(market_time_at=desk.market_at())
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_notify(%s, 'bars')", [f"trader_{desk.account_id}"])


def test_it_trades_reconciles_and_ends_clean_while_the_market_goes_on(unpaced: Desk) -> None:
    desk = unpaced
    desk.start_trader()
    assert not desk.stack.clock()["clients"]
    desk.enter()
    desk.wait(lambda: statuses(desk) == [("enter", "filled"), ("stop", "open")], "entry and stop")
    desk.place(book=1)
    desk.wait(lambda: statuses(desk)[-1] == ("place", "open"), "the bid rests")
    candle_closes(desk)
    synced = desk.market_at() - timedelta(seconds=2)
    desk.wait(lambda: (desk.account().synced_through_at or synced) > synced, "the candle finds every fill posted", 5)
    desk.exit()
    desk.wait(lambda: statuses(desk)[-1] == ("exit", "filled"), "the exit")
    desk.decide("cancel", book=1, slot=0, side="buy")
    desk.wait_until_quiet()
    before = desk.reconciliations("exact")
    desk.wait(lambda: desk.reconciliations("exact") > before, "a comparison by the clock", 40)
    desk.check_books()

    desk.stop_trader(signal.SIGTERM)
    assert TraderStart.objects.get().ended_at is not None
    assert not Order.objects.filter(status__in=("sending", "unknown")).exists()


@pytest.mark.fault("C19")
def test_a_deploy_waits_for_the_answers_and_sends_nothing_more(unpaced: Desk) -> None:
    desk = unpaced
    desk.start_trader()
    for slot in range(12):
        desk.place(slot=slot, share=f"0.{950 + slot}", quote="20")
    desk.stop_trader(signal.SIGTERM)
    left = {status for _, status in statuses(desk)}
    assert left <= {"ready", "open"}
    venue = {row["clientOrderId"] for row in desk.venue_books()["orders"]}
    assert venue == set(Order.objects.filter(status="open").values_list("client_order_id", flat=True))
    assert TraderStart.objects.get().ended_at is not None


@pytest.mark.fault("K05", "E46")
def test_entries_decided_before_an_outage_are_withdrawn_after_it(unpaced: Desk) -> None:
    desk = unpaced
    desk.enter(stop="")
    Order.objects.update(created_at=Order.objects.get().created_at - timedelta(seconds=40))
    desk.start_trader()
    desk.wait(lambda: statuses(desk) == [("enter", "withdrawn")], "the entry is withdrawn")
    assert Order.objects.get().reason == "ENTRY_STALE"
    desk.check_books()
    desk.enter(stop="")
    desk.wait(lambda: statuses(desk)[-1] == ("enter", "filled"), "a fresh one goes out")
    facts = Heartbeat.objects.get(process=desk.trader).facts
    assert facts["entry_stops"] == []
    assert abs(facts["clock_ahead_ms"]) < 100
