"""What an operator relies on: the kill switch, reconciliation, and one trader at a time."""

from __future__ import annotations

import json
import signal
import time
from decimal import Decimal

import pytest
from django.conf import settings
from django.utils import timezone

from portfolio import services
from portfolio.models import Account, Lease, LedgerTransaction, Order, Reconciliation
from portfolio.trader.process import KILL_FILE
from tests.portfolio.trader.desk import Desk

pytestmark = [pytest.mark.timeout(240), pytest.mark.slow]


def live(desk: Desk) -> int:
    return Order.objects.filter(account=desk.account_id, status__in=Order.LIVE).count()


def test_kill_cancels_everything_within_five_seconds_and_only_a_person_releases(desk: Desk) -> None:
    desk.start_trader()
    for slot in range(3):
        desk.place(slot=slot, share=f"0.9{7 - slot}", quote="50")
    desk.enter(book=1)
    desk.wait(lambda: Order.objects.filter(status="open").count() == 4, "three bids and a stop rest")

    began = time.monotonic()
    said = desk.run("kill", "--reason", "drill")
    assert said.returncode == 0, said.stderr
    desk.wait(lambda: live(desk) == 1, "nothing is live but the stop")
    print(f"nothing was live {time.monotonic() - began:.1f} s after the command was given")
    # I-47: what was bought stays protected.
    stop = Order.objects.get(account=desk.account_id, status__in=Order.LIVE)
    assert (stop.type, stop.status, stop.cancel_requested_at) == ("STOP_LOSS", "open", None)
    assert desk.decide("place", expect=False, side="buy", lots=100, limit_price=Decimal(30_000)).code
    desk.check_books()

    assert desk.run("kill", "--release").returncode != 0
    assert desk.run("kill", "--release", "--reason", "drill over").returncode == 0
    desk.place(quote="50")
    desk.wait(lambda: Order.objects.filter(status="open").count() == 2, "it trades again")


@pytest.mark.fault("C15")
def test_kill_without_a_trader_is_kept_and_obeyed_by_the_next_one(desk: Desk) -> None:
    desk.start_trader()
    desk.place(quote="50")
    desk.wait(lambda: Order.objects.filter(status="open").count() == 1, "a bid rests")
    desk.stop_trader(signal.SIGKILL)
    said = desk.run("kill", "--account", "desk")
    assert "its trader is not running" in said.stdout or "killed" in said.stdout
    desk.crash_points = [""]
    desk.start_trader(crash_point="during_kill:1", wait=False)
    desk.wait(lambda: live(desk) == 0, "nothing is live")
    assert desk.deaths == ["during_kill:1"]
    desk.check_books()


def test_the_kill_file_is_obeyed(desk: Desk) -> None:
    desk.start_trader()
    desk.place(quote="50")
    desk.wait(lambda: Order.objects.filter(status="open").count() == 1, "a bid rests")
    file = settings.TRADEAPP_DATA_DIR / KILL_FILE
    file.touch()
    try:
        desk.wait(lambda: desk.account().is_killed and live(desk) == 0, "killed", 5)
    finally:
        file.unlink()


@pytest.mark.fault("E42")
def test_a_withdrawal_that_the_stream_tells_of_is_the_operators(desk: Desk) -> None:
    desk.start_trader()
    desk.stack.control("/control/faucet", {"uid": desk.uid, "asset": "USDT", "amount": "-12.5"})
    rows = LedgerTransaction.objects.filter(account=desk.account_id, kind="withdrawal")
    desk.wait(lambda: rows.count() == 1, "the withdrawal is posted")
    said = desk.reconcile()
    assert said.returncode == 0, said.stdout + said.stderr
    assert "exact" in said.stdout
    desk.check_books()


def test_one_unit_that_nobody_saw_leave_stops_entries_until_it_is_explained(desk: Desk) -> None:
    unit = "-0.00000001"
    desk.start_trader()
    desk.enter()
    desk.wait(lambda: Order.objects.filter(status="open").count() == 1, "the stop rests")
    desk.stop_trader()
    words = {"account": desk.uid, "asset": "USDT", "amount": unit, "silent": True}
    desk.stack.control("/control/faults", {"rules": [{"id": "E42", "action": "flow", "with": words}]})
    desk.start_trader(wait=False)
    desk.wait(lambda: desk.account().state == Account.State.ENTRIES_HALTED, "entries are halted")
    assert desk.account().state_reason == "RECONCILE_RESIDUAL"

    said = desk.run("reconcile", "--json")
    report = json.loads(said.stdout)[0]
    assert said.returncode == 1
    assert {row["asset"]: Decimal(row["residual"]) for row in report["assets"] if Decimal(row["residual"])} == {
        "USDT": Decimal(unit)
    }
    assert desk.reconciliations(Reconciliation.Outcome.RESIDUAL) >= 2
    # Exits keep working.
    desk.exit()
    desk.wait(lambda: Order.objects.filter(intent__kind="exit", status="filled").exists(), "the exit filled")

    services.explain_suspense(
        account_id=desk.account_id,
        asset="USDT",
        amount=-Decimal(unit),
        kind="withdrawal",
        by=None,
        reason="drill",
        now=timezone.now(),
    )
    desk.wait_until_quiet()
    assert desk.reconcile().returncode == 0
    assert desk.account().state == Account.State.ACTIVE
    desk.check_books()


def test_a_second_trader_waits_and_takes_over_when_the_first_is_gone(desk: Desk) -> None:
    desk.start_trader()
    first = desk.trader
    standby = f"{first} standby"
    desk.stack.start(standby, desk.stack.commands[first])
    desk.place(quote="50")
    desk.wait(lambda: Order.objects.filter(status="open").count() == 1, "the first trades")
    assert Lease.objects.get(name=f"trader:{desk.account_id}").epoch == 1
    desk.stop_trader(signal.SIGKILL)
    desk.wait(lambda: Lease.objects.get(name=f"trader:{desk.account_id}").epoch == 2, "the second has the lease")
    desk.decide("cancel", slot=0, side="buy")
    desk.wait(lambda: live(desk) == 0, "the second trades")
    desk.check_books()


def test_the_market_waits_for_the_trader_before_its_account_is_active(desk: Desk) -> None:
    """Whoever sees the account active may let the market go on at once: no bar of it is missed."""
    desk.start_trader(crash_point="before_active:1", wait=False)
    desk.stack.processes[desk.trader].wait(60)
    assert desk.account().state == Account.State.STARTING
    assert list(desk.stack.clock()["clients"]) == [f"tradeapp-{desk.account().deploy}"]
