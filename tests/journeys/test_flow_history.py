"""Deposits and withdrawals while nobody listens, with a real trader over the real exchange: booked at its start, none twice."""

from __future__ import annotations

import urllib.request
from decimal import Decimal
from typing import Any

import pytest

from portfolio import selectors
from portfolio.models import Account, KnownFlow, LedgerTransaction, Reconciliation
from portfolio.writers import flows
from tests.portfolio.trader.desk import Desk

D = Decimal
DEPOSITS, WITHDRAWALS = "GET /sapi/v1/capital/deposit/hisrec", "GET /sapi/v1/capital/withdraw/history"
pytestmark = [pytest.mark.timeout(300), pytest.mark.fault("E42")]


def faucet(desk: Desk, amount: str) -> None:
    """Have a deposit come, or a withdrawal leave."""
    desk.stack.control("/control/faucet", {"uid": desk.uid, "asset": "USDT", "amount": amount})


def arm(desk: Desk, action: str, words: dict[str, Any], **rest: Any) -> None:
    """Have something go wrong at the exchange."""
    desk.stack.control("/control/faults", {"rules": [{"id": "E42", "action": action, "with": words, **rest}]})


def disarm(desk: Desk) -> None:
    """Have everything go well again."""
    request = urllib.request.Request(f"{desk.stack.control_url}/control/faults", method="DELETE")
    urllib.request.urlopen(request, timeout=60).close()


def booked(desk: Desk) -> list[str]:
    """Return what the references of flows in the books begin with, the opening left out."""
    rows = LedgerTransaction.objects.filter(account=desk.account_id, kind__in=flows.KINDS).order_by("seq")
    references = rows.values_list("reference", flat=True)
    return [reference.partition(":")[0] for reference in references if not reference.startswith("opening")]


def check(desk: Desk) -> None:
    """Check that books and exchange agree, and that nothing was ever in suspense or halted."""
    said = desk.reconcile()
    assert said.returncode == 0, said.stdout + said.stderr
    assert desk.account().state == Account.State.ACTIVE
    assert not Reconciliation.objects.filter(account=desk.account_id, outcome="residual").exists()
    assert not LedgerTransaction.objects.filter(account=desk.account_id, kind="suspense").exists()
    desk.check_books()


def test_what_came_and_left_before_and_between_traders_is_booked_at_their_start(desk: Desk) -> None:
    """Two equal deposits a second apart are two; a pending one waits for its credit."""
    before = selectors.account_overview(desk.account_id).unallocated
    faucet(desk, "500")
    desk.start_trader()
    assert booked(desk) == ["history"]
    desk.enter()
    desk.wait_until_quiet()
    desk.stop_trader()

    faucet(desk, "100")
    faucet(desk, "100")
    faucet(desk, "-12.5")
    arm(desk, "crossing", {"account": desk.uid, "asset": "USDT", "amount": "77", "status": 0})
    desk.start_trader()
    desk.wait(lambda: booked(desk) == ["history"] * 4, "all three are booked")
    overview = selectors.account_overview(desk.account_id)
    assert (overview.unallocated, overview.net_flows) == (before + D("687.5"), D("9882.31") + D("687.5"))
    check(desk)

    desk.stop_trader()
    arm(desk, "settle", {"account": desk.uid, "status": 1})
    desk.start_trader()
    desk.wait(lambda: booked(desk) == ["history"] * 5, "what was pending is booked")
    check(desk)


def test_what_the_stream_tells_and_the_history_too_is_booked_once(desk: Desk) -> None:
    desk.start_trader()
    faucet(desk, "100")
    desk.wait(lambda: booked(desk) == ["USDT"], "the stream has told")
    desk.stop_trader()
    faucet(desk, "100")
    desk.start_trader()
    desk.wait(lambda: booked(desk) == ["USDT", "history"], "the second is booked")
    check(desk)


def test_what_the_stream_holds_back_is_booked_from_the_history_and_its_echo_is_not(desk: Desk) -> None:
    """U07: the comparison finds it before the stream tells."""
    desk.start_trader()
    arm(desk, "withhold", {"seconds": 60}, match={"event": "balanceUpdate", "account": desk.uid}, times=1)
    faucet(desk, "100")
    desk.wait(lambda: booked(desk) == ["history"], "the history has told", 90)
    desk.wait(lambda: KnownFlow.objects.filter(account=desk.account_id).exclude(echo="").exists(), "the stream has told", 90)
    assert booked(desk) == ["history"]
    check(desk)


@pytest.mark.fault("E09", "E18")
@pytest.mark.parametrize("endpoint", [DEPOSITS, WITHDRAWALS])
@pytest.mark.parametrize(
    "answer", [{"status": 503}, {"status": 401, "code": -2015, "msg": "Invalid API-key, IP, or permissions for action."}]
)
def test_where_the_history_cannot_be_read_a_difference_waits_for_it_or_for_a_person(
    desk: Desk, endpoint: str, answer: dict[str, Any]
) -> None:
    faucet(desk, "100")
    arm(desk, "answer", answer, match={"endpoint": endpoint}, times=0)
    desk.start_trader(wait=False)
    desk.wait(lambda: desk.account().state == Account.State.ENTRIES_HALTED, "entries are halted", 150)
    row = Reconciliation.objects.filter(account=desk.account_id, outcome="residual").earliest("id")
    assert str(answer["status"]) in row.facts["flow_history"]
    assert (desk.account().state_reason, booked(desk)) == ("RECONCILE_RESIDUAL", [])

    disarm(desk)
    desk.wait(lambda: desk.account().state == Account.State.ACTIVE, "the history has told", 120)
    assert booked(desk) == ["history"]
    desk.check_books()


def test_a_crash_between_booking_and_looking_again_books_nothing_twice(desk: Desk) -> None:
    faucet(desk, "100")
    desk.crash_points = [""]
    desk.start_trader(crash_point="after_flows_booked:1", wait=False)
    desk.wait(lambda: desk.deaths == ["after_flows_booked:1"], "it has died", 150)
    desk.wait(lambda: desk.account().state == Account.State.ACTIVE, "the next one has recovered", 150)
    assert booked(desk) == ["history"]
    check(desk)
