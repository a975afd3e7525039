"""One unit that nobody tells of, under a trader that runs: the next comparison finds it, exits go on, the page says when."""

from __future__ import annotations

import time

import pytest
from django.contrib.auth.models import User
from django.test import Client

from portfolio.models import Account, Alarm, Order
from portfolio.trader.process import RECONCILE_SECONDS
from tests.portfolio.trader.desk import Desk

# T23: from the drift to the halt, of which a comparison and the write take the rest.
HALTED_WITHIN_SECONDS = 35


@pytest.mark.fault("E42")
def test_the_cycle_leaves_time_for_a_comparison() -> None:
    assert RECONCILE_SECONDS + 5 <= HALTED_WITHIN_SECONDS


@pytest.mark.fault("E42")
@pytest.mark.nightly
@pytest.mark.timeout(300)
@pytest.mark.parametrize("unit", ["0.00000001", "-0.00000001"])
def test_one_silent_unit_of_drift_halts_entries_and_nothing_else(desk: Desk, unit: str) -> None:
    """I-02, I-03, T23."""
    desk.start_trader()
    desk.enter()
    desk.wait_until_quiet()
    words = {"account": desk.uid, "asset": "USDT", "amount": unit, "silent": True}
    began = time.monotonic()
    desk.stack.control("/control/faults", {"rules": [{"id": "E42", "action": "flow", "with": words}]})
    desk.wait(lambda: desk.account().state == Account.State.ENTRIES_HALTED, "entries are halted", 120)
    print(f"entries were halted {time.monotonic() - began:.1f} s after {unit} USDT came or went in silence")
    assert desk.account().state_reason == "RECONCILE_RESIDUAL"
    desk.price()
    assert desk.decide("place", book=1, expect=False, side="buy", lots=100, limit_price=desk.price()).code == "RECONCILE_RESIDUAL"

    alarm = Alarm.objects.get(account=desk.account_id, source="residual")
    assert (alarm.subject, alarm.facts["amount"]) == ("USDT", unit)
    assert alarm.facts["exact_at"] < alarm.facts["found_at"]
    client = Client()
    client.force_login(User.objects.create_user("ada"))
    text = client.get("/parts/reconciliations/").content.decode()
    assert f"USDT {unit}" in text
    assert "last agreed at" in text

    desk.exit()
    desk.wait(lambda: Order.objects.filter(intent__kind="exit", status="filled").exists(), "the exit filled", 60)
