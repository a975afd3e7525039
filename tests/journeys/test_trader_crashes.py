"""Kill the trader at every step of an order's way: nothing is lost, nothing is sent twice."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from django.db import connection

from portfolio.models import Fill, Order
from tests.journeys.stack import free_port
from tests.portfolio.trader.desk import Desk, new_desk
from tests.portfolio.trader.faults import FaultProxy

pytestmark = [pytest.mark.timeout(240), pytest.mark.slow]

# Each trader dies at its point; the next one recovers, with a death of its own before it.
WHILE_ENTERING = [
    "before_sending:1",
    "after_sending:1",
    "after_answer:1",
    "between_fills:1",
    "after_recorded:1",
    "before_active:1",
]
WHILE_EXITING = [
    "before_cancel:1", "after_cancel_marked:1", "after_cancel_answer:1", "after_answer:1", "in_recovery:1", "during_reconcile:1",
]  # fmt: skip


@pytest.fixture
def proxied(transactional_db: None, tmp_path: Path) -> Iterator[tuple[Desk, FaultProxy]]:
    """Have a proxy between the trader's REST calls and the venue."""
    port = free_port()
    with new_desk(tmp_path / "desk", rest_port=port) as opened, FaultProxy(opened.stack.venue_port, port) as proxy:
        yield opened, proxy


def has_ended(desk: Desk, kind: str, count: int) -> bool:
    over = ("filled", "canceled", "expired", "absent")
    return Order.objects.filter(account=desk.account_id, intent__kind=kind, status__in=over).count() == count


def newest(desk: Desk) -> Order:
    return Order.objects.filter(account=desk.account_id).order_by("-id")[0]


@pytest.mark.fault("C02", "C03", "C05", "C06", "C07", "C09")
def test_a_crash_while_entering_loses_and_doubles_nothing(desk: Desk) -> None:
    desk.crash_points = WHILE_ENTERING.copy()
    desk.start_trader(crash_point=desk.crash_points.pop(0), wait=False)
    for number in range(6):
        desk.enter(quote="50")
        desk.wait(partial(has_ended, desk, "enter", number + 1), "the entry has ended")
    desk.wait_until_quiet()

    assert desk.deaths == WHILE_ENTERING
    # The one that died before its first byte left is proven absent; every other entry happened exactly once.
    entries = Order.objects.filter(account=desk.account_id, intent__kind="enter")
    assert sorted(entries.values_list("status", flat=True)) == ["absent"] + ["filled"] * 5
    assert Order.objects.filter(account=desk.account_id, intent__kind="stop", status="open").count() == 1
    desk.check_books()


@pytest.mark.fault("C10", "C11", "C12")
def test_a_crash_while_exiting_loses_and_doubles_nothing(desk: Desk) -> None:
    desk.start_trader()
    desk.crash_points = WHILE_EXITING[1:]
    for number in range(4):
        desk.enter(quote="50")
        desk.wait(lambda: newest(desk).intent.kind == "stop" and newest(desk).status == "open", "the stop rests")
        desk.wait_until_quiet()
        if number == 0:
            desk.stop_trader(signal.SIGKILL)
            desk.exit()
            desk.start_trader(crash_point=WHILE_EXITING[0], wait=False)
        else:
            desk.exit()
        desk.wait(partial(has_ended, desk, "exit", number + 1), "the exit has ended", 60)
        desk.wait_until_quiet()

    assert desk.deaths == WHILE_EXITING
    exits = Order.objects.filter(account=desk.account_id, intent__kind="exit")
    assert set(exits.values_list("status", flat=True)) <= {"filled"}
    desk.check_books()


@pytest.mark.fault("U01", "C09")
def test_fills_missed_while_dead_are_posted_before_anything_else(desk: Desk) -> None:
    desk.start_trader()
    desk.place(share="0.9995", quote="600")
    desk.wait_until_quiet()
    desk.enter(stop="0.999")
    desk.wait_until_quiet()
    desk.stop_trader(signal.SIGKILL)
    # A dead client would hold the market for ever.
    desk.forget_pacing()
    while len(desk.venue_books()["trades"]) < 3:
        desk.step(5)
    assert Fill.objects.count() < len(desk.venue_books()["trades"])
    desk.start_trader(wait=False)
    desk.wait(lambda: Fill.objects.count() == len(desk.venue_books()["trades"]), "every fill is posted")
    desk.wait_until_quiet()
    desk.check_books()


@pytest.mark.fault("E02", "E04")
@pytest.mark.parametrize(("where", "status"), [("before", "absent"), ("after", "filled")], ids=["request lost", "answer lost"])
def test_an_order_without_an_answer_is_found_out_by_reading(proxied: tuple[Desk, FaultProxy], where: str, status: str) -> None:
    desk, proxy = proxied
    desk.start_trader()
    proxy.lose_next("POST", "/api/v3/order", where)
    desk.enter(stop="")
    desk.wait(lambda: newest(desk).status == status, f"the order is {status}", 15)
    assert proxy.lost == ["POST /api/v3/order"]
    desk.wait_until_quiet()
    desk.check_books()


@pytest.mark.fault("E07", "E11")
def test_an_answer_that_cannot_be_read_is_no_answer(proxied: tuple[Desk, FaultProxy]) -> None:
    desk, proxy = proxied
    desk.start_trader()
    for status, body in ((200, '{"symbol":"BTCUS'), (503, '{"code":-1008,"msg":"busy"}')):
        proxy.answer_next("POST", "/api/v3/order", status, body)
        desk.enter(stop="", quote="50")
        desk.wait(lambda: newest(desk).status == "unknown", "nobody knows", 5)
        desk.wait(lambda: newest(desk).status == "absent", "absence is proven", 15)
    desk.check_books()


@pytest.mark.fault("E27")
def test_a_lost_answer_to_a_cancel_is_found_out_by_reading(proxied: tuple[Desk, FaultProxy]) -> None:
    desk, proxy = proxied
    desk.start_trader()
    desk.place()
    desk.wait(lambda: newest(desk).status == "open", "the bid rests")
    proxy.lose_next("DELETE", "/api/v3/order", "after")
    desk.decide("cancel", slot=0, side="buy")
    desk.wait(lambda: newest(desk).status == "canceled", "the cancel is proven")
    desk.check_books()


@pytest.mark.fault("E46")
def test_the_venue_may_be_killed_under_an_open_order(desk: Desk) -> None:
    desk.start_trader()
    desk.place()
    desk.wait(lambda: newest(desk).status == "open", "the bid rests")
    desk.stack.kill("venue")
    desk.enter(book=1)
    desk.stack.restart("venue")
    desk.stack.wait_until(desk.stack._answers, what="the venue is back")
    desk.stack.control("/control/pause", {})
    desk.wait_until_quiet(30)
    desk.enter(book=1)
    desk.wait(lambda: Order.objects.filter(book=desk.books[1], intent__kind="stop", status="open").exists(), "it trades again")
    desk.wait_until_quiet()
    desk.check_books()


@pytest.mark.fault("D03", "D04")
def test_the_database_may_drop_every_connection(desk: Desk) -> None:
    desk.start_trader()
    desk.place()
    desk.wait(lambda: newest(desk).status == "open", "the bid rests")
    with connection.cursor() as cursor:
        others = "pid <> pg_backend_pid() AND datname = current_database()"
        cursor.execute("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE " + others)
        assert cursor.fetchone()[0] >= 2
    desk.enter()
    desk.wait(lambda: newest(desk).intent.kind == "stop" and newest(desk).status == "open", "it trades again", 20)
    desk.check_books()
