"""A trader stands still with an order claimed, a standby takes over, and the first one wakes (C20, T29)."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

import psutil
import pytest
from django.utils import timezone

from portfolio.models import Heartbeat, Lease, Order
from portfolio.trader import lease
from tests.journeys.stack import StackFailed
from tests.portfolio.trader.desk import MANAGE, Desk

pytestmark = [pytest.mark.timeout(180), pytest.mark.slow]


@contextmanager
def pause_point(name: str) -> Iterator[None]:
    """Have the next trader stand still there."""
    os.environ["PAUSE_POINT"] = name
    try:
        yield
    finally:
        del os.environ["PAUSE_POINT"]


def is_frozen(process: psutil.Process) -> bool:
    return bool(process.status() == psutil.STATUS_STOPPED)


def epoch_of(desk: Desk) -> int:
    return Lease.objects.get(name=f"trader:{desk.account_id}").epoch


def beats_of(process: psutil.Process, since: datetime) -> list[Heartbeat]:
    return [row for row in Heartbeat.objects.filter(beat_at__gt=since) if row.facts.get("pid") == process.pid]


def standby_of(desk: Desk) -> str:
    return f"trader {desk.account_id} standby"


def take_over(desk: Desk, old_epoch: int) -> None:
    """Start a second trader and wait until it works; the frozen one cannot be waited for as others are."""
    standby = standby_of(desk)
    desk.stack.start(standby, [*MANAGE, "run_trader", "--account", str(desk.account_id)])
    deadline = time.monotonic() + lease.LEASE_SECONDS + 30
    while not Heartbeat.objects.filter(process=standby, facts__is_recovered=True).exists():
        if time.monotonic() > deadline or desk.stack.processes[standby].poll() is not None:
            raise StackFailed(desk.stack.tails(40))
        time.sleep(0.05)
    assert epoch_of(desk) > old_epoch


def wait_until_it_stands_back(desk: Desk) -> None:
    """Wait until the woken trader has ended, or waits for a lease that another one holds: the database may have hung up on it."""
    process, log = desk.stack.processes.pop(desk.trader), desk.stack.log(desk.trader)
    deadline = time.monotonic() + 30
    while process.poll() is None and "trader.begins_again" not in log.read_text():
        assert time.monotonic() < deadline, desk.stack.tails(40)
        time.sleep(0.05)
    assert process.poll() != 0
    if process.poll() is None:
        # Standing by it would wait for ever; give it time to do what it must not.
        time.sleep(5)
        process.kill()
        process.wait()


@pytest.mark.fault("C20", "R13")
@pytest.mark.parametrize("point", ["after_sending:1", "after_answer:1"])
def test_a_zombie_sends_nothing_and_writes_nothing(desk: Desk, point: str) -> None:
    with pause_point(point):
        desk.start_trader(wait=False)
    zombie = psutil.Process(desk.stack.processes[desk.trader].pid)
    desk.wait(lambda: desk.account().state == "active", "the trader works")
    old_epoch = epoch_of(desk)
    desk.enter(stop="")
    desk.wait(lambda: is_frozen(zombie), "the trader stands still")
    frozen_at = timezone.now()
    first = Order.objects.get(account=desk.account_id)
    reached = {row["clientOrderId"] for row in desk.venue_books()["orders"]}
    assert (first.client_order_id in reached) == (point == "after_answer:1")

    take_over(desk, old_epoch)
    desk.wait(lambda: Order.objects.get(pk=first.pk).status in ("filled", "absent"), "the standby knows what became of it")
    settled = Order.objects.get(pk=first.pk)
    zombie.send_signal(signal.SIGCONT)

    wait_until_it_stands_back(desk)
    assert beats_of(zombie, frozen_at) == []
    # The row that it had in its hands is as the standby left it, to the last column.
    columns = [field.attname for field in Order._meta.concrete_fields]
    assert Order.objects.filter(pk=first.pk).values(*columns).get() == {name: getattr(settled, name) for name in columns}
    assert not Order.objects.filter(epoch=old_epoch, sent_at__gt=frozen_at).exists()
    assert {row["clientOrderId"] for row in desk.venue_books()["orders"]} - reached <= set(
        Order.objects.filter(epoch__gt=old_epoch).values_list("client_order_id", flat=True)
    )
    desk.wait_until_quiet()
    desk.check_books()
