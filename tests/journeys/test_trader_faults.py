"""A real trader on a venue that misbehaves as the catalogue says: nothing is lost, doubled or guessed."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

import pytest
from django.utils import timezone

from portfolio import services
from portfolio.models import Account, Fill, LedgerTransaction, Order, Position, Reconciliation, ReconciliationLine
from tests.portfolio.trader.desk import Desk

pytestmark = [pytest.mark.timeout(300), pytest.mark.slow]
POST = {"endpoint": "POST /api/v3/order"}
FINAL = ("filled", "absent", "rejected")

# What happens to a new order's request or answer, and how the order must end: the truth of the venue decides.
ORDER_FAULTS: list[tuple[str, str, dict[str, Any], str]] = [
    ("E02", "drop_request", {}, "absent"),
    ("E03", "drop_answer", {}, "filled"),
    ("E05", "delay", {"seconds": 0.8, "stage": "before"}, "filled"),
    ("E06", "delay", {"seconds": 2.4, "stage": "before"}, "rejected absent"),
    ("E07", "mangle", {"how": "cut"}, "filled"),
    ("E07", "mangle", {"how": "html"}, "filled"),
    ("E07", "mangle", {"how": "empty"}, "filled"),
    ("E07", "mangle", {"how": "not_json"}, "filled"),
    ("E07", "mangle", {"how": "bad_gzip"}, "filled"),
    ("E08", "swap", {"of": "client_id"}, "filled"),
    ("E08", "swap", {"of": "symbol"}, "filled"),
    ("E09", "answer", {"status": 502, "body": "<html>Bad Gateway</html>", "stage": "after"}, "filled"),
    ("E09", "answer", {"status": 504, "body": "<html></html>", "stage": "before"}, "absent"),
    ("E10", "answer", {"status": 503, "code": -1007, "msg": "Timeout.", "stage": "after"}, "filled"),
    ("E10", "answer", {"status": 500, "code": -1006, "msg": "Unexpected.", "stage": "before"}, "absent"),
    ("E11", "answer", {"status": 503, "code": -1008, "msg": "Busy.", "stage": "before"}, "absent"),
    ("E12", "answer", {"status": 429, "code": -1003, "msg": "Weight.", "headers": {"Retry-After": "1"}}, "rejected"),
    ("E14", "answer", {"status": 429, "code": -1015, "msg": "Orders.", "headers": {"Retry-After": "1"}}, "rejected"),
    ("E16", "answer", {"status": 400, "code": -1021, "msg": "Timestamp."}, "rejected"),
    ("E20", "answer", {"status": 400, "code": -2010, "msg": "Duplicate order sent.", "stage": "after"}, "filled"),
    ("E22", "answer", {"status": 400, "code": -2010, "msg": "Order would trigger immediately."}, "rejected"),
    ("E47", "mangle", {"how": "drip"}, "filled"),
]


def arm(desk: Desk, *rules: dict[str, Any]) -> None:
    desk.stack.control("/control/faults", {"seed": 7, "rules": list(rules)})


def fired(desk: Desk, fault: str) -> int:
    counts: dict[str, int] = desk.stack.control("/control/faults")["counts"]
    return counts.get(fault, 0)


def newest(desk: Desk) -> Order:
    return Order.objects.filter(account=desk.account_id).order_by("-id")[0]


@pytest.mark.fault("E02", "E03", "E05", "E06", "E07", "E08", "E09", "E10", "E11", "E12", "E14", "E16", "E20", "E22", "E47")
def test_an_order_ends_as_the_venue_has_it_whatever_became_of_its_answer(desk: Desk) -> None:
    desk.start_trader()
    for fault, action, details, ends in ORDER_FAULTS:
        before = fired(desk, fault)
        arm(desk, {"id": fault, "action": action, "match": POST, "times": 1, "with": details})
        desk.enter(stop="", quote="12")
        what = f"{fault} {details} ends {ends}"
        desk.wait(lambda: newest(desk).status in FINAL, what, 20)
        assert newest(desk).status in ends.split(), f"{what}, not {newest(desk).status} {newest(desk).reason}"
        assert fired(desk, fault) > before, f"{fault} never fired"
        desk.wait_until_quiet()
    # A stop that the market is through already is refused by the venue itself.
    desk.enter(quote="20", stop="1.005")
    sales = Order.objects.filter(account=desk.account_id, intent__reason="STOP_WOULD_TRIGGER", type="MARKET", status="filled")
    desk.wait(sales.exists, "what it was to guard is sold at once", 60)
    desk.wait_until_quiet()
    assert not Position.objects.filter(book__account=desk.account_id, is_unprotected=True).exists()
    desk.check_books()
    assert desk.account().state == Account.State.ACTIVE


@pytest.mark.nightly
@pytest.mark.fault("U01", "U02", "U03", "U07", "U11", "E30", "E31")
def test_streams_and_reads_that_lie_for_a_while_change_no_end(desk: Desk) -> None:
    desk.start_trader()
    user = {"stream": "user"}
    faults: list[tuple[str, str, dict[str, Any], dict[str, Any]]] = [
        ("U02", "duplicate", user, {"copies": 2}),
        ("U03", "reorder", user, {"events": 4}),
        ("U01", "cut", user, {}),
        ("U11", "withhold", user, {"seconds": 1.0}),
        ("U07", "silence", user, {"seconds": 3.0}),
    ]
    for number, (fault, action, match, details) in enumerate(faults):
        arm(desk, {"id": fault, "action": action, "match": match, "times": 0, "with": details})
        desk.enter(quote="20")
        desk.wait(partial(has_stops, desk, number + 1), f"bought and protected under {fault}", 30)
        assert fired(desk, fault) > 0, f"{fault} never fired"
    # Neither the list nor a read by name shows the living stop: it stays what it is.
    hidden = [("E31", "GET /api/v3/openOrders", "openOrders"), ("E30", "GET /api/v3/order", "order")]
    arm(
        desk,
        *(
            {"id": fault, "action": "hide", "match": {"endpoint": endpoint}, "times": 0, "with": {"in": [where]}}
            for fault, endpoint, where in hidden
        ),
    )
    desk.wait(lambda: fired(desk, "E31") > 1 and fired(desk, "E30") > 1, "both reads have lied twice", 40)
    assert Order.objects.filter(intent__kind="stop", status="open").exists()
    arm(desk)
    desk.exit()
    desk.wait_until_quiet(30)
    desk.check_books()
    assert desk.account().state == Account.State.ACTIVE


def has_stops(desk: Desk, entries: int) -> bool:
    """Say whether so many entries have filled and their position has a living stop."""
    rows = Order.objects.filter(account=desk.account_id)
    is_protected = rows.filter(intent__kind="stop", status="open").exists()
    return is_protected and rows.filter(intent__kind="enter", status="filled").count() == entries


@pytest.mark.nightly
@pytest.mark.fault("E42", "E43")
def test_what_others_do_on_the_account_is_attributed_and_one_unit_of_drift_halts_entries(desk: Desk) -> None:
    desk.start_trader()
    desk.enter()
    desk.wait(lambda: Order.objects.filter(status="open").count() == 1, "the stop rests")
    arm(desk, {"id": "E42", "action": "flow", "with": {"account": desk.uid, "asset": "USDT", "amount": "25"}})
    deposits = LedgerTransaction.objects.filter(account=desk.account_id, kind="deposit", reference__startswith="USDT:")
    desk.wait(lambda: deposits.count() == 1, "the deposit is the operator's")
    by_hand = {"account": desk.uid, "symbol": "ETHUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.01"}
    arm(desk, {"id": "E43", "action": "human_order", "with": by_hand})
    desk.wait(lambda: Fill.objects.filter(book__isnull=True).count() == 1, "the trade by hand is the operator's", 40)
    arm(desk, {"id": "E43", "action": "human_cancel", "with": {"account": desk.uid, "symbol": "BTCUSDT"}})
    desk.wait(lambda: Order.objects.filter(intent__kind="stop", status="canceled").exists(), "the stop was cancelled by hand")
    assert desk.account().state == Account.State.ACTIVE

    began = time.monotonic()
    drift = {"account": desk.uid, "asset": "USDT", "amount": "-0.00000001", "silent": True}
    arm(desk, {"id": "E42", "action": "flow", "with": drift})
    desk.wait(lambda: desk.account().state == Account.State.ENTRIES_HALTED, "entries are halted", 60)
    took = time.monotonic() - began
    line = ReconciliationLine.objects.filter(suspense__lt=0).latest("id")
    assert (line.asset, str(line.residual.normalize())) == ("USDT", "-1E-8")
    last_exact = Reconciliation.objects.filter(outcome="exact").latest("id").finished_at
    print(f"drift of one unit halted entries after {took:.1f} s, between {last_exact} and {line.reconciliation.finished_at}")

    desk.exit()
    desk.wait(lambda: Order.objects.filter(intent__kind="exit", status="filled").exists(), "exits still work")
    services.explain_suspense(
        account_id=desk.account_id, asset="USDT", amount=abs(line.suspense), kind="withdrawal", by=None, reason="drill",
        now=timezone.now(),
    )  # fmt: skip
    desk.wait_until_quiet()
    assert desk.account().state == Account.State.ACTIVE
    desk.check_books_with_strangers()
